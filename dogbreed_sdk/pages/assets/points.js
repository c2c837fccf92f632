// Charts of single trials: points over a value, and lines across parallel axes. With `charts.js` and `tables.js`.

const POINT_MARGIN = { left: 56, right: 18, top: 26, bottom: 44 };
const REACH = 18;

// Where a value lies on an axis, 0 to 1; categories lie evenly.
function placeOn(axis, value) {
  if (axis.values) return axis.values.length > 1 ? axis.values.indexOf(value) / (axis.values.length - 1) : 0.5;
  if (axis.high === axis.low) return 0.5;
  if (axis.log) return Math.log(value / axis.low) / Math.log(axis.high / axis.low);
  return (value - axis.low) / (axis.high - axis.low);
}

// The labeled values of an axis, with their places.
function axisTicks(axis, wanted) {
  if (axis.values) return axis.values.map((value) => ({ place: placeOn(axis, value), text: String(value) }));
  const found = axis.log ? logTicks(axis.low, axis.high, wanted) : ticks(axis.low, axis.high, wanted);
  const shown = found.filter((value) => !axis.whole || Number.isInteger(value));
  return shown.map((value) => ({ place: placeOn(axis, value), text: plainNumber(value) }));
}

class PointChart {
  // What is drawn: `spec` has x and y (axes), points [{id, x, y, shade, kind, text}], and may have steps and a band.
  constructor(figure, spec) {
    this.figure = figure;
    this.spec = spec;
    this.plot = tag("div", { class: "plot trial-plot", tabindex: "0", role: "group", "aria-label": this.label() }, figure);
    this.svg = svg("svg", { "aria-hidden": "true" }, this.plot);
    this.readout = tag("div", { class: "readout", hidden: "" }, this.plot);
    this.spoken = tag("p", { class: "unseen", "aria-live": "polite" }, figure);
    this.cursor = null;
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  label() {
    const kind = `${this.spec.y.name} of ${this.spec.points.length} trials by ${this.spec.x.name}`;
    return `${kind}. Arrow keys read trials, Enter marks one in all charts, Escape ends that.`;
  }

  draw() {
    const width = this.printing ? PRINT_WIDTH : this.plot.clientWidth || PRINT_WIDTH;
    const height = this.printing ? 200 : 250;
    this.box = { width, height, right: width - POINT_MARGIN.right, bottom: height - POINT_MARGIN.bottom };
    this.svg.replaceChildren();
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.drawAxes();
    if (this.spec.steps) this.drawSteps();
    for (const point of this.spec.points) this.drawPoint(point);
    this.overlay = svg("g", {}, this.svg);
    paintChosen(this.svg);
  }

  px(place) {
    // Points on the first and last value stay whole.
    return POINT_MARGIN.left + 8 + place * (this.box.right - POINT_MARGIN.left - 16);
  }

  py(place) {
    return this.box.bottom - place * (this.box.bottom - POINT_MARGIN.top);
  }

  drawAxes() {
    const { right, bottom } = this.box;
    const { x, y, band } = this.spec;
    if (band) {
      const [from, to] = band.map((place) => this.px(place));
      const height = bottom - POINT_MARGIN.top;
      svg("rect", { x: from, y: POINT_MARGIN.top, width: Math.max(2, to - from), height, class: "band" }, this.svg);
    }
    for (const { place, text } of axisTicks(y, 5)) {
      svg("line", { x1: POINT_MARGIN.left, x2: right, y1: this.py(place), y2: this.py(place), class: "grid" }, this.svg);
      svg("text", { x: POINT_MARGIN.left - 8, y: this.py(place) + 4, class: "tick end" }, this.svg, text);
    }
    for (const { place, text } of axisTicks(x, Math.max(2, Math.floor((right - POINT_MARGIN.left) / 80)))) {
      svg("line", { x1: this.px(place), x2: this.px(place), y1: bottom, y2: bottom + 4, class: "axis" }, this.svg);
      svg("text", { x: this.px(place), y: bottom + 17, class: "tick middle" }, this.svg, text);
    }
    svg("line", { x1: POINT_MARGIN.left, x2: right, y1: bottom, y2: bottom, class: "axis" }, this.svg);
    svg("text", { x: right, y: bottom + 35, class: "title end" }, this.svg, x.log ? `${x.name}, log scale` : x.name);
    svg("text", { x: 4, y: 13, class: "title" }, this.svg, y.name);
  }

  // The best so far: level until a trial is better.
  drawSteps() {
    let d = "";
    let before = null;
    for (const [x, y] of this.spec.steps) {
      const [left, top] = [this.px(placeOn(this.spec.x, x)), this.py(placeOn(this.spec.y, y))];
      d += before === null ? `M${left} ${top}` : `L${left} ${before}L${left} ${top}`;
      before = top;
    }
    svg("path", { d, class: "best-so-far" }, this.svg);
  }

  // A trial without an objective is a cross on the axis.
  at(point) {
    const x = this.px(placeOn(this.spec.x, point.x) + (point.shift || 0));
    return [x, point.y === null ? this.box.bottom : this.py(placeOn(this.spec.y, point.y))];
  }

  drawPoint(point) {
    const [x, y] = this.at(point);
    const group = svg("g", { "data-mark": point.id, class: `trial shade-${point.shade}` }, this.svg);
    const shape = point.y === null ? "cross" : point.kind || "circle";
    svg("path", { d: shapePath(shape, x, y, point.shade === 0 ? 5 : 4), class: shape === "cross" ? "lost" : "spot" }, group);
  }

  listen() {
    this.plot.addEventListener("pointermove", (event) => this.read(this.near(event)));
    this.plot.addEventListener("pointerleave", () => document.activeElement !== this.plot && this.read(null));
    this.plot.addEventListener("blur", () => this.read(null));
    this.plot.addEventListener("click", (event) => {
      const point = this.near(event);
      if (point) choose(point.id);
    });
    this.plot.addEventListener("keydown", (event) => this.key(event));
  }

  near(event) {
    const box = this.plot.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left + this.plot.scrollLeft, event.clientY - box.top];
    let found = null;
    let least = REACH;
    for (const point of this.spec.points) {
      const distance = this.distance(point, x, y);
      if (distance < least) [found, least] = [point, distance];
    }
    return found;
  }

  distance(point, x, y) {
    const [left, top] = this.at(point);
    return Math.hypot(left - x, top - y);
  }

  key(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      const ordered = this.ordered();
      const here = ordered.indexOf(this.cursor);
      this.read(ordered[Math.min(Math.max(here + step, 0), ordered.length - 1)], true);
    } else if ((event.key === "Enter" || event.key === " ") && this.cursor) {
      event.preventDefault();
      choose(this.cursor.id);
    }
  }

  ordered() {
    return [...this.spec.points].sort((one, two) => this.at(one)[0] - this.at(two)[0]);
  }

  read(point, aloud) {
    this.cursor = point;
    this.overlay.replaceChildren();
    this.readout.replaceChildren();
    this.readout.hidden = !point;
    if (!point) return;
    this.mark(point);
    point.text.forEach((line, index) => tag(index ? "span" : "b", {}, this.readout, line));
    if (aloud) this.spoken.textContent = point.text.join("; ");
    const half = this.readout.offsetWidth / 2;
    const [x] = this.at(point);
    this.readout.style.left = `${Math.min(Math.max(x, half + 2), Math.max(half + 2, this.box.width - half - 2))}px`;
  }

  mark(point) {
    const [x, y] = this.at(point);
    svg("circle", { cx: x, cy: y, r: 8, class: "ring" }, this.overlay);
  }
}

const COLUMN = 118;

class ParallelChart extends PointChart {
  label() {
    const names = this.spec.axes.map((axis) => axis.name).join(", ");
    return `Parallel axes: ${names}; one line per trial. Arrow keys read trials, best first, Enter marks one in all charts.`;
  }

  draw() {
    const wide = Math.max(this.plot.clientWidth || WIDE_PRINT_WIDTH, COLUMN * this.spec.axes.length);
    const width = this.printing ? WIDE_PRINT_WIDTH : wide;
    this.box = { width, height: 320, right: width - 60, bottom: 290 };
    this.svg.replaceChildren();
    this.svg.setAttribute("viewBox", `0 0 ${width} 320`);
    this.svg.setAttribute("width", width);
    // The best trials lie above the others.
    for (const point of [...this.spec.points].reverse()) this.drawLine(point);
    this.spec.axes.forEach((axis, index) => this.drawAxis(axis, index));
    this.overlay = svg("g", {}, this.svg);
    paintChosen(this.svg);
  }

  column(index) {
    return 60 + (index * (this.box.right - 60)) / Math.max(1, this.spec.axes.length - 1);
  }

  row(place) {
    return this.box.bottom - place * (this.box.bottom - 40);
  }

  drawAxis(axis, index) {
    const x = this.column(index);
    const last = index === this.spec.axes.length - 1;
    svg("line", { x1: x, x2: x, y1: 40, y2: this.box.bottom, class: "axis" }, this.svg);
    svg("text", { x, y: 18, class: "title middle" }, this.svg, axis.name);
    if (axis.log) svg("text", { x, y: 31, class: "tick middle" }, this.svg, "log");
    for (const { place, text } of axisTicks(axis, 5)) {
      const y = this.row(place);
      svg("line", { x1: x - 3, x2: x + 3, y1: y, y2: y, class: "axis" }, this.svg);
      svg("text", { x: x + (last ? 8 : -8), y: y + 4, class: `tick halo ${last ? "" : "end"}` }, this.svg, text);
    }
  }

  corners(point) {
    return point.at.map((value, index) => {
      const place = value === null ? null : placeOn(this.spec.axes[index], value);
      return [this.column(index), place === null ? null : this.row(place)];
    });
  }

  drawLine(point) {
    let pen = "M";
    let d = "";
    for (const [x, y] of this.corners(point)) {
      if (y === null) continue;
      d += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
      pen = "L";
    }
    const lost = point.y === null ? " lost" : "";
    const group = svg("g", { "data-mark": point.id, class: `trial shade-${point.shade}` }, this.svg);
    svg("path", { d, class: `path${lost}` }, group);
  }

  distance(point, x, y) {
    const corners = this.corners(point).filter(([, top]) => top !== null);
    for (let index = 1; index < corners.length; index += 1) {
      const [[left, begin], [right, end]] = [corners[index - 1], corners[index]];
      if (x >= left && x <= right) return Math.abs(begin + ((x - left) / (right - left)) * (end - begin) - y);
    }
    return Infinity;
  }

  ordered() {
    return this.spec.points;
  }

  at(point) {
    const known = this.corners(point).filter(([, top]) => top !== null);
    return known[known.length - 1] || [0, 0];
  }

  mark(point) {
    for (const [x, y] of this.corners(point)) {
      if (y !== null) svg("circle", { cx: x, cy: y, r: 5, class: "ring" }, this.overlay);
    }
  }
}

(function points() {
  const specs = JSON.parse(document.getElementById("data").textContent).points;
  const drawn = [];
  for (const figure of document.querySelectorAll("[data-points]")) {
    const spec = specs[figure.dataset.points];
    drawn.push(spec.axes ? new ParallelChart(figure, spec) : new PointChart(figure, spec));
  }
  const print = (on) => {
    for (const chart of drawn) {
      chart.printing = on;
      chart.draw();
    }
  };
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));
})();
