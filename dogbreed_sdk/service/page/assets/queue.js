/* A queue that asks for a few pictures at a time, and rests for all of them when the service asks for it. */

export class Queue {
  #run;
  #width;
  #waiting = [];
  #running = 0;
  #restUntil = 0;
  #timer = 0;

  /**
   * @param {(item: object) => Promise<void>} run Answers one item; never rejects.
   * @param {number} width How many at a time.
   */
  constructor(run, width) {
    this.#run = run;
    this.#width = width;
  }

  /** Adds an item at the end, or where it was refused, in front of those that came later. */
  add(item, { first = false } = {}) {
    if (first) this.#waiting.unshift(item);
    else this.#waiting.push(item);
    this.#pump();
  }

  /** Forgets an item that has not started. */
  remove(item) {
    this.#waiting = this.#waiting.filter((other) => other !== item);
  }

  /** Starts nothing for so many seconds. */
  rest(seconds) {
    this.#restUntil = Math.max(this.#restUntil, Date.now() + seconds * 1000);
  }

  /** Seconds until the next item may start. */
  get restsFor() {
    return Math.max(0, (this.#restUntil - Date.now()) / 1000);
  }

  #pump() {
    clearTimeout(this.#timer);
    if (this.restsFor > 0) {
      this.#timer = setTimeout(() => this.#pump(), this.restsFor * 1000 + 1);
      return;
    }
    while (this.#running < this.#width && this.#waiting.length > 0) {
      this.#running += 1;
      this.#run(this.#waiting.shift()).finally(() => {
        this.#running -= 1;
        this.#pump();
      });
    }
  }
}
