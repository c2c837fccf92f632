/* The page: sends the added pictures to the service, a few at a time, and shows a card for each. */

import { Queue } from "./queue.js";
import { Card, percent } from "./card.js";
import { listen } from "./file_input.js";
import { copy, drawn, save } from "./save.js";
import { Failure, apiKey, blobOf, classify, explain, keepApiKey, labels } from "./service.js";

const CONCURRENT_REQUESTS = 4;
const MAX_POSTPONEMENTS = 10;
const MAX_ANNOUNCEMENTS = 20;
const ANNOUNCEMENT_MS = 20_000;
const SHORT_ID = 12;

const part = (id) => document.getElementById(id);
const queue = new Queue(send, CONCURRENT_REQUESTS);
/** What the service says about itself, in the page that it sends. */
const settings = document.body.dataset;
const WORDS = { dogs: { one: "breed", many: "breeds" }, classes: { one: "class", many: "classes" } };
// Formats that every browser shows; of others, the service is asked for a preview.
const SHOWN_EVERYWHERE = /^image\/(jpeg|png|gif|webp|avif|bmp|svg\+xml)$/;
/** What all cards share; the words follow the model's classes. */
const page = {
  explains: "explain" in settings,
  get words() {
    return WORDS[settings.subject] ?? WORDS.classes;
  },
};
/** Newest first, as on the page: {source, name, card, postponements, failure, modelId, abort, evidence}. */
let pictures = [];
/** `labelsOf` is the id of the model that `classes` belongs to. */
const model = { id: null, used: false, classes: null, labelsOf: null, loading: false };

const inputs = { choose: "choose", photograph: "photograph", files: "files", camera: "camera", drop: "drop" };
Object.assign(inputs, { addressForm: "address-form", address: "address" });
const parts = Object.fromEntries(Object.entries(inputs).map(([name, id]) => [name, part(id)]));
listen(parts, add, refuse, "urls" in settings);
document.querySelectorAll("#examples button").forEach((button) => button.addEventListener("click", () => example(button)));
part("clear").addEventListener("click", () => {
  for (const picture of pictures) discard(picture);
  pictures = [];
  count();
  part("choose").focus();
});
part("again").addEventListener("click", () => {
  const failed = pictures.filter(canBeTriedAgain);
  failed[0]?.card.focus();
  failed.forEach(again);
});
listenForKey();
loadLabels();

// ---------------------------------------------------------------- pictures

/** Adds pictures: files, and addresses from which the service downloads them. */
function add(sources) {
  refuse("");
  const added = sources.map(opened);
  pictures = [...added, ...pictures];
  part("cards").prepend(...added.map((picture) => picture.card.element));
  announce(added.length === 1 ? `${added[0].name} added.` : `${added.length} pictures added.`);
  count();
  for (const picture of added) queue.add(picture);
  reveal(added[0].card.element);
}

async function example(button) {
  const image = button.querySelector("img");
  try {
    const response = await fetch(image.src);
    if (!response.ok) throw new Error(response.statusText);
    const name = button.getAttribute("aria-label").replace("Try the example ", "");
    add([new File([await response.blob()], name, { type: "image/jpeg" })]);
  } catch {
    refuse("The example cannot be loaded. Check that the service is running.");
  }
}

/** The name of a picture: of a file, or of what an address names. */
function nameOf(source) {
  if (source instanceof URL) return decoded(source.pathname.split("/").at(-1)) || source.hostname;
  // The names that browsers give to pictures from the clipboard.
  return /^image\.(png|jpe?g)$/.test(source.name) ? "Pasted picture" : source.name;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function opened(source) {
  const name = nameOf(source);
  const picture = { source, name, postponements: 0, failure: null, modelId: null, evidence: null };
  picture.abort = new AbortController();
  picture.card = new Card(source, name, {
    retry: () => {
      picture.card.focus();
      again(picture);
    },
    enterKey: () => askForKey(picture.failure.message),
    cancel: () => {
      picture.card.focus();
      queue.remove(picture);
      fail(picture, picture.failure);
    },
    remove: () => remove(picture),
    why: () => why(picture),
    save: async () => save(await drawn(picture.card.result), `${name.replace(/\.\w+$/, "")} result.png`),
    copy: () => copied(picture),
  }, page);
  return picture;
}

async function copied({ card, name }) {
  try {
    await copy(drawn(card.result));
    card.remark("The image was copied.");
    announce(`${name}: the image was copied.`);
  } catch {
    card.remark("The browser did not allow copying; save the image instead.");
  }
}

/** Shows or hides where the evidence for the answer is. */
async function why(picture) {
  const { card, source, name, abort } = picture;
  if (card.result.explained) {
    card.unexplained();
    return;
  }
  try {
    if (picture.evidence === null) {
      card.explaining();
      const { heatmap, label } = await explain(source, apiKey(), abort.signal);
      picture.evidence = { heat: blobOf(heatmap), label };
    }
    card.explained(picture.evidence.heat, picture.evidence.label);
    announce(`${name}: the heat map shows the evidence for ${picture.evidence.label}.`);
  } catch (failure) {
    if (abort.signal.aborted) return;
    if (!(failure instanceof Failure)) throw failure;
    card.unexplained(`${failure.title}. ${failure.message}`);
    if (failure.needsKey) askForKey(failure.message);
  }
}

async function send(picture) {
  picture.card.sending();
  picture.failure = null;
  const key = apiKey();
  try {
    const { source, abort } = picture;
    const preview = source instanceof URL || !SHOWN_EVERYWHERE.test(source.type);
    const prediction = await classify(source, key, abort.signal, { preview });
    picture.modelId = prediction.model_id ?? null;
    picture.evidence = null;
    if (preview) picture.card.preview(blobOf(prediction.preview));
    picture.card.answered(prediction, picture.modelId === model.labelsOf ? model.classes : null);
    announce(`${picture.name}: ${inWords(prediction)}`);
    rememberModel(picture.modelId);
  } catch (failure) {
    if (picture.abort.signal.aborted) return;
    if (!(failure instanceof Failure)) throw failure;
    // The key was entered while this picture was being sent without it.
    if (failure.needsKey && key !== apiKey()) again(picture);
    else if (failure.retryAfter !== null && picture.postponements < MAX_POSTPONEMENTS) postpone(picture, failure);
    else fail(picture, failure);
  } finally {
    count();
  }
}

function postpone(picture, failure) {
  picture.postponements += 1;
  picture.failure = failure;
  queue.pause(failure.retryAfter);
  picture.card.postponed(failure, () => queue.pauseSeconds);
  announce(`${picture.name}: ${failure.title}. Trying again in ${failure.retryAfter} seconds.`);
  queue.add(picture, { first: true });
}

function fail(picture, failure) {
  picture.failure = failure;
  picture.card.failed(failure);
  announce(`${picture.name}: ${failure.title}. ${failure.message}`);
  if (failure.needsKey) askForKey(failure.message);
  count();
}

function again(picture) {
  Object.assign(picture, { postponements: 0, failure: null });
  picture.card.queued();
  queue.add(picture);
  count();
}

function canBeTriedAgain({ card, failure }) {
  return card.state === "failed" && failure.again && !failure.needsKey;
}

function remove(picture) {
  const place = pictures.indexOf(picture);
  discard(picture);
  pictures = pictures.filter((other) => other !== picture);
  const next = pictures[place] ?? pictures[place - 1];
  if (next) next.card.element.querySelector(".remove").focus();
  else part("choose").focus();
  count();
}

function discard(picture) {
  queue.remove(picture);
  picture.abort.abort();
  picture.card.remove();
}

// ---------------------------------------------------------------- texts

/** Updates the line above the cards. */
function count() {
  const waiting = pictures.filter(({ card }) => ["queued", "sending", "postponed"].includes(card.state)).length;
  const failed = pictures.filter(({ card }) => card.state === "failed");
  const retriable = failed.filter(canBeTriedAgain).length;
  document.body.classList.toggle("filled", pictures.length > 0);
  part("results").hidden = pictures.length === 0;
  part("toolbar").classList.toggle("many", pictures.length > 1);
  document.body.dataset.columns = Math.min(3, pictures.length);
  part("count").textContent = pictures.length === 1 ? "1 picture" : `${pictures.length} pictures`;
  const progress = [waiting && `${waiting} waiting`, failed.length && `${failed.length} failed`];
  part("progress").hidden = pictures.length < 2;
  part("progress").textContent = progress.filter(Boolean).join(", ");
  part("clear").hidden = pictures.length < 2;
  part("again").hidden = retriable < 2;
  part("again").textContent = `Try ${retriable} again`;
}

function inWords({ scores, rejected }) {
  const [{ label, probability }] = scores;
  if (rejected) return `probably none of the known ${page.words.many}. The most similar is ${label}, ${percent(probability)}.`;
  return `${label}, ${percent(probability)}.`;
}

/** Announces a message to users of screen readers. */
function announce(message) {
  const line = document.createElement("p");
  line.textContent = message;
  part("spoken").append(line);
  // Those who read the page to its end must not hear again what its cards say.
  setTimeout(() => line.remove(), ANNOUNCEMENT_MS);
  while (part("spoken").childElementCount > MAX_ANNOUNCEMENTS) part("spoken").firstElementChild.remove();
}

/** Shows why what was dropped or pasted cannot be used; "" hides the message. */
function refuse(why) {
  part("notice").textContent = why;
  part("notice").hidden = why === "";
  part("hint").hidden = why !== "";
  if (why) announce(why);
}

/** Scrolls only if the new card is not visible. */
function reveal(element) {
  const { top, bottom } = element.getBoundingClientRect();
  if (top >= 0 && bottom <= innerHeight) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  part("results").scrollIntoView({ block: "start", behavior: calm ? "instant" : "smooth" });
}

// ---------------------------------------------------------------- the model

/** Loads the model's classes; if that fails, it is tried again after the next prediction. */
async function loadLabels() {
  if (model.loading) return;
  model.loading = true;
  const known = await labels();
  model.loading = false;
  if (known === null) return;
  Object.assign(model, { labelsOf: known.model_id ?? null, classes: known.labels.length });
  if (known.subject in WORDS) settings.subject = known.subject;
  document.title = document.querySelector("h1").innerText;
  model.id ??= known.model_id;
  for (const { card, modelId } of pictures) {
    if (modelId === model.labelsOf) card.among(model.classes);
  }
  showModel();
}

/** Shows the model of the last prediction; it may be a new one, which knows other classes. */
function rememberModel(id) {
  Object.assign(model, { id, used: true });
  if (model.classes === null || model.labelsOf !== id) loadLabels();
  showModel();
}

function showModel() {
  const words = [];
  const id = typeof model.id === "string" ? model.id : "";
  if (id) words.push(`${model.used ? "Classified by model" : "Model"} ${id.slice(0, SHORT_ID)}`);
  const { one, many } = page.words;
  if (model.classes !== null) words.push(model.classes === 1 ? `1 ${one}` : `${model.classes} ${many}`);
  part("model").textContent = words.join(" · ");
  part("model").title = id;
}

// ---------------------------------------------------------------- the API key

function listenForKey() {
  const [dialog, value] = [part("key"), part("key-value")];
  part("key-later").addEventListener("click", () => dialog.close());
  value.addEventListener("input", () => value.setCustomValidity(""));
  part("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const key = value.value.trim();
    if (!/^[\x21-\x7e]+$/.test(key)) {
      // An HTTP header cannot contain it, so it cannot be a valid key.
      value.setCustomValidity("An API key contains only letters, digits and punctuation, without spaces.");
      value.reportValidity();
      return;
    }
    keepApiKey(key);
    dialog.close();
    part("forget").hidden = false;
    loadLabels();
    pictures.filter((picture) => picture.failure?.needsKey).forEach(again);
  });
  part("forget").hidden = apiKey() === "";
  part("forget").addEventListener("click", () => {
    keepApiKey("");
    part("forget").hidden = true;
    part("choose").focus();
    announce("The API key was forgotten.");
  });
}

function askForKey(why) {
  if (part("key").open) return;
  part("key-value").value = "";
  part("key-note").textContent = `${why} The key stays in this tab until you close it, and is sent to this service only.`;
  part("key").showModal();
}
