// Loads the page again when the server has a newer version of it, and says so when the server has gone.

(function follow() {
  const state = document.querySelector("[data-version]");
  const opened = [...document.querySelectorAll("details")];
  const key = "open details";
  const seconds = 2;

  // What the reader had opened stays open; where they had scrolled to, the browser remembers.
  for (const index of JSON.parse(sessionStorage.getItem(key) || "[]")) if (opened[index]) opened[index].open = true;

  let touched = 0;
  for (const kind of ["pointerdown", "pointermove", "keydown"]) addEventListener(kind, () => (touched = Date.now()));

  async function look() {
    let version;
    try {
      const answer = await fetch("version", { cache: "no-store" });
      version = answer.ok ? await answer.text() : null;
    } catch {
      version = null;
    }
    if (version === null) {
      state.textContent = "no longer live";
      state.classList.add("over");
      return;
    }
    // Not under the reader's hand.
    if (version !== state.dataset.version && Date.now() - touched > 1500) {
      sessionStorage.setItem(key, JSON.stringify(opened.flatMap((each, index) => (each.open ? [index] : []))));
      location.reload();
      return;
    }
    setTimeout(look, seconds * 1000);
  }

  setTimeout(look, seconds * 1000);
})();
