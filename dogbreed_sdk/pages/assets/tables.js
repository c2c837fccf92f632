// Tables that a click on a heading sorts, and rows that a click marks everywhere on the page.

const chosen = new Set();

// What belongs to a row elsewhere: points and curves with the same data-mark.
function paintChosen(root = document) {
  document.body.classList.toggle("some-chosen", chosen.size > 0);
  for (const part of root.querySelectorAll("[data-mark]")) {
    part.classList.toggle("chosen", chosen.has(part.dataset.mark));
  }
  for (const button of document.querySelectorAll("[data-pick]")) {
    button.setAttribute("aria-pressed", String(chosen.has(button.dataset.pick)));
  }
}

function choose(id) {
  if (chosen.has(id)) chosen.delete(id);
  else chosen.add(id);
  paintChosen();
  document.dispatchEvent(new Event("chosen"));
}

(function tables() {
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    table.querySelectorAll("thead th").forEach((head, column) => {
      if (!head.textContent) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sortBy(table, head, column));
    });
  }
  document.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-mark]");
    if (row && !event.target.closest("a, summary, button:not([data-pick])") && !String(window.getSelection())) {
      choose(row.dataset.mark);
    } else if (!row && event.target.closest("[data-pick]")) {
      choose(event.target.closest("[data-pick]").dataset.pick);
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !chosen.size) return;
    chosen.clear();
    paintChosen();
    document.dispatchEvent(new Event("chosen"));
  });

  function sortBy(table, head, column) {
    const first = head.dataset.first || "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    for (const each of table.querySelectorAll("thead th")) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const body = table.tBodies[0];
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...body.rows].map((row) => ({ row, value: valueOf(row.cells[column]) }));
    // Rows without a value stay at the end, whatever the order.
    rows.sort((one, two) => {
      if (one.value === "" || two.value === "") return (one.value === "") - (two.value === "");
      if (typeof one.value === "number" && typeof two.value === "number") return sign * (one.value - two.value);
      return sign * String(one.value).localeCompare(String(two.value), "en", { numeric: true });
    });
    body.append(...rows.map(({ row }) => row));
  }

  function valueOf(cell) {
    const text = cell.dataset.value === undefined ? cell.textContent.trim() : cell.dataset.value;
    return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  }
})();
