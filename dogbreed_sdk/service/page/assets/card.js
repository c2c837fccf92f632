/* The card of one picture: the picture, and its state or prediction. Texts of others are inserted as text, not HTML. */

const ROWS = 5;
// A picture with nearly the shape of its frame fills the frame: thin margins would look like a mistake.
const NEARLY = 1.15;
const SIGNS = { rejected: "#question", failed: "#warning", postponed: "#clock" };

/** A probability as a whole percentage, but never 0% or 100%, which it cannot be. */
export function percent(probability) {
  if (probability < 0.005) return "<1%";
  if (probability > 0.995) return ">99%";
  return `${Math.round(probability * 100)}%`;
}

export class Card {
  #part;
  #url = "";
  #countdown = 0;

  /**
   * @param {File} file
   * @param {string} name The displayed name.
   * @param {{retry: () => void, enterKey: () => void, cancel: () => void, remove: () => void}} actions
   */
  constructor(file, name, actions) {
    this.element = copied("card");
    this.#part = (selector) => this.element.querySelector(selector);
    this.#part(".file").textContent = name;
    this.#part(".file").title = name;
    this.#part(".photo").alt = `The picture ${name}`;
    this.#part(".remove").setAttribute("aria-label", `Remove ${name}`);
    this.#part(".remove").addEventListener("click", actions.remove);
    this.#part(".retry").addEventListener("click", actions.retry);
    this.#part(".enter-key").addEventListener("click", actions.enterKey);
    this.#part(".cancel").addEventListener("click", actions.cancel);
    this.#show(file);
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
   * @param {number | null} breeds Number of breeds that the model knows.
   */
  answered({ scores, rejected }, breeds) {
    const best = scores.slice(0, ROWS);
    if (rejected) this.#become("rejected", "Probably none of the known breeds", "The most similar breeds:");
    else this.#become("answered", best[0].label);
    this.among(breeds);
    this.#fill(best);
  }

  /** Shows the number of breeds, which may become known after the prediction. */
  among(breeds) {
    if (this.state !== "answered") return;
    this.#part(".note").textContent = breeds ? `Most likely of ${breeds} breeds` : "The most likely breed";
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
    this.#release();
    this.element.remove();
  }

  #become(state, title, note = "") {
    clearInterval(this.#countdown);
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

  /** Shows the file; browsers apply its EXIF orientation themselves. */
  #show(file) {
    const images = [this.#part(".photo"), this.#part(".backdrop")];
    this.#url = URL.createObjectURL(file);
    let settled = 0;
    const settle = () => (settled += 1) === images.length && this.#release();
    for (const image of images) {
      image.addEventListener("load", () => {
        const { clientWidth, clientHeight } = image.parentElement;
        const shape = (image.naturalWidth / image.naturalHeight) / (clientWidth / clientHeight);
        image.classList.toggle("fills", Math.max(shape, 1 / shape) < NEARLY);
        image.classList.add("loaded");
        settle();
      });
      image.addEventListener("error", () => {
        image.hidden = true;
        this.#part(".no-preview").hidden = false;
        settle();
      });
      image.decoding = "async";
      image.src = this.#url;
    }
  }

  #release() {
    URL.revokeObjectURL(this.#url);
  }
}

function copied(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}
