// Puts what the server has newer into the page, and says when the server has gone.

(function follow() {
  const state = document.querySelector("[data-version]");
  const seconds = 5;

  let touched = 0;
  for (const kind of ["pointerdown", "pointermove", "keydown"]) addEventListener(kind, () => (touched = Date.now()));

  async function look() {
    try {
      const answer = await fetch("version", { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      const version = await answer.text();
      // Not under the reader's hand.
      if (version !== state.dataset.version && Date.now() - touched > 1500) await renew();
    } catch {
      state.textContent = "no longer live";
      state.classList.add("over");
      return;
    }
    setTimeout(look, seconds * 1000);
  }

  async function renew() {
    const answer = await fetch("", { cache: "no-store" });
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const texts = (page, selector) => [...page.querySelectorAll(selector)].map((each) => each.textContent).join();
    // Sections of a new kind bring a script of their own, which only a page that is loaded may run.
    if (["style", "script:not([type])"].some((each) => texts(document, each) !== texts(next, each))) {
      location.reload();
      return;
    }
    const restore = [keptDetails(), keptChoice(), keptPlace()];
    for (const selector of ["main", "nav", "footer", "title", "#charts", "#data"]) {
      const [old, fresh] = [document, next].map((page) => page.querySelector(selector));
      if (old && fresh) old.replaceWith(document.importNode(fresh, true));
    }
    state.dataset.version = next.querySelector("[data-version]").dataset.version;
    restore[0]();
    restore[1]();
    document.dispatchEvent(new Event("renewed"));
    restore[2]();
  }

  // Rows move as rules change their status: what the reader opened or closed is known by its section and name.
  function keptDetails() {
    const all = () => [...document.querySelectorAll("main details")];
    const key = (each) => {
      const name = each.querySelector("summary .name") || each.querySelector("summary");
      return `${each.closest("section").id} ${name.textContent}`;
    };
    const open = new Map(all().map((each) => [key(each), each.open]));
    return () => {
      for (const each of all()) if (open.has(key(each))) each.open = open.get(key(each));
    };
  }

  function keptChoice() {
    const all = () => [...document.querySelectorAll("select[data-choice]")];
    const chosen = all().map((each) => each.value);
    return () => {
      all().forEach((each, index) => {
        if ([...each.options].some((option) => option.value === chosen[index])) each.value = chosen[index];
      });
    };
  }

  // The section in view stays where it is, however much those above it have grown.
  function keptPlace() {
    const top = (id) => document.getElementById(id)?.getBoundingClientRect().top;
    const above = [...document.querySelectorAll("main section[id]")].filter((each) => top(each.id) <= 100).pop();
    const before = above && top(above.id);
    return () => {
      const now = above && top(above.id);
      if (now !== undefined) scrollBy({ top: now - before, behavior: "instant" });
    };
  }

  setTimeout(look, seconds * 1000);
})();
