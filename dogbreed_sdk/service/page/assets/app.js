/* The page: sends the added pictures to the service, a few at a time, and shows a card for each. */

import { Queue } from "./queue.js";
import { Card, percent } from "./card.js";
import { listen } from "./file_input.js";
import { Failure, apiKey, classify, keepApiKey, labels } from "./service.js";

const CONCURRENT_REQUESTS = 4;
const MAX_POSTPONEMENTS = 10;
const MAX_ANNOUNCEMENTS = 20;
const SHORT_ID = 12;

const part = (id) => document.getElementById(id);
const queue = new Queue(send, CONCURRENT_REQUESTS);
/** Newest first, as on the page: {file, name, card, postponements, failure, modelId, abort}. */
let pictures = [];
/** `labelsOf` is the id of the model that `breeds` belongs to. */
const model = { id: null, used: false, breeds: null, labelsOf: null, loading: false };

const inputs = ["choose", "photograph", "files", "camera", "drop"];
listen(Object.fromEntries(inputs.map((id) => [id, part(id)])), add, refuse);
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

function add(files) {
  refuse("");
  const added = files.map(opened);
  pictures = [...added, ...pictures];
  part("cards").prepend(...added.map((picture) => picture.card.element));
  announce(added.length === 1 ? `${added[0].name} added.` : `${added.length} pictures added.`);
  count();
  for (const picture of added) queue.add(picture);
  reveal(added[0].card.element);
}

function opened(file) {
  // The names that browsers give to pictures from the clipboard.
  const name = /^image\.(png|jpe?g)$/.test(file.name) ? "Pasted picture" : file.name;
  const picture = { file, name, postponements: 0, failure: null, modelId: null, abort: new AbortController() };
  picture.card = new Card(file, name, {
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
  });
  return picture;
}

async function send(picture) {
  picture.card.sending();
  picture.failure = null;
  const key = apiKey();
  try {
    const prediction = await classify(picture.file, key, picture.abort.signal);
    picture.modelId = prediction.model_id ?? null;
    picture.card.answered(prediction, picture.modelId === model.labelsOf ? model.breeds : null);
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
  if (rejected) return `probably none of the known breeds. The most similar is ${label}, ${percent(probability)}.`;
  return `${label}, ${percent(probability)}.`;
}

/** Announces a message to users of screen readers. */
function announce(message) {
  const line = document.createElement("p");
  line.textContent = message;
  part("spoken").append(line);
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

/** Loads the number of breeds; if that fails, it is tried again after the next prediction. */
async function loadLabels() {
  if (model.loading) return;
  model.loading = true;
  const known = await labels();
  model.loading = false;
  if (known === null) return;
  Object.assign(model, { labelsOf: known.model_id ?? null, breeds: known.labels.length });
  model.id ??= known.model_id;
  for (const { card, modelId } of pictures) {
    if (modelId === model.labelsOf) card.among(model.breeds);
  }
  showModel();
}

/** Shows the model of the last prediction; it may be a new one, which knows other breeds. */
function rememberModel(id) {
  Object.assign(model, { id, used: true });
  if (model.breeds === null || model.labelsOf !== id) loadLabels();
  showModel();
}

function showModel() {
  const words = [];
  const id = typeof model.id === "string" ? model.id : "";
  if (id) words.push(`${model.used ? "Classified by model" : "Model"} ${id.slice(0, SHORT_ID)}`);
  if (model.breeds !== null) words.push(model.breeds === 1 ? "1 breed" : `${model.breeds} breeds`);
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
