/* The ways to add pictures: a file dialog, the camera, a drop anywhere on the page, the clipboard, and addresses. */

// During a drag, browsers send events at least every 550 ms; not all of them send one when it leaves the window.
const DRAG_TIMEOUT_MS = 700;
const FOLDER = "That is a folder. Open it and choose the pictures in it.";
const NO_FILE = "That is not a file. Save the picture first, then choose or drop it.";
const NO_ADDRESS = "That is not the address of a picture. Copy the whole address, from https on.";
const LONGEST_ADDRESS = 8000;
const NOTHING_PASTED = "The clipboard does not contain a picture.";

/**
 * Calls `add` with files and with addresses (URL), and `refuse` with a message for anything that contains neither.
 *
 * @param {{choose: HTMLElement, photograph: HTMLElement, files: HTMLInputElement, camera: HTMLInputElement,
 *   drop: HTMLElement, addressForm: HTMLFormElement, address: HTMLInputElement}} parts
 * @param {(pictures: (File | URL)[]) => void} add
 * @param {(why: string) => void} refuse
 * @param {boolean} takesAddresses Whether the service downloads pictures.
 */
export function listen(parts, add, refuse, takesAddresses) {
  dialogs(parts, add);
  drops(parts.drop, add, refuse, takesAddresses);
  if (takesAddresses) addresses(parts, add, refuse);
  document.addEventListener("paste", (event) => {
    if (event.target instanceof HTMLInputElement || document.querySelector("dialog[open]")) return;
    const files = [...(event.clipboardData?.files ?? [])];
    const address = takesAddresses ? addressIn(event.clipboardData?.getData("text/plain") ?? "") : null;
    if (files.length > 0) add(files);
    else if (address) add([address]);
    else refuse(NOTHING_PASTED);
  });
}

function addresses({ addressForm, address }, add, refuse) {
  addressForm.hidden = false;
  // The browser's own message for a bad address cannot be read together with ours.
  addressForm.noValidate = true;
  addressForm.addEventListener("submit", (event) => {
    event.preventDefault();
    const found = addressIn(address.value);
    if (!found) {
      refuse(NO_ADDRESS);
      address.focus();
      return;
    }
    address.value = "";
    add([found]);
  });
}

/** The address in a text that contains nothing else, or null. */
function addressIn(text) {
  const trimmed = text.trim();
  if (!/^https?:\/\/\S+$/i.test(trimmed) || trimmed.length > LONGEST_ADDRESS) return null;
  try {
    return new URL(trimmed);
  } catch {
    return null;
  }
}

function dialogs({ choose, photograph, files, camera, drop }, add) {
  choose.addEventListener("click", () => files.click());
  photograph.addEventListener("click", () => camera.click());
  // The whole area works as a button for the mouse; assistive technology and the keyboard use the button in it.
  drop.addEventListener("click", (event) => {
    if (!event.target.closest("button, input, form, ul")) files.click();
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

function drops(area, add, refuse, takesAddresses) {
  let timer = 0;
  const mark = (on) => {
    clearTimeout(timer);
    area.classList.toggle("over", on);
    if (on) timer = setTimeout(() => mark(false), DRAG_TIMEOUT_MS);
  };
  document.addEventListener("dragover", (event) => {
    // Otherwise the browser would open a file that is dropped outside the area instead of the page.
    event.preventDefault();
    const { types } = event.dataTransfer;
    const usable = types.includes("Files") || (takesAddresses && types.includes("text/uri-list"));
    event.dataTransfer.dropEffect = usable ? (types.includes("Files") ? "copy" : "link") : "none";
    mark(usable);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && mark(false));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const folders = items.filter((item) => item.webkitGetAsEntry?.()?.isDirectory);
    const files = items.filter((item) => !folders.includes(item)).map((item) => item.getAsFile()).filter(Boolean);
    // A picture that is dragged out of another page comes as its address.
    const lines = event.dataTransfer.getData("text/uri-list").split(/[\r\n]+/).filter((line) => line && !line.startsWith("#"));
    const links = takesAddresses && files.length === 0 ? lines.map(addressIn).filter(Boolean) : [];
    if (files.length > 0) add(files);
    else if (links.length > 0) {
      add(links);
      return;
    }
    if (folders.length > 0) refuse(FOLDER);
    else if (files.length === 0) refuse(NO_FILE);
  });
}
