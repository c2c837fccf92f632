/* A result as one image, to save or to copy: the picture as it is shown, and the ranked classes below it. */

const WIDTH = 900;
const MARGIN = 40;
const ROW = 58;
const HIGHEST_PICTURE = 900;

/**
 * Draws a result.
 *
 * @param {{layers: HTMLImageElement[], title: string, note: string, rows: {label: string, share: string,
 *   probability: number}[], explained: boolean}} result
 * @returns {Promise<Blob>} A PNG.
 */
export function drawn({ layers, title, note, rows, explained }) {
  const style = getComputedStyle(document.body);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  const font = (size, weight = 400) => `${weight} ${size}px ${style.fontFamily}`;
  const [photo] = layers;
  const scale = photo ? Math.min(WIDTH / photo.naturalWidth, HIGHEST_PICTURE / photo.naturalHeight) : 0;
  const [across, down] = photo ? [photo.naturalWidth * scale, photo.naturalHeight * scale] : [0, 0];
  const canvas = Object.assign(document.createElement("canvas"), {
    width: WIDTH, height: Math.round(down + 2 * MARGIN + 84 + rows.length * ROW),
  });
  const context = canvas.getContext("2d");
  context.fillStyle = color("card");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = color("track");
  context.fillRect(0, 0, WIDTH, down);
  layers.forEach((image, level) => {
    context.filter = level === 0 && explained ? "grayscale(0.75)" : "none";
    context.drawImage(image, (WIDTH - across) / 2, 0, across, down);
  });
  context.filter = "none";
  const text = (words, x, y, { size, weight, ink, right = false, most = WIDTH - 2 * MARGIN }) => {
    context.font = font(size, weight);
    context.fillStyle = color(ink);
    context.textAlign = right ? "right" : "left";
    context.fillText(words, x, y, most);
  };
  text(title, MARGIN, down + MARGIN + 30, { size: 36, weight: 700, ink: "ink" });
  text(note, MARGIN, down + MARGIN + 66, { size: 20, ink: "soft" });
  rows.forEach(({ label, share, probability }, row) => {
    const y = down + MARGIN + 108 + row * ROW;
    text(label, MARGIN, y, { size: 22, weight: row === 0 ? 650 : 400, ink: "ink", most: WIDTH - 2 * MARGIN - 120 });
    text(share, WIDTH - MARGIN, y, { size: 22, ink: "soft", right: true });
    context.fillStyle = color("track");
    context.fillRect(MARGIN, y + 12, WIDTH - 2 * MARGIN, 10);
    context.fillStyle = color(row === 0 ? "accent" : "second");
    context.fillRect(MARGIN, y + 12, Math.max(6, (WIDTH - 2 * MARGIN) * probability), 10);
  });
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** Lets the browser save an image under a name. */
export function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Whether images can be copied here: only pages of this machine or over HTTPS may. */
export function canCopy() {
  return isSecureContext && typeof ClipboardItem === "function" && Boolean(navigator.clipboard?.write);
}

/** Puts an image on the clipboard; it may still be drawn, since a browser allows this only right after a click. */
export function copy(image) {
  return navigator.clipboard.write([new ClipboardItem({ "image/png": image })]);
}
