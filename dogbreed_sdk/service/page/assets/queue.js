/* A queue that processes a few items at a time, and pauses for all of them when the service is busy. */

export class Queue {
  #run;
  #width;
  #waiting = [];
  #running = 0;
  #pausedUntil = 0;
  #timer = 0;

  /**
   * @param {(item: object) => Promise<void>} run Processes one item; never rejects.
   * @param {number} width Number of items that are processed at the same time.
   */
  constructor(run, width) {
    this.#run = run;
    this.#width = width;
  }

  /** Adds an item at the end; with `first`, in front of those that came later. */
  add(item, { first = false } = {}) {
    if (first) this.#waiting.unshift(item);
    else this.#waiting.push(item);
    this.#pump();
  }

  /** Removes an item that has not started. */
  remove(item) {
    this.#waiting = this.#waiting.filter((other) => other !== item);
  }

  /** Starts nothing for this number of seconds. */
  pause(seconds) {
    this.#pausedUntil = Math.max(this.#pausedUntil, Date.now() + seconds * 1000);
  }

  /** Seconds until the next item may start. */
  get pauseSeconds() {
    return Math.max(0, (this.#pausedUntil - Date.now()) / 1000);
  }

  #pump() {
    clearTimeout(this.#timer);
    if (this.pauseSeconds > 0) {
      this.#timer = setTimeout(() => this.#pump(), this.pauseSeconds * 1000 + 1);
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
