/* The page: pictures come in, are asked about a few at a time, and each gets its card. */

import { Queue } from "./queue.js";
import { Card, percent } from "./card.js";
import { listen } from "./file_input.js";
import { Failure, apiKey, classify, keepApiKey, labels } from "./service.js";

const AT_A_TIME = 4;
const MOST_REFUSALS = 10;
const MOST_SPOKEN = 20;
const SHORT_ID = 12;

const part = (id) => document.getElementById(id);
const queue = new Queue(ask, AT_A_TIME);
/** Newest first, as they stand on the page: {file, name, card, refusals, failure, modelId, abort}. */
let pictures = [];
const model = { id: null, answered: false, breeds: null, labelled: null, asked: false };

const ways = ["choose", "photograph", "files", "camera", "drop"];
listen(Object.fromEntries(ways.map((id) => [id, part(id)])), add, refuse);
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
learn();

// ---------------------------------------------------------------- pictures

function add(files) {
  refuse("");
  const added = files.map(opened);
  pictures = [...added, ...pictures];
  part("cards").prepend(...added.map((picture) => picture.card.element));
  say(added.length === 1 ? `${added[0].name} added.` : `${added.length} pictures added.`);
  count();
  for (const picture of added) queue.add(picture);
  reveal(added[0].card.element);
}

function opened(file) {
  // Browsers call every picture from the clipboard so.
  const name = /^image\.(png|jpe?g)$/.test(file.name) ? "Pasted picture" : file.name;
  const picture = { file, name, refusals: 0, failure: null, modelId: null, abort: new AbortController() };
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

async function ask(picture) {
  picture.card.sending();
  picture.failure = null;
  const key = apiKey();
  try {
    const prediction = await classify(picture.file, key, picture.abort.signal);
    picture.modelId = prediction.model_id ?? null;
    picture.card.answered(prediction, picture.modelId === model.labelled ? model.breeds : null);
    say(`${picture.name}: ${spoken(prediction)}`);
    answeredBy(picture.modelId);
  } catch (failure) {
    if (picture.abort.signal.aborted) return;
    if (!(failure instanceof Failure)) throw failure;
    // The key came while this picture was on its way without it.
    if (failure.needsKey && key !== apiKey()) again(picture);
    else if (failure.retryAfter !== null && picture.refusals < MOST_REFUSALS) postpone(picture, failure);
    else fail(picture, failure);
  } finally {
    count();
  }
}

function postpone(picture, failure) {
  picture.refusals += 1;
  picture.failure = failure;
  queue.rest(failure.retryAfter);
  picture.card.postponed(failure, () => queue.restsFor);
  say(`${picture.name}: ${failure.title}. Trying again in ${failure.retryAfter} seconds.`);
  queue.add(picture, { first: true });
}

function fail(picture, failure) {
  picture.failure = failure;
  picture.card.failed(failure);
  say(`${picture.name}: ${failure.title}. ${failure.message}`);
  if (failure.needsKey) askForKey(failure.message);
  count();
}

function again(picture) {
  Object.assign(picture, { refusals: 0, failure: null });
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

// ---------------------------------------------------------------- words

/** The line above the cards. */
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

function spoken({ scores, rejected }) {
  const [{ label, probability }] = scores;
  if (rejected) return `probably not one of these breeds. The closest is ${label}, ${percent(probability)}.`;
  return `${label}, ${percent(probability)}.`;
}

/** Tells those who listen to the page. */
function say(words) {
  const line = document.createElement("p");
  line.textContent = words;
  part("spoken").append(line);
  while (part("spoken").childElementCount > MOST_SPOKEN) part("spoken").firstElementChild.remove();
}

/** What was dropped or pasted holds no picture; "" when that is over. */
function refuse(why) {
  part("notice").textContent = why;
  part("notice").hidden = why === "";
  part("hint").hidden = why !== "";
  if (why) say(why);
}

/** Moves the page only where the new card would be out of sight. */
function reveal(element) {
  const { top, bottom } = element.getBoundingClientRect();
  if (top >= 0 && bottom <= innerHeight) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  part("results").scrollIntoView({ block: "start", behavior: calm ? "instant" : "smooth" });
}

// ---------------------------------------------------------------- the model

/** Asks how many breeds there are; what does not tell now is asked again after the next answer. */
async function learn() {
  if (model.asked) return;
  model.asked = true;
  const known = await labels();
  model.asked = false;
  if (known === null) return;
  Object.assign(model, { labelled: known.model_id ?? null, breeds: known.labels.length });
  model.id ??= known.model_id;
  for (const { card, modelId } of pictures) {
    if (modelId === model.labelled) card.among(model.breeds);
  }
  tellModel();
}

/** The model that answered last is the one that is told; another one may know other breeds. */
function answeredBy(id) {
  Object.assign(model, { id, answered: true });
  if (model.breeds === null || model.labelled !== id) learn();
  tellModel();
}

function tellModel() {
  const words = [];
  const id = typeof model.id === "string" ? model.id : "";
  if (id) words.push(`${model.answered ? "Answered by model" : "Model"} ${id.slice(0, SHORT_ID)}`);
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
      // No header can carry it, so no service can have given it out.
      value.setCustomValidity("A key has no spaces and only plain letters, digits and signs.");
      value.reportValidity();
      return;
    }
    keepApiKey(key);
    dialog.close();
    part("forget").hidden = false;
    learn();
    pictures.filter((picture) => picture.failure?.needsKey).forEach(again);
  });
  part("forget").hidden = apiKey() === "";
  part("forget").addEventListener("click", () => {
    keepApiKey("");
    part("forget").hidden = true;
    part("choose").focus();
    say("The API key is forgotten.");
  });
}

function askForKey(why) {
  if (part("key").open) return;
  part("key-value").value = "";
  part("key-note").textContent = `${why} It stays in this tab until you close it, and goes to this service only.`;
  part("key").showModal();
}
