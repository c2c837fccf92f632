"use strict";
// Line charts and heat maps: drawn as SVG or canvas, with zoom, a readout and keys. No dependency.

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { right: 14, top: 24, bottom: 40 };
// On paper two charts lie side by side, but those that need the whole width.
const PRINT_WIDTH = 330;
const WIDE_PRINT_WIDTH = 680;
const SHAPES = ["circle", "square", "triangle", "diamond", "plus", "cross", "down", "circle"];

function svg(name, attributes, parent, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

function tag(name, attributes, parent, text) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

// ---------------------------------------------------------------- numbers as text

function plainNumber(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e9) return value.toExponential(2).replace(/\.?0+e/, "e");
  if (size >= 1000) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(4)));
}

function timeText(value) {
  const size = Math.abs(value);
  if (value === 0) return "0 s";
  if (size < 1e-3) return `${Number((value * 1e6).toPrecision(3))} µs`;
  if (size < 1) return `${Number((value * 1e3).toPrecision(3))} ms`;
  if (size < 60) return `${Number(value.toPrecision(3))} s`;
  const whole = Math.round(value);
  const parts = whole < 3600 ? [whole / 60, "min", whole % 60, "s"] : [whole / 3600, "h", Math.floor((whole % 3600) / 60), "min"];
  return `${Math.floor(parts[0])} ${parts[1]}${parts[2] ? ` ${parts[2]} ${parts[3]}` : ""}`;
}

function bytesText(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; Math.abs(value) >= 1000 && unit < 4; unit += 1) value /= 1000;
  return `${Number(value.toPrecision(3))} ${units[unit]}/s`;
}

const UNITS = {
  number: plainNumber,
  share: (value) => `${Number((100 * value).toPrecision(3))}%`,
  percent: (value) => `${Number(value.toPrecision(3))}%`,
  seconds: timeText,
  bytes: bytesText,
};

// ---------------------------------------------------------------- scales

const CLOCK = [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];

// Round values between two numbers: 1, 2 or 5 times a power of ten apart, or seconds that make whole minutes.
function ticks(low, high, wanted, clock) {
  const raw = (high - low) / Math.max(1, wanted);
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const round = [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
  const step = (clock && CLOCK.find((seconds) => seconds >= 0.6 * raw)) || round;
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) {
    found.push(Number((index * step).toPrecision(12)));
  }
  return found;
}

function logTicks(low, high, wanted) {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const stride = Math.max(1, Math.ceil((last - first) / Math.max(1, wanted)));
  const factors = last - first <= 2 ? [1, 2, 5] : [1];
  const found = [];
  for (let power = first; power <= last; power += stride) {
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  }
  return found.length ? found : [low, high];
}

function nearest(sorted, value) {
  let low = 0;
  let high = sorted.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle;
    else high = middle;
  }
  return Math.abs(sorted[low] - value) <= Math.abs(sorted[high] - value) ? low : high;
}

// The ends of a value's interval; null if it is unknown.
function intervalAt(series, index) {
  const interval = series.e && series.e[index];
  return interval && interval[0] !== null ? interval : null;
}

function shapePath(shape, x, y, r) {
  switch (shape) {
    case "square": return `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`;
    case "triangle": return `M${x} ${y - r * 1.2}L${x + r * 1.15} ${y + r}H${x - r * 1.15}z`;
    case "down": return `M${x} ${y + r * 1.2}L${x + r * 1.15} ${y - r}H${x - r * 1.15}z`;
    case "diamond": return `M${x} ${y - r * 1.3}L${x + r * 1.3} ${y}L${x} ${y + r * 1.3}L${x - r * 1.3} ${y}z`;
    case "plus": return `M${x - r} ${y}h${2 * r}M${x} ${y - r}v${2 * r}`;
    case "cross": return `M${x - r} ${y - r}l${2 * r} ${2 * r}M${x + r} ${y - r}l${-2 * r} ${2 * r}`;
    default: return `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;
  }
}

// ---------------------------------------------------------------- a stretch that several charts show together

class View {
  constructor() {
    this.charts = [];
    this.range = null; // null: all
  }

  zoom(range) {
    this.range = range;
    for (const chart of this.charts) chart.draw();
  }
}

// ---------------------------------------------------------------- the chart

let chartCount = 0;

class LineChart {
  constructor(figure, spec, view) {
    this.figure = figure;
    this.spec = spec;
    this.view = view;
    this.id = `chart-${(chartCount += 1)}`;
    this.unit = UNITS[spec.unit] || plainNumber;
    this.position = spec.time ? timeText : (value) => `step ${plainNumber(value)}`;
    this.hidden = new Set(spec.series.flatMap((series, index) => (series.off ? [index] : [])));
    this.log = Boolean(spec.log);
    this.cursor = null;
    this.printing = false;
    this.extent = this.wholeExtent();
    view.charts.push(this);
    this.build();
    this.listen();
  }

  wholeExtent() {
    let low = Infinity;
    let high = -Infinity;
    for (const series of this.spec.series) {
      if (!series.x.length) continue;
      low = Math.min(low, series.x[0]);
      high = Math.max(high, series.x[series.x.length - 1]);
    }
    return low < high ? [low, high] : [low - 0.5, low + 0.5];
  }

  build() {
    this.legend = tag("div", { class: "legend", role: "group", "aria-label": "Curves" }, this.figure);
    this.buttons = this.spec.series.map((series, index) => this.legendButton(series, index));
    const tools = tag("div", { class: "tools" }, this.figure.querySelector("figcaption"));
    if (this.spec.loggable) {
      this.logButton = tag("button", { type: "button", "aria-pressed": String(this.log) }, tools, "log scale");
      this.logButton.addEventListener("click", () => this.setLog(!this.log));
    }
    this.resetButton = tag("button", { type: "button", hidden: "" }, tools, "reset zoom");
    this.resetButton.addEventListener("click", () => this.view.zoom(null));
    this.plot = tag("div", { class: "plot", tabindex: "0", role: "group", "aria-label": this.label() }, this.figure);
    this.svg = svg("svg", { "aria-hidden": "true" }, this.plot);
    this.readout = tag("div", { class: "readout", hidden: "" }, this.plot);
    this.spoken = tag("p", { class: "unseen", "aria-live": "polite" }, this.figure);
    this.notes = tag("ul", { class: "marks" }, this.figure);
    this.listMarks();
  }

  label() {
    const names = this.spec.series.map((series) => series.name).join(", ");
    return `Chart of ${this.spec.y} over ${this.spec.x}: ${names}. Arrow keys read values, plus and minus zoom, 0 resets.`;
  }

  legendButton(series, index) {
    const on = !this.hidden.has(index);
    const button = tag("button", { type: "button", "aria-pressed": String(on) }, this.legend);
    const swatch = svg("svg", { viewBox: "0 0 26 12", class: `swatch-line look-${series.look}` }, button);
    if (series.kind !== "dots") {
      svg("path", { d: "M1 6H25", class: series.kind === "faint" ? "curve faint" : "curve" }, swatch);
    }
    if (series.kind === "dots" || series.kind === "both") {
      svg("path", { d: shapePath(SHAPES[series.look], 13, 6, 3.2), class: "dot" }, swatch);
    }
    tag("span", {}, button, series.name);
    button.addEventListener("click", () => this.toggle(index, this.hidden.has(index)));
    return button;
  }

  toggle(index, on) {
    if (on) this.hidden.delete(index);
    else this.hidden.add(index);
    this.buttons[index].setAttribute("aria-pressed", String(on));
    if (this.onToggle) this.onToggle(index, on);
    this.draw();
  }

  setLog(on) {
    this.log = on;
    this.logButton.setAttribute("aria-pressed", String(on));
    this.draw();
  }

  // What the marks are, in words: for readers of small screens, of paper, and of no screen at all.
  listMarks() {
    const words = { finding: "▲", best: "◆", broken: "▨" };
    for (const mark of this.spec.marks.filter((each) => each.kind in words)) {
      const item = tag("li", { class: mark.kind }, this.notes);
      tag("span", { class: "sign", "aria-hidden": "true" }, item, words[mark.kind]);
      const until = mark.to !== null && mark.to !== mark.x ? ` to ${plainNumber(mark.to)}` : "";
      tag("span", {}, item, `${this.position(mark.x)}${until}: ${mark.label}`);
    }
    if (!this.notes.children.length) this.notes.remove();
  }

  // ------------------------------------------------------------ drawing

  size() {
    const paper = this.figure.closest(".pair, .quantities, .nodes") ? PRINT_WIDTH : WIDE_PRINT_WIDTH;
    const width = this.printing ? paper : this.plot.clientWidth || WIDE_PRINT_WIDTH;
    return { width, height: this.printing ? 200 : width < 480 ? 230 : 280 };
  }

  rightMargin() {
    return MARGIN.right;
  }

  shown() {
    return this.spec.series.map((series, index) => ({ series, index })).filter((each) => !this.hidden.has(each.index));
  }

  yDomain(from, to) {
    const usable = (value) => value !== null && (!this.log || value > 0);
    let low = Infinity;
    let high = -Infinity;
    for (const { series } of this.shown()) {
      series.x.forEach((x, index) => {
        const value = series.y[index];
        if (x < from || x > to || !usable(value)) return;
        const [bottom, top] = intervalAt(series, index) || [value, value];
        low = Math.min(low, this.log ? value : bottom);
        high = Math.max(high, top);
      });
    }
    if (low > high) return this.log ? [0.1, 1] : [0, 1];
    if (this.log) return low === high ? [low / 2, high * 2] : [low / 1.15, high * 1.15];
    if (this.spec.whole && this.spec.low !== null) low = Math.min(low, this.spec.low);
    if (this.spec.whole && this.spec.high !== null) high = Math.max(high, this.spec.high);
    const pad = (high - low || Math.abs(high) || 1) * 0.06;
    const bottom = this.spec.low === null ? low - pad : Math.max(low - pad, this.spec.low);
    const top = this.spec.high === null ? high + pad : Math.min(high + pad, this.spec.high);
    return bottom < top ? [bottom, top] : [bottom - 0.5, bottom + 0.5];
  }

  draw() {
    const { width, height } = this.size();
    const [from, to] = this.view.range || this.extent;
    const [low, high] = this.yDomain(from, to);
    const right = width - this.rightMargin();
    const bottom = height - MARGIN.bottom;
    const rows = this.log ? logTicks(low, high, 5) : ticks(low, high, 5);
    // A digit is about two thirds as wide as it is high; a label must not be cut off.
    this.left = Math.max(40, 16 + 7.5 * Math.max(...rows.map((value) => this.unit(value).length)));
    const place = this.log ? Math.log10 : (value) => value;
    this.x = (value) => this.left + ((value - from) / (to - from)) * (right - this.left);
    this.unx = (pixel) => from + ((pixel - this.left) / (right - this.left)) * (to - from);
    this.y = (value) => bottom - ((place(value) - place(low)) / (place(high) - place(low))) * (bottom - MARGIN.top);
    this.box = { from, to, low, high, right, bottom, width, height, rows };
    this.svg.replaceChildren();
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const clip = svg("clipPath", { id: this.id }, svg("defs", {}, this.svg));
    // A little wider than the axes: a marker on the border is seen whole.
    svg("rect", { x: this.left - 5, y: MARGIN.top - 5, width: right - this.left + 10, height: bottom - MARGIN.top + 6 }, clip);
    this.drawAxes();
    this.drawMarks();
    const inside = svg("g", { "clip-path": `url(#${this.id})` }, this.svg);
    for (const { series } of this.shown()) this.drawSeries(series, inside);
    this.overlay = svg("g", {}, this.svg);
    this.resetButton.hidden = this.view.range === null;
    this.showCursor();
  }

  drawAxes() {
    const { from, to, rows, right, bottom, width } = this.box;
    for (const value of rows) {
      const y = this.y(value);
      svg("line", { x1: this.left, x2: right, y1: y, y2: y, class: "grid" }, this.svg);
      svg("text", { x: this.left - 8, y: y + 4, class: "tick end" }, this.svg, this.unit(value));
    }
    const wanted = Math.max(2, Math.floor((right - this.left) / (this.spec.time ? 90 : 70)));
    const columns = ticks(from, to, wanted, this.spec.time && to - from > 90);
    for (const value of columns) {
      if (!this.spec.time && value !== Math.round(value)) continue;
      const label = this.spec.time ? timeText(value) : plainNumber(value);
      svg("line", { x1: this.x(value), x2: this.x(value), y1: bottom, y2: bottom + 4, class: "axis" }, this.svg);
      svg("text", { x: this.x(value), y: bottom + 17, class: "tick middle" }, this.svg, label);
    }
    svg("line", { x1: this.left, x2: right, y1: bottom, y2: bottom, class: "axis" }, this.svg);
    svg("text", { x: right, y: bottom + 33, class: "title end" }, this.svg, this.spec.x);
    const scale = this.log ? `${this.spec.y}, log scale` : this.spec.y;
    svg("text", { x: width < 480 ? 2 : 4, y: 12, class: "title" }, this.svg, scale);
  }

  drawMarks() {
    const { from, to, right, bottom } = this.box;
    const inside = this.spec.marks.filter((mark) => (mark.to === null ? mark.x : mark.to) >= from && mark.x <= to);
    const epochs = inside.filter((mark) => mark.kind === "epoch");
    const room = (right - this.left) / Math.max(1, epochs.length) >= 14;
    const flags = [];
    for (const mark of inside) {
      const x = this.x(mark.x);
      if (mark.kind === "epoch") {
        if (room) svg("line", { x1: x, x2: x, y1: MARGIN.top, y2: bottom, class: "mark epoch" }, this.svg);
      } else if (mark.kind === "phase" || mark.kind === "broken") {
        this.drawStretch(mark);
      } else {
        svg("line", { x1: x, x2: x, y1: MARGIN.top, y2: bottom, class: `mark ${mark.kind}` }, this.svg);
        const near = flags.filter((flag) => Math.abs(flag.x - x) < 13);
        const same = near.find((flag) => flag.kind === mark.kind);
        if (same) same.count += 1;
        else flags.push({ x, kind: mark.kind, count: 1, level: near.length });
      }
    }
    for (const flag of flags) this.drawFlag(flag);
  }

  // One flag for marks that would lie on each other, with their number; the list below the chart names them.
  drawFlag({ x, kind, count, level }) {
    const y = MARGIN.top - 1 + 13 * level;
    svg("path", { d: shapePath(kind === "finding" ? "triangle" : "diamond", x, y, 5), class: `flag ${kind}` }, this.svg);
    if (count === 1) return;
    const crowded = x > this.box.right - 24;
    const place = { x: x + (crowded ? -8 : 8), y: y + 4, class: `tick ${crowded ? "end" : ""}` };
    svg("text", place, this.svg, `×${count}`);
  }

  drawStretch(mark) {
    const { from, to, bottom } = this.box;
    const begin = this.x(Math.max(mark.x, from));
    const wide = Math.max(2, this.x(Math.min(mark.to === null ? mark.x : mark.to, to)) - begin);
    const height = bottom - MARGIN.top;
    svg("rect", { x: begin, y: MARGIN.top, width: wide, height, class: `stretch ${mark.kind}` }, this.svg);
    if (mark.kind === "phase" && wide > 7 * mark.label.length) {
      svg("text", { x: begin + wide / 2, y: MARGIN.top - 5, class: "tick middle" }, this.svg, mark.label);
      svg("line", { x1: begin, x2: begin, y1: MARGIN.top, y2: bottom, class: "mark epoch" }, this.svg);
    }
  }

  drawSeries(series, parent) {
    const group = svg("g", { class: `look-${series.look}${series.x.length > 200 ? " dense" : ""}` }, parent);
    const usable = (value) => value !== null && (!this.log || value > 0);
    if (series.e) this.drawErrors(series, group, usable);
    if (series.kind !== "dots") {
      let d = "";
      let pen = "M";
      series.y.forEach((value, index) => {
        if (!usable(value)) {
          pen = "M";
          return;
        }
        d += `${pen}${this.x(series.x[index]).toFixed(1)} ${this.y(value).toFixed(1)}`;
        pen = "L";
      });
      svg("path", { d, class: series.kind === "faint" ? "curve faint" : "curve" }, group);
    }
    const sparse = series.kind === "line" && series.x.length <= 40;
    if (series.kind === "dots" || (series.kind === "both" && series.x.length <= 120) || sparse) {
      series.y.forEach((value, index) => {
        if (usable(value)) {
          const d = shapePath(SHAPES[series.look], this.x(series.x[index]), this.y(value), 3.2);
          svg("path", { d, class: "dot" }, group);
        }
      });
    }
  }

  drawErrors(series, group, usable) {
    series.x.forEach((at, index) => {
      const interval = intervalAt(series, index);
      if (!interval || !usable(series.y[index])) return;
      const [low, high] = interval;
      const x = this.x(at);
      const lower = this.log ? Math.max(low, this.box.low) : low;
      svg("line", { x1: x, x2: x, y1: this.y(lower), y2: this.y(high), class: "error" }, group);
    });
  }

  // ------------------------------------------------------------ reading

  // All positions that have a value, ascending: where arrow keys go.
  positions() {
    const { from, to } = this.box;
    const all = new Set();
    for (const { series } of this.shown()) for (const x of series.x) if (x >= from && x <= to) all.add(x);
    return [...all].sort((one, other) => one - other);
  }

  showCursor() {
    this.overlay.replaceChildren();
    if (this.cursor === null || this.cursor < this.box.from || this.cursor > this.box.to) {
      this.readout.hidden = true;
      return;
    }
    const x = this.x(this.cursor);
    svg("line", { x1: x, x2: x, y1: MARGIN.top, y2: this.box.bottom, class: "cursor" }, this.overlay);
    this.readout.replaceChildren();
    tag("b", {}, this.readout, this.position(this.cursor));
    for (const { series } of this.shown()) this.readSeries(series);
    this.readMarks();
    this.readout.hidden = false;
    const half = this.readout.offsetWidth / 2;
    const left = Math.min(Math.max(x, half + 2), this.box.width - half - 2);
    this.readout.style.left = `${left}px`;
  }

  readSeries(series) {
    if (!series.x.length) return;
    const index = nearest(series.x, this.cursor);
    const at = series.x[index];
    // A value of another place is none of this one: sparse curves speak only near their points.
    if (Math.abs(this.x(at) - this.x(this.cursor)) > 14) return;
    const value = series.y[index];
    const row = tag("span", { class: `row look-${series.look}` }, this.readout);
    const swatch = svg("svg", { viewBox: "0 0 12 12", class: "swatch-line" }, row);
    svg("path", { d: shapePath(SHAPES[series.look], 6, 6, 3.4), class: "dot" }, swatch);
    const interval = intervalAt(series, index);
    const spread = interval ? ` (${interval.map((end) => this.unit(end)).join(" to ")})` : "";
    tag("span", {}, row, `${series.name}: ${value === null ? "not finite" : this.unit(value) + spread}`);
    if (value !== null && (!this.log || value > 0)) {
      const group = svg("g", { class: `look-${series.look}` }, this.overlay);
      svg("path", { d: shapePath(SHAPES[series.look], this.x(at), this.y(value), 4), class: "dot" }, group);
    }
  }

  readMarks() {
    const near = (mark) =>
      mark.to === null
        ? Math.abs(this.x(mark.x) - this.x(this.cursor)) <= 6
        : this.cursor >= mark.x && this.cursor <= mark.to;
    for (const mark of this.spec.marks.filter(near).slice(0, 6)) {
      tag("span", { class: `row mark-${mark.kind}` }, this.readout, mark.label);
    }
  }

  setCursor(value, speak) {
    this.cursor = value;
    this.showCursor();
    if (speak) this.spoken.textContent = [...this.readout.children].map((child) => child.textContent).join("; ");
  }

  // ------------------------------------------------------------ listening

  pixel(event) {
    return Math.min(Math.max(event.clientX - this.plot.getBoundingClientRect().left, this.left), this.box.right);
  }

  listen() {
    let begin = null;
    let brush = null;
    this.plot.addEventListener("pointerdown", (event) => {
      if (event.button === 0) begin = this.pixel(event);
    });
    this.plot.addEventListener("pointermove", (event) => {
      const here = this.pixel(event);
      if (begin !== null && Math.abs(here - begin) > 6) {
        if (!brush) this.plot.setPointerCapture(event.pointerId);
        brush = [Math.min(begin, here), Math.max(begin, here)];
        this.showBrush(brush);
      } else {
        this.pointAt(here);
      }
    });
    this.plot.addEventListener("pointerup", (event) => {
      if (brush) this.zoomTo(this.unx(brush[0]), this.unx(brush[1]));
      else this.pointAt(this.pixel(event));
      begin = brush = null;
    });
    this.plot.addEventListener("pointercancel", () => {
      begin = brush = null;
      this.showCursor();
    });
    this.plot.addEventListener("pointerleave", () => {
      if (begin === null && document.activeElement !== this.plot) this.setCursor(null, false);
    });
    this.plot.addEventListener("dblclick", () => this.view.zoom(null));
    this.plot.addEventListener("blur", () => this.setCursor(null, false));
    // A page must stay scrollable over its charts: the wheel zooms where a chart has the focus, or with Ctrl.
    this.plot.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.plot.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  pointAt(pixel) {
    const all = this.positions();
    if (all.length) this.setCursor(all[nearest(all, this.unx(pixel))], false);
  }

  showBrush([left, right]) {
    this.overlay.replaceChildren();
    this.readout.hidden = true;
    const height = this.box.bottom - MARGIN.top;
    svg("rect", { x: left, y: MARGIN.top, width: right - left, height, class: "brush" }, this.overlay);
  }

  zoomTo(from, to) {
    const [low, high] = this.extent;
    const least = this.spec.time ? (high - low) / 5000 : Math.min(2, high - low);
    const wide = Math.min(Math.max(to - from, least), high - low);
    const begin = Math.min(Math.max((from + to - wide) / 2, low), high - wide);
    this.view.zoom(wide >= (high - low) * 0.999 ? null : [begin, begin + wide]);
  }

  zoomBy(factor, center) {
    const { from, to } = this.box;
    this.zoomTo(center - (center - from) * factor, center + (to - center) * factor);
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== this.plot) return;
    event.preventDefault();
    this.zoomBy(event.deltaY > 0 ? 1.25 : 0.8, this.unx(this.pixel(event)));
  }

  key(event) {
    const { from, to } = this.box;
    const center = this.cursor === null ? (from + to) / 2 : this.cursor;
    const actions = {
      ArrowLeft: () => this.walk(event.shiftKey ? -10 : -1),
      ArrowRight: () => this.walk(event.shiftKey ? 10 : 1),
      Home: () => this.walk(-Infinity),
      End: () => this.walk(Infinity),
      "+": () => this.zoomBy(0.6, center),
      "=": () => this.zoomBy(0.6, center),
      "-": () => this.zoomBy(1.6, center),
      0: () => this.view.zoom(null),
      Escape: () => (this.cursor === null ? this.view.zoom(null) : this.setCursor(null, false)),
    };
    const action = event.target === this.plot && !event.ctrlKey && !event.metaKey && actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  walk(by) {
    const all = this.positions();
    if (!all.length) return;
    const here = this.cursor === null ? (by > 0 ? -1 : all.length) : nearest(all, this.cursor);
    this.setCursor(all[Math.min(Math.max(here + by, 0), all.length - 1)], true);
  }
}

// ---------------------------------------------------------------- heat maps

class HeatMap {
  constructor(figure, spec) {
    this.spec = spec;
    this.figure = figure;
    const columns = Math.max(...spec.rows.map((row) => row.values.length));
    const label = `Utilization of ${spec.rows.length} devices over ${timeText(spec.seconds)}`;
    const grid = tag("div", { class: "heat", role: "img", "aria-label": label }, figure);
    const names = tag("div", { class: "heat-names", "aria-hidden": "true" }, grid);
    const every = Math.ceil(spec.rows.length / 16);
    spec.rows.forEach((row, index) => tag("span", {}, names, index % every ? "" : row.name));
    this.canvas = tag("canvas", { width: columns, height: spec.rows.length }, grid);
    this.canvas.style.height = `${Math.max(60, Math.min(320, 16 * spec.rows.length))}px`;
    this.readout = tag("p", { class: "heat-readout", "aria-live": "off" }, figure, `0 s to ${timeText(spec.seconds)}`);
    this.canvas.addEventListener("pointermove", (event) => this.read(event));
    this.draw();
  }

  draw() {
    const context = this.canvas.getContext("2d");
    const style = getComputedStyle(this.canvas);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.fillStyle = style.color;
    this.spec.rows.forEach((row, y) => {
      row.values.forEach((value, x) => {
        if (value === null) return;
        context.globalAlpha = 0.04 + 0.96 * Math.min(1, Math.max(0, value / 100));
        context.fillRect(x, y, 1, 1);
      });
    });
  }

  read(event) {
    const box = this.canvas.getBoundingClientRect();
    const row = this.spec.rows[Math.floor(((event.clientY - box.top) / box.height) * this.spec.rows.length)];
    if (!row) return;
    const column = Math.floor(((event.clientX - box.left) / box.width) * row.values.length);
    const value = row.values[Math.min(column, row.values.length - 1)];
    const when = timeText((column / row.values.length) * this.spec.seconds);
    this.readout.textContent = `${row.name}, ${when}: ${value === null ? "no value" : `${value}%`}`;
  }
}
