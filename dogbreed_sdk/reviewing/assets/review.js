// Keeps the ignore list up to date with the ticked pictures; a picture that is shown twice is ticked twice.
(() => {
  "use strict";
  const facts = JSON.parse(document.getElementById("data").textContent);
  const boxes = [...document.querySelectorAll(".tick input")];
  const list = document.getElementById("ignore-list");
  const ticked = new Map(Object.entries(facts.hidden));
  const order = [...ticked.keys()];
  for (const box of boxes) {
    if (!order.includes(box.value)) order.push(box.value);
  }

  const show = () => {
    for (const box of boxes) {
      if (box.checked) ticked.set(box.value, box.dataset.line);
      else ticked.delete(box.value);
    }
    const lines = order.filter((picture) => ticked.has(picture)).map((picture) => ticked.get(picture));
    list.value = facts.head + lines.map((line) => `${line}\n`).join("");
    document.getElementById("ticked").textContent =
      lines.length === 1 ? "1 picture to ignore" : `${lines.length} pictures to ignore`;
  };

  document.querySelector("main").addEventListener("change", (event) => {
    if (!event.target.matches(".tick input")) return;
    for (const box of boxes) if (box.value === event.target.value) box.checked = event.target.checked;
    show();
  });

  const said = (text) => { document.getElementById("copied").textContent = text; };
  document.getElementById("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(list.value);
      said("Copied.");
    } catch {
      list.focus();
      list.select();
      said(document.execCommand("copy") ? "Copied." : "Press Ctrl+C to copy the selected text.");
    }
  });
  document.getElementById("download").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([list.value], { type: "text/plain" }));
    link.download = facts.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    said(`Save it as ${facts.name} in the data set's folder.`);
  });
  document.getElementById("none").addEventListener("click", () => {
    for (const box of boxes) box.checked = false;
    ticked.clear();
    show();
  });
  document.getElementById("basket").hidden = false;
  show();
})();
