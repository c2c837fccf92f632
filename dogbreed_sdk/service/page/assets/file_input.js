/* The ways to add pictures: a file dialog, the camera, a drop anywhere on the page, and the clipboard. */

// During a drag, browsers send events at least every 550 ms; not all of them send one when it leaves the window.
const DRAG_TIMEOUT_MS = 700;
const FOLDER = "That is a folder. Open it and choose the pictures in it.";
const NO_FILE = "That is not a file. Save the picture first, then choose or drop it.";
const NOTHING_PASTED = "The clipboard does not contain a picture.";

/**
 * Calls `add` with files, and `refuse` with a message for anything that contains no file.
 *
 * @param {{choose: HTMLElement, photograph: HTMLElement, files: HTMLInputElement, camera: HTMLInputElement,
 *   drop: HTMLElement}} parts
 * @param {(files: File[]) => void} add
 * @param {(why: string) => void} refuse
 */
export function listen(parts, add, refuse) {
  dialogs(parts, add);
  drops(parts.drop, add, refuse);
  document.addEventListener("paste", (event) => {
    if (event.target instanceof HTMLInputElement || document.querySelector("dialog[open]")) return;
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length > 0) add(files);
    else refuse(NOTHING_PASTED);
  });
}

function dialogs({ choose, photograph, files, camera, drop }, add) {
  choose.addEventListener("click", () => files.click());
  photograph.addEventListener("click", () => camera.click());
  // The whole area works as a button for the mouse; assistive technology and the keyboard use the button in it.
  drop.addEventListener("click", (event) => {
    if (!event.target.closest("button, input")) files.click();
  });
  for (const input of [files, camera]) {
    input.addEventListener("change", () => {
      const chosen = [...input.files];
      // So that choosing the same file again is a change.
      input.value = "";
      if (chosen.length > 0) add(chosen);
    });
  }
}

function drops(area, add, refuse) {
  let timer = 0;
  const mark = (on) => {
    clearTimeout(timer);
    area.classList.toggle("over", on);
    if (on) timer = setTimeout(() => mark(false), DRAG_TIMEOUT_MS);
  };
  document.addEventListener("dragover", (event) => {
    // Otherwise the browser would open a file that is dropped outside the area instead of the page.
    event.preventDefault();
    const files = event.dataTransfer.types.includes("Files");
    event.dataTransfer.dropEffect = files ? "copy" : "none";
    mark(files);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && mark(false));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const folders = items.filter((item) => item.webkitGetAsEntry?.()?.isDirectory);
    const files = items.filter((item) => !folders.includes(item)).map((item) => item.getAsFile()).filter(Boolean);
    if (files.length > 0) add(files);
    if (folders.length > 0) refuse(FOLDER);
    else if (files.length === 0) refuse(NO_FILE);
  });
}
