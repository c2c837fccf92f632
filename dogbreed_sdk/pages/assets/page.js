// Brings the page to life: charts, the choice of a statistic, printing.

// Ends what an earlier start left outside of <main>.
let pageListeners = new AbortController();

function startPage() {
  pageListeners.abort();
  pageListeners = new AbortController();
  const { signal } = pageListeners;
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const views = new Map();
  const drawn = new Map();

  for (const figure of document.querySelectorAll("[data-chart]")) {
    const spec = charts[figure.dataset.chart];
    if (!spec) continue;
    if (spec.heat) {
      drawn.set(figure.dataset.chart, new HeatMap(figure, spec));
      continue;
    }
    if (!spec.link || !views.has(spec.link)) views.set(spec.link || figure.dataset.chart, new View());
    drawn.set(figure.dataset.chart, new LineChart(figure, spec, views.get(spec.link || figure.dataset.chart)));
  }

  // Charts that zoom together also begin and end together.
  for (const view of views.values()) {
    const extents = view.charts.map((chart) => chart.extent);
    const whole = [Math.min(...extents.map(([low]) => low)), Math.max(...extents.map(([, high]) => high))];
    for (const chart of view.charts) chart.extent = whole;
    view.zoom(null);
  }

  for (const group of document.querySelectorAll("[data-option]")) connectRows(group);
  for (const select of document.querySelectorAll("[data-choice]")) connectChoice(select);
  connectPrinting();
  connectColors();
  connectNavigation();
  connectDownloads();

  // A row's tick shows or hides its curve; the legend is then no more than a legend.
  function connectRows(group) {
    const chart = drawn.get(group.querySelector("[data-chart]").dataset.chart);
    const boxes = [...group.querySelectorAll("[data-series]")];
    for (const box of boxes) {
      box.addEventListener("change", () => chart.toggle(Number(box.dataset.series), box.checked));
    }
    chart.onToggle = (index, on) => {
      boxes[index].checked = on;
      chart.buttons[index].hidden = !on;
    };
    chart.buttons.forEach((button, index) => (button.hidden = chart.hidden.has(index)));
  }

  function connectChoice(select) {
    const groups = [...document.querySelectorAll("[data-option]")];
    const choose = () => {
      for (const group of groups) group.classList.toggle("unchosen", group.dataset.option !== select.value);
    };
    select.addEventListener("change", choose);
    choose();
  }

  function connectPrinting() {
    const print = (on) => {
      for (const chart of drawn.values()) {
        if (!(chart instanceof LineChart)) continue;
        chart.printing = on;
        chart.cursor = null;
        chart.draw();
      }
      // What was found is printed with its evidence; a rule without findings is a line.
      if (on) for (const rule of document.querySelectorAll("details.found")) rule.open = true;
    };
    window.addEventListener("beforeprint", () => print(true), { signal });
    window.addEventListener("afterprint", () => print(false), { signal });
  }

  function connectColors() {
    const redraw = () => [...drawn.values()].forEach((chart) => chart.draw());
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw, { signal });
  }

  // The numbers behind the charts, as a file: one row per point as CSV, the charts themselves as JSON.
  function connectDownloads() {
    const makers = { csv: () => ["text/csv", table()], json: () => ["application/json", JSON.stringify(charts)] };
    for (const button of document.querySelectorAll("[data-download]")) {
      const form = button.dataset.download;
      button.hidden = false;
      button.addEventListener("click", () => {
        const [type, text] = makers[form]();
        const link = document.createElement("a");
        link.href = URL.createObjectURL(new Blob([text], { type }));
        link.download = `${button.dataset.name}.${form}`;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 1000);
      });
    }
  }

  function table() {
    // A spreadsheet would take a text that begins with = for a formula.
    const quoted = (text) => `"${String(text).replace(/^[=+\-@\t]/, "'$&").replaceAll('"', '""')}"`;
    const rows = ["chart,curve,x,y"];
    for (const [name, chart] of Object.entries(charts)) {
      for (const series of chart.series || []) {
        const begin = `${quoted(name)},${quoted(series.name)},`;
        series.x.forEach((x, index) => rows.push(`${begin}${x ?? ""},${series.y[index] ?? ""}`));
      }
    }
    return rows.join("\n") + "\n";
  }

  // The section under the reader's eyes is marked in the navigation.
  function connectNavigation() {
    const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
    const watch = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          const link = links.get(entry.target.id);
          if (!link || !entry.isIntersecting) continue;
          for (const other of links.values()) other.removeAttribute("aria-current");
          link.setAttribute("aria-current", "true");
        }
      },
      { rootMargin: "-20% 0px -70% 0px" },
    );
    for (const section of document.querySelectorAll("main section")) watch.observe(section);
    signal.addEventListener("abort", () => watch.disconnect());
  }
}

startPage();
document.addEventListener("renewed", startPage);
