/* The ways pictures come in: a file dialog, the camera, a drop anywhere, and the clipboard. */

// While something is dragged, browsers say so at least every 550 ms; that it has gone, not all of them say.
const SILENCE_MS = 700;
const FOLDER = "That was a folder. Open it and choose the pictures in it.";
const NO_FILE = "That was no file. Save the picture first, then choose or drop it.";
const NOTHING_PASTED = "There is no picture on the clipboard.";

/**
 * Calls `add` with files, and `refuse` with what is wrong with something that holds none.
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
  // The whole area is a button for those who point at it; the button in it is the one that is named and focused.
  drop.addEventListener("click", (event) => {
    if (!event.target.closest("button, input")) files.click();
  });
  for (const input of [files, camera]) {
    input.addEventListener("change", () => {
      const chosen = [...input.files];
      // The same file chosen twice in a row is a change again.
      input.value = "";
      if (chosen.length > 0) add(chosen);
    });
  }
}

function drops(area, add, refuse) {
  let silence = 0;
  const mark = (on) => {
    clearTimeout(silence);
    area.classList.toggle("over", on);
    if (on) silence = setTimeout(() => mark(false), SILENCE_MS);
  };
  document.addEventListener("dragover", (event) => {
    // Whatever misses would replace the page with itself.
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
