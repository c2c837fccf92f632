/* The service's HTTP interface: one call a picture, and every way it can fail in words for people. */

const TIMEOUT_MS = 180_000;
const LONGEST_WAIT_S = 120;
const LONGEST_DETAIL = 300;
const KEY = "dogbreed-api-key";

/** What went wrong with one picture, fit to be shown. */
export class Failure extends Error {
  /**
   * @param {string} title What happened.
   * @param {string} message Why, or what to do.
   * @param {{again?: boolean, needsKey?: boolean, retryAfter?: number | null, reference?: string}} more
   *   Whether trying again can help; whether a key is missing; seconds after which the service wants to be asked again.
   */
  constructor(title, message, { again = true, needsKey = false, retryAfter = null, reference = "" } = {}) {
    super(message);
    Object.assign(this, { title, again, needsKey, retryAfter, reference });
  }
}

const WORDS = {
  400: ["This picture cannot be used", "The service could not read what it was sent."],
  403: ["Not allowed", "The service takes no pictures from this page."],
  404: ["The service is not here", "The address answers, but not as a classifier."],
  408: ["The picture took too long to arrive", "Try again over a faster connection."],
  413: ["This picture is too large", "Try a smaller version of it."],
  415: ["Not a picture the service can read", "It may be broken, or in a format that is not supported."],
  422: ["This picture cannot be used", "The service could not read what it was sent."],
  429: ["Too many pictures in a short time", "The service limits how many it answers in a minute."],
  502: ["The model did not answer", "The service runs, but the model behind it reported an error."],
  503: ["The service is busy", "It has more to do than it can take on right now."],
  504: ["The model took too long", "The service gave up waiting for an answer."],
};
const NOT_READY = ["The model is not ready yet", "It is being started or changed. Try again in a few minutes."];
const UNKNOWN = ["Something went wrong in the service", "It reported an error of its own."];
const NO_PREDICTION = ["An answer that makes no sense", "Something other than the service may have answered."];
// About this very file: sending it once more would bring the same answer, and the service's own words say what it is.
const ABOUT_THE_FILE = new Set([400, 413, 415, 422]);

// Where storage is switched off, using it throws: then the key lasts as long as the page.
let keyOfPage = "";

/** The API key of this tab, or "". */
export function apiKey() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return keyOfPage;
  }
}

/** Keeps the key until the tab is closed; "" forgets it. */
export function keepApiKey(key) {
  keyOfPage = key;
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch {
    // It is kept already.
  }
}

/** The prediction for one file, sent as it is; throws a Failure, or the signal's reason. */
export async function classify(file, key, signal) {
  // Only pictures keep their type: a JSON or form file must not be taken for a request that describes a picture.
  const type = file.type.startsWith("image/") ? file.type : "application/octet-stream";
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response, body;
  try {
    response = await fetch("v1/classify?top_k=5", {
      method: "POST",
      body: file,
      headers: { "Content-Type": type, Accept: "application/json", ...authorization(key) },
      signal: AbortSignal.any([signal, timeout]),
    });
    body = await parsed(response);
  } catch {
    if (signal.aborted) throw signal.reason;
    if (timeout.aborted) throw new Failure("No answer", "The service did not answer within three minutes.");
    throw await unreachable(file);
  }
  if (!response.ok) throw refused(response, body, key);
  if (!isPrediction(body)) throw new Failure(...NO_PREDICTION);
  return body;
}

/** What the service knows: `{model_id, labels}`, or null where it does not tell now. */
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

async function unreachable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    return new Failure("The file cannot be read", "It was moved or changed. Remove it here and choose it again.");
  }
  const connection = navigator.onLine ? "Check that the service runs" : "This device is offline. Check the connection";
  return new Failure("The service cannot be reached", `${connection}, then try again.`);
}

function refused(response, problem, key) {
  const { status } = response;
  const reference = text(problem?.request_id, 80);
  if (status === 401) {
    const message = key ? "The API key was not accepted." : "This service answers only with a key.";
    return new Failure("An API key is needed", message, { needsKey: true, reference });
  }
  const notReady = problem?.type === "/problems/endpoint-not-ready";
  const [title, words] = notReady ? NOT_READY : WORDS[status] ?? UNKNOWN;
  const detail = ABOUT_THE_FILE.has(status) ? text(problem?.detail, LONGEST_DETAIL) : "";
  const wait = status === 503 || status === 429 ? seconds(response.headers.get("Retry-After")) : null;
  if (wait !== null && wait > LONGEST_WAIT_S) {
    return new Failure(title, `Try again in about ${Math.ceil(wait / 60)} minutes.`, { reference });
  }
  return new Failure(title, detail || words, { again: !ABOUT_THE_FILE.has(status), retryAfter: wait, reference });
}

function text(value, longest) {
  if (typeof value !== "string") return "";
  return value.length > longest ? `${value.slice(0, longest - 1)}…` : value;
}

/** Retry-After, as seconds or as a date: at least one second, or null. */
function seconds(header) {
  if (!header) return null;
  const told = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(told) ? Math.max(1, Math.ceil(told)) : null;
}
