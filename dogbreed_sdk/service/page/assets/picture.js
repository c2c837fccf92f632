/* The picture of a card: the picture itself, and over it the heat map. */

// A picture with nearly the shape of its frame fills the frame: thin margins would look like a mistake.
const NEARLY = 1.15;

export class Picture {
  #frame;
  #photo;
  #heat;
  #urls = [];

  /**
   * @param {HTMLElement} frame The card's element for it.
   * @param {string} name The displayed name.
   */
  constructor(frame, name) {
    this.#frame = frame;
    this.#photo = frame.querySelector(".photo");
    this.#heat = frame.querySelector(".heat");
    this.#photo.alt = `The picture ${name}`;
  }

  /** Whether there is a picture to see. */
  get visible() {
    return this.#photo.classList.contains("loaded");
  }

  /** The images to draw, from the back, once they are loaded. */
  get layers() {
    return [this.#photo, ...(this.#heat.hidden ? [] : [this.#heat])];
  }

  /** Shows a picture; browsers apply its EXIF orientation themselves. null: there is nothing to show. */
  show(blob) {
    if (blob === null) {
      this.#missing(true);
      return;
    }
    const images = [this.#photo, this.#frame.querySelector(".backdrop")];
    const settled = this.#settling(blob, images.length);
    for (const image of images) {
      image.hidden = false;
      image.onload = () => {
        this.#fit(image);
        image.classList.add("loaded");
        this.#missing(false);
        settled();
      };
      image.onerror = () => {
        image.hidden = true;
        this.#missing(true);
        settled();
      };
      image.decoding = "async";
      image.src = this.#urls.at(-1);
    }
  }

  /** Lays a heat map over the picture; null takes it away. */
  heat(blob, description = "") {
    this.#frame.classList.toggle("explained", blob !== null);
    this.#heat.hidden = blob === null;
    if (blob === null) return;
    this.#heat.alt = description;
    const settled = this.#settling(blob, 1);
    this.#heat.onload = () => {
      this.#fit(this.#heat);
      this.#heat.classList.add("loaded");
      settled();
    };
    this.#heat.src = this.#urls.at(-1);
  }

  /** Releases the memory of the pictures. */
  release() {
    this.#urls.forEach((url) => URL.revokeObjectURL(url));
    this.#urls = [];
  }

  #fit(image) {
    const { clientWidth, clientHeight } = this.#frame;
    const shape = (image.naturalWidth / image.naturalHeight) / (clientWidth / clientHeight);
    image.classList.toggle("fills", Math.max(shape, 1 / shape) < NEARLY);
  }

  #missing(isMissing) {
    this.#frame.querySelector(".no-preview").hidden = !isMissing;
  }

  /** Makes a URL of a blob, and returns a function that releases it once this many images have called it. */
  #settling(blob, images) {
    const url = URL.createObjectURL(blob);
    this.#urls.push(url);
    let left = images;
    return () => {
      left -= 1;
      if (left === 0) URL.revokeObjectURL(url);
    };
  }
}
