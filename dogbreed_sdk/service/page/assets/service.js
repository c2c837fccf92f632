/* The client of the service: one request per picture, and a text for people for every way it can fail. */

const TIMEOUT_MS = 180_000;
const LONGEST_WAIT_S = 120;
const LONGEST_DETAIL = 300;
const KEY = "dogbreed-api-key";

/** Why one picture could not be classified, as texts to show. */
export class Failure extends Error {
  /**
   * @param {string} title What happened.
   * @param {string} message The reason, or what to do.
   * @param {{again?: boolean, needsKey?: boolean, retryAfter?: number | null, reference?: string}} more
   *   Whether trying again can help; whether a key is missing; seconds after which to try again; the request's id.
   */
  constructor(title, message, { again = true, needsKey = false, retryAfter = null, reference = "" } = {}) {
    super(message);
    Object.assign(this, { title, again, needsKey, retryAfter, reference });
  }
}

const TEXTS = {
  400: ["This picture cannot be used", "The service could not read it."],
  403: ["Not allowed", "The service does not accept pictures from this page."],
  404: ["The service was not found", "Something responds at this address, but it is not the classifier."],
  408: ["The picture took too long to arrive", "Try again over a faster connection."],
  413: ["This picture is too large", "Try a smaller version of it."],
  415: ["The service cannot read this picture", "It may be damaged, or in a format that is not supported."],
  422: ["This picture cannot be used", "The service could not read it."],
  429: ["Too many pictures in a short time", "The service limits the number of pictures in a period."],
  502: ["The model failed", "The service is running, but its model reported an error."],
  503: ["The service is busy", "It has more requests than it can handle right now."],
  504: ["The model took too long", "The service stopped waiting for the result."],
};
const NOT_READY = ["The model is not ready yet", "It is starting or being updated. Try again in a few minutes."];
const NO_DOWNLOAD = ["This picture cannot be downloaded", "Check its address, or save the picture and choose it here."];
const UNKNOWN = ["Something went wrong in the service", "It reported an internal error."];
const NO_PREDICTION = ["The response cannot be understood", "It may have come from something other than the service."];
// These statuses are about the file: sending it again cannot help, and the service's own message explains the reason.
const ABOUT_THE_FILE = new Set([400, 413, 415, 422]);

// If storage is disabled, using it throws; then the key is kept as long as the page.
let keyOfPage = "";

/** The API key of this tab, or "". */
export function apiKey() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return keyOfPage;
  }
}

/** Keeps the key until the tab is closed; "" removes it. */
export function keepApiKey(key) {
  keyOfPage = key;
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch {
    // The variable keeps it.
  }
}

/**
 * Sends one picture, a file or an address, and returns its prediction; throws a Failure, or the signal's reason.
 *
 * With `preview`, the result contains a small copy of the picture, for those that the browser cannot show.
 */
export async function classify(source, key, signal, { preview = false } = {}) {
  const body = await posted(`v1/classify?top_k=5${preview ? "&preview=true" : ""}`, source, key, signal);
  if (!isPrediction(body)) throw new Failure(...NO_PREDICTION);
  return body;
}

/** Sends one picture and returns where the evidence is: `{label, heatmap}`; throws as `classify` does. */
export async function explain(source, key, signal) {
  const body = await posted("v1/explain", source, key, signal);
  if (typeof body?.heatmap !== "string" || typeof body.label !== "string") throw new Failure(...NO_PREDICTION);
  return body;
}

/** The picture in a data: URL, which the page's policy does not let it load; null if there is none. */
export function blobOf(dataUrl) {
  const [, type, content] = /^data:(image\/(?:png|jpeg));base64,([A-Za-z0-9+/=]+)$/.exec(dataUrl ?? "") ?? [];
  return content ? new Blob([Uint8Array.from(atob(content), (each) => each.charCodeAt(0))], { type }) : null;
}

async function posted(path, source, key, signal) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response, body;
  try {
    response = await fetch(path, {
      method: "POST",
      body: source instanceof URL ? JSON.stringify({ url: source.href }) : source,
      headers: { "Content-Type": typeOf(source), Accept: "application/json", ...authorization(key) },
      signal: AbortSignal.any([signal, timeout]),
    });
    body = await parsed(response);
  } catch {
    if (signal.aborted) throw signal.reason;
    if (timeout.aborted) throw new Failure("No response", "The service did not respond within three minutes.");
    throw await unreachable(source);
  }
  if (!response.ok) throw refused(response, body, key);
  return body;
}

function typeOf(source) {
  if (source instanceof URL) return "application/json";
  // Only pictures keep their type: a JSON file or a form must not be taken for a request that describes a picture.
  return source.type.startsWith("image/") ? source.type : "application/octet-stream";
}

/** The model and its classes: `{model_id, labels}`, or null if the service does not return them. */
export async function labels() {
  try {
    const response = await fetch("v1/labels", { headers: { Accept: "application/json", ...authorization(apiKey()) } });
    const body = response.ok ? await parsed(response) : null;
    return Array.isArray(body?.labels) ? body : null;
  } catch {
    return null;
  }
}

function authorization(key) {
  return key ? { "X-API-Key": key } : {};
}

async function parsed(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function isPrediction(body) {
  return Array.isArray(body?.scores) && body.scores.length > 0
    && body.scores.every((score) => typeof score?.label === "string" && Number.isFinite(score.probability));
}

async function unreachable(source) {
  try {
    if (source instanceof Blob) await source.slice(0, 1).arrayBuffer();
  } catch {
    return new Failure("The file cannot be read", "It was moved or changed. Remove it here and choose it again.");
  }
  const connection = navigator.onLine ? "Check that the service is running" : "This device is offline. Check the connection";
  return new Failure("The service cannot be reached", `${connection}, then try again.`);
}

function refused(response, problem, key) {
  const { status } = response;
  const reference = text(problem?.request_id, 80);
  if (status === 401) {
    const message = key ? "The API key was not accepted." : "This service requires an API key.";
    return new Failure("An API key is required", message, { needsKey: true, reference });
  }
  const notReady = ["/problems/endpoint-not-ready", "/problems/model-server-unreachable"].includes(problem?.type);
  const ofAddress = problem?.type === "/problems/image-download";
  const [title, message] = notReady ? NOT_READY : ofAddress ? NO_DOWNLOAD : TEXTS[status] ?? UNKNOWN;
  // The title has named the picture already.
  const detail = ABOUT_THE_FILE.has(status) ? text(problem?.detail, LONGEST_DETAIL).replace(/^The picture /, "It ") : "";
  const wait = status === 503 || status === 429 ? seconds(response.headers.get("Retry-After")) : null;
  if (wait !== null && wait > LONGEST_WAIT_S) {
    return new Failure(title, `Try again in about ${Math.ceil(wait / 60)} minutes.`, { reference });
  }
  return new Failure(title, detail || message, { again: !ABOUT_THE_FILE.has(status), retryAfter: wait, reference });
}

function text(value, longest) {
  if (typeof value !== "string") return "";
  return value.length > longest ? `${value.slice(0, longest - 1)}…` : value;
}

/** The seconds in Retry-After, which may be a number or a date: at least 1, or null. */
function seconds(header) {
  if (!header) return null;
  const wait = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(wait) ? Math.max(1, Math.ceil(wait)) : null;
}
