// Curves of several runs in one chart: by epoch, samples or step, with labels at their ends. With charts.js, tables.js.

const LABEL_GAP = 14;

class RunsChart extends LineChart {
  constructor(figure, spec, view, axes) {
    super(figure, spec, view);
    this.axes = axes;
    this.plot.addEventListener("click", (event) => this.pick(event));
    document.addEventListener("chosen", () => {
      this.drawLabels();
      paintChosen(this.figure);
    });
  }

  // One button per run, for its curves of training and validation alike.
  build() {
    super.build();
    this.legend.setAttribute("aria-label", `Runs: ${this.spec.y}`);
    this.legend.replaceChildren();
    this.runs = [...new Set(this.spec.series.map((series) => series.run))];
    this.off = new Set();
    for (const run of this.runs) {
      const look = this.spec.series.find((series) => series.run === run).look;
      const button = tag("button", { type: "button", "aria-pressed": "true", "data-mark": run }, this.legend);
      const swatch = svg("svg", { viewBox: "0 0 26 12", class: `swatch-line look-${look}` }, button);
      svg("path", { d: "M1 6H25", class: "curve" }, swatch);
      svg("path", { d: shapePath(SHAPES[look], 13, 6, 3.2), class: "dot" }, swatch);
      tag("span", {}, button, run);
      button.addEventListener("click", () => {
        if (this.off.has(run)) this.off.delete(run);
        else this.off.add(run);
        button.setAttribute("aria-pressed", String(!this.off.has(run)));
        this.draw();
      });
    }
  }

  label() {
    const names = [...new Set(this.spec.series.map((series) => series.run))].join(", ");
    return `${this.spec.y} of ${names}. Arrow keys read values, plus and minus zoom, 0 resets, Escape ends.`;
  }

  use(axis, splits) {
    for (const series of this.spec.series) {
      const at = series.places[axis];
      series.x = at || [];
      series.gone = !at || !splits.has(series.split);
    }
    this.spec.x = this.axes[axis];
    const word = { epoch: "epoch", samples: "samples", step: "step" }[axis];
    this.position = (value) => (axis === "samples" ? `${plainNumber(value)} samples` : `${word} ${plainNumber(value)}`);
    this.extent = this.wholeExtent();
    // All runs begin at nothing.
    this.extent[0] = Math.min(0, this.extent[0]);
    this.cursor = null;
  }

  shown() {
    return this.spec.series
      .map((series, index) => ({ series, index }))
      .filter(({ series }) => !series.gone && !(this.off && this.off.has(series.run)));
  }

  rightMargin() {
    const longest = Math.max(0, ...this.shown().map(({ series }) => this.short(series.run).length));
    return MARGIN.right + 8 + 7.4 * longest;
  }

  short(run) {
    const most = this.plot.clientWidth < 480 ? 9 : 18;
    return run.length > most ? `…${run.slice(1 - most)}` : run;
  }

  drawSeries(series, parent) {
    super.drawSeries(series, svg("g", { "data-mark": series.run, class: `run ${series.split}` }, parent));
  }

  draw() {
    super.draw();
    this.drawLabels();
    paintChosen(this.figure);
  }

  // The run's name where its curve ends; names that would lie on each other are moved apart.
  drawLabels() {
    const ends = new Map();
    for (const { series } of this.shown()) {
      if (ends.has(series.run) && series.split === "training") continue;
      for (let index = series.x.length - 1; index >= 0; index -= 1) {
        const [x, y] = [series.x[index], series.y[index]];
        if (y === null || x === null || x > this.box.to || (this.log && y <= 0)) continue;
        ends.set(series.run, { run: series.run, look: series.look, x: this.x(x), y: this.y(y) });
        break;
      }
    }
    // Where not all names fit: the marked runs, then the best ones, which come first.
    const room = Math.floor((this.box.bottom - MARGIN.top) / LABEL_GAP);
    const wanted = [...ends.values()].sort((one, two) => chosen.has(two.run) - chosen.has(one.run));
    const labels = wanted.slice(0, room).sort((one, two) => one.y - two.y);
    labels.forEach((label, index) => {
      label.at = Math.max(label.y, index ? labels[index - 1].at + LABEL_GAP : MARGIN.top);
    });
    for (let index = labels.length - 1, floor = this.box.bottom; index >= 0; index -= 1, floor -= LABEL_GAP) {
      labels[index].at = Math.min(labels[index].at, floor);
      floor = labels[index].at;
    }
    if (this.names) this.names.remove();
    const layer = (this.names = svg("g", {}));
    this.svg.insertBefore(layer, this.overlay);
    for (const { run, look, x, y, at } of labels) {
      const group = svg("g", { "data-mark": run, class: `run look-${look}` }, layer);
      svg("line", { x1: x + 3, y1: y, x2: this.box.right + 4, y2: at, class: "leader" }, group);
      svg("text", { x: this.box.right + 8, y: at + 4, class: "tick name" }, group, this.short(run));
    }
  }

  readSeries(series) {
    const { name } = series;
    series.name = `${series.run}, ${series.split}`;
    super.readSeries(series);
    series.name = name;
  }

  // The curve under the pointer is marked everywhere.
  pick(event) {
    const box = this.plot.getBoundingClientRect();
    const [left, top] = [event.clientX - box.left, event.clientY - box.top];
    let found = null;
    let least = 14;
    for (const { series } of this.shown()) {
      if (!series.x.length) continue;
      const index = nearest(series.x, this.unx(left));
      const value = series.y[index];
      if (value === null || (this.log && value <= 0)) continue;
      const distance = Math.abs(this.y(value) - top);
      if (distance < least) [found, least] = [series.run, distance];
    }
    if (found) choose(found);
  }
}

(function runs() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const view = new View();
  const figures = [...document.querySelectorAll("[data-runs]")];
  const axes = Object.keys(data.axes);
  const select = document.getElementById("axis");
  const boxes = [...document.querySelectorAll("[data-split]")];
  const state = () => new Set(boxes.filter((box) => box.checked).map((box) => box.dataset.split));
  const charts = figures.map((figure) => {
    const spec = data.runs[figure.dataset.runs];
    for (const series of spec.series) series.x = series.places[axes[0]] || [];
    return new RunsChart(figure, spec, view, data.axes);
  });
  const apply = () => {
    for (const chart of charts) chart.use(select ? select.value : axes[0], state());
    const ends = charts.map((chart) => chart.extent);
    const whole = [Math.min(...ends.map(([low]) => low)), Math.max(...ends.map(([, high]) => high))];
    for (const chart of charts) chart.extent = whole;
    view.zoom(null);
  };
  if (select) select.addEventListener("change", apply);
  for (const box of boxes) box.addEventListener("change", apply);
  if (charts.length) apply();
  const print = (on) => {
    for (const chart of charts) {
      chart.printing = on;
      chart.cursor = null;
      chart.draw();
    }
  };
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));
})();
