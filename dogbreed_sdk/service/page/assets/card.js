/* The card of one picture: the picture, and its state or prediction. Texts of others are inserted as text, not HTML. */

import { Picture } from "./picture.js";
import { canCopy } from "./save.js";

const ROWS = 5;
const SIGNS = { rejected: "#question", failed: "#warning", postponed: "#clock" };

/** A probability as a whole percentage, but never 0% or 100%, which it cannot be. */
export function percent(probability) {
  if (probability < 0.005) return "<1%";
  if (probability > 0.995) return ">99%";
  return `${Math.round(probability * 100)}%`;
}

export class Card {
  #part;
  #countdown = 0;
  #picture;
  #shown = null;

  /**
   * @param {File | URL} source
   * @param {string} name The displayed name.
   * @param {{retry: () => void, enterKey: () => void, cancel: () => void, remove: () => void, why: () => void,
   *   save: () => void, copy: () => void}} actions
   * @param {{words: {one: string, many: string}, explains: boolean}} page
   */
  constructor(source, name, actions, page) {
    this.page = page;
    this.element = copied("card");
    this.#part = (selector) => this.element.querySelector(selector);
    this.#part(".file").textContent = name;
    this.#part(".file").title = name;
    this.#part(".remove").setAttribute("aria-label", `Remove ${name}`);
    this.#part(".remove").addEventListener("click", actions.remove);
    this.#part(".retry").addEventListener("click", actions.retry);
    this.#part(".enter-key").addEventListener("click", actions.enterKey);
    this.#part(".cancel").addEventListener("click", actions.cancel);
    this.#part(".why").addEventListener("click", actions.why);
    this.#part(".save").addEventListener("click", actions.save);
    this.#part(".copy").addEventListener("click", actions.copy);
    this.#part(".why").hidden = !page.explains;
    this.#part(".copy").hidden = !canCopy();
    this.#picture = new Picture(this.#part(".picture"), name);
    // The browser never loads from the address itself: the service does, and returns a preview.
    if (source instanceof Blob) this.#picture.show(source);
    this.queued();
  }

  get state() {
    return this.element.dataset.state;
  }

  queued() {
    this.#become("queued", "Waiting for its turn");
    this.#fill([]);
  }

  sending() {
    this.#become("sending", "Looking at it…");
  }

  /**
   * @param {{scores: {label: string, probability: number}[], rejected?: boolean | null}} prediction
   * @param {number | null} classes Number of classes that the model knows.
   */
  answered({ scores, rejected }, classes) {
    const best = scores.slice(0, ROWS);
    const { many } = this.page.words;
    if (rejected) this.#become("rejected", `Probably none of the known ${many}`, `The most similar ${many}:`);
    else this.#become("answered", best[0].label);
    this.#shown = best;
    this.among(classes);
    this.#fill(best);
  }

  /** Shows the number of classes, which may become known after the prediction. */
  among(classes) {
    if (this.state !== "answered") return;
    const { one, many } = this.page.words;
    this.#part(".note").textContent = classes ? `Most likely of ${classes} ${many}` : `The most likely ${one}`;
  }

  /** Shows a small copy that the service made of a picture, if the browser could not show the picture itself. */
  preview(blob) {
    if (!this.#picture.visible) this.#picture.show(blob);
  }

  /** While the service looks for the evidence. */
  explaining() {
    this.#legend("Looking for the evidence…");
    this.#part(".why").disabled = true;
  }

  /** Shows where the evidence for a class is. */
  explained(heat, label) {
    this.#why("Hide why", true);
    this.#legend(`The brighter, the more this part speaks for ${label}.`);
    this.#picture.heat(heat, `Heat map of the evidence for ${label}`);
  }

  /** Takes the heat map away, and says why there is none. */
  unexplained(why = "") {
    this.#why("Why?", false);
    this.#legend(why);
    this.#picture.heat(null);
  }

  /** A remark about saving or copying. */
  remark(words) {
    this.#legend(words);
  }

  /** What an image of the result shows. */
  get result() {
    const scores = this.#shown ?? [];
    return {
      layers: this.#picture.visible ? this.#picture.layers : [],
      title: this.#part(".title").textContent,
      note: this.#part(".note").textContent,
      explained: this.#part(".why").getAttribute("aria-pressed") === "true",
      rows: scores.map(({ label, probability }) => ({ label, probability, share: percent(probability) })),
    };
  }

  /** @param {import("./service.js").Failure} failure */
  failed(failure) {
    this.#become("failed", failure.title, failure.message);
    this.#part(".retry").hidden = !failure.again || failure.needsKey;
    this.#part(".enter-key").hidden = !failure.needsKey;
    this.#part(".reference").textContent = failure.reference ? `Request ${failure.reference}` : "";
  }

  /** Counts down to the next attempt; `secondsLeft` returns the time until then. */
  postponed(failure, secondsLeft) {
    this.#become("postponed", failure.title);
    const update = () => {
      const seconds = Math.ceil(secondsLeft());
      this.#part(".note").textContent = seconds > 0 ? `Trying again in ${seconds} s.` : "Trying again.";
    };
    update();
    this.#countdown = setInterval(update, 250);
  }

  focus() {
    this.element.focus({ preventScroll: true });
  }

  /** Removes the card from the page, and releases the picture. */
  remove() {
    clearInterval(this.#countdown);
    this.#picture.release();
    this.element.remove();
  }

  #why(words, pressed) {
    const button = this.#part(".why");
    button.textContent = words;
    button.setAttribute("aria-pressed", String(pressed));
    button.disabled = false;
  }

  #legend(words) {
    this.#part(".legend").textContent = words;
    this.#part(".legend").hidden = words === "";
  }

  #become(state, title, note = "") {
    clearInterval(this.#countdown);
    this.unexplained();
    this.element.dataset.state = state;
    this.element.setAttribute("aria-busy", String(state === "queued" || state === "sending"));
    this.#part(".title").textContent = title;
    this.#part(".note").textContent = note;
    this.#part(".reference").textContent = "";
    if (SIGNS[state]) this.#part(".sign use").setAttribute("href", SIGNS[state]);
  }

  /** Replaces the rows; without scores, empty rows reserve their space. */
  #fill(scores) {
    const rows = Array.from({ length: scores.length || ROWS }, (_, row) => {
      const line = copied("score");
      if (scores.length === 0) return line;
      line.querySelector(".breed").textContent = scores[row].label;
      line.querySelector(".share").textContent = percent(scores[row].probability);
      const fill = line.querySelector(".fill");
      requestAnimationFrame(() => fill.style.setProperty("--share", scores[row].probability));
      return line;
    });
    this.#part(".scores").replaceChildren(...rows);
  }
}

function copied(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}
