// The confusion matrix with the pictures of its cells, repeated pictures, and the threshold's slider.

function startEvaluation() {
  const data = JSON.parse(document.getElementById("data").textContent);
  // Recorded runs may have learned from something else.
  const noun = data.noun || "picture";
  // A larger matrix fits no screen.
  const MOST_CLASSES = 30;

  for (const image of document.querySelectorAll("img[data-picture]")) image.src = source(image.dataset.picture);
  if (document.getElementById("matrix")) connectMatrix(data.confusion);
  if (document.getElementById("threshold")) connectThreshold(data.coverage);

  // Each picture is in the page once: in the image that shows it first, or in the data.
  function source(name) {
    return data.sources[name] || document.getElementById(name).src;
  }

  function make(tag, properties, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in made && name !== "list") made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  function percent(share) {
    return `${Number((100 * share).toPrecision(3))}%`;
  }

  // As probability_text formats it.
  function chance(probability) {
    if (probability < 0.005) return "<1%";
    return probability > 0.995 ? ">99%" : `${Math.round(100 * probability)}%`;
  }

  function pictures(count) {
    return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
  }

  function connectMatrix({ classes, totals, mistakes: all, counts, pictures: listed }) {
    const place = document.getElementById("matrix");
    const order = document.getElementById("matrix-order");
    const search = document.getElementById("matrix-search");
    const count = new Map(counts.map(([row, column, number]) => [row * classes.length + column, number]));
    const at = (row, column) => count.get(row * classes.length + column) || 0;
    // How often each pair of classes is confused, whichever is the true one.
    const confused = classes.map(() => new Map());
    for (const [row, column, number] of counts) {
      if (row === column) continue;
      for (const [one, other] of [[row, column], [column, row]]) {
        confused[one].set(other, (confused[one].get(other) || 0) + number);
      }
    }
    const mistakes = confused.map((others) => [...others.values()].reduce((sum, number) => sum + number, 0));
    const anyPicture = listed.some((each) => each[5]);
    let chosen = null;

    document.getElementById("matrix-search-label").hidden = classes.length <= MOST_CLASSES;
    document.getElementById("matrix-classes").append(...classes.map((name) => make("option", { value: name })));
    order.addEventListener("change", draw);
    search.addEventListener("input", draw);
    for (const button of document.querySelectorAll("button.show")) {
      button.addEventListener("click", () => {
        choose(Number(button.dataset.row), Number(button.dataset.column));
        document.getElementById("cell").scrollIntoView({ block: "center" });
      });
    }
    draw();

    // The classes that are drawn: all, or those confused most, or the one searched for and what it is confused with.
    function drawn() {
      const wanted = classes.indexOf(search.value);
      if (wanted >= 0) {
        const others = [...confused[wanted].entries()].sort((one, other) => other[1] - one[1]);
        return { rows: [wanted, ...others.slice(0, MOST_CLASSES - 1).map(([index]) => index)], wanted };
      }
      const every = classes.map((_, index) => index);
      if (classes.length <= MOST_CLASSES) return { rows: every, wanted: -1 };
      return { rows: grown(every), wanted: -1 };
    }

    // Begins with the most confused class, and adds the class most confused with those there so far.
    function grown(every) {
      const rows = [];
      const ties = classes.map(() => 0);
      const left = new Set(every);
      while (rows.length < MOST_CLASSES && left.size) {
        const next = [...left].reduce((best, index) =>
          ties[index] > ties[best] || (ties[index] === ties[best] && mistakes[index] > mistakes[best]) ? index : best,
        );
        left.delete(next);
        rows.push(next);
        for (const [other, number] of confused[next]) ties[other] += number;
      }
      return rows;
    }

    function sorted(rows) {
      const names = new Intl.Collator("en", { numeric: true });
      if (order.value === "name") return rows.sort((one, other) => names.compare(classes[one], classes[other]));
      if (order.value === "mistakes") return rows.sort((one, other) => mistakes[other] - mistakes[one] || one - other);
      if (order.value === "data") return rows.sort((one, other) => one - other);
      return chained(rows);
    }

    // Each class beside the one that it is confused with most, among those not yet placed.
    function chained(rows) {
      const left = new Set(rows);
      const placed = [];
      let last = null;
      while (left.size) {
        const tie = (index) => (last === null ? 0 : confused[last].get(index) || 0);
        last = [...left].reduce((best, index) =>
          tie(index) > tie(best) || (tie(index) === tie(best) && mistakes[index] > mistakes[best]) ? index : best,
        );
        left.delete(last);
        placed.push(last);
      }
      return placed;
    }

    function draw() {
      const { rows: found, wanted } = drawn();
      const rows = sorted(found);
      document.getElementById("matrix-shown").textContent = rows.length === classes.length ? "" : which(rows, wanted);
      const heads = rows.map((column) =>
        make("th", { scope: "col", title: classes[column] }, make("span", {}, classes[column])),
      );
      const body = rows.map((row) =>
        make(
          "tr",
          {},
          make("th", { scope: "row", title: classes[row] }, classes[row]),
          ...rows.map((column) => cell(row, column)),
        ),
      );
      const caption = "Confusion matrix: rows are true classes, columns are answers";
      place.replaceChildren(
        make(
          "table",
          { className: "matrix" },
          make("caption", { className: "unseen" }, caption),
          make("thead", {}, make("tr", {}, make("td", {}), ...heads)),
          make("tbody", {}, ...body),
        ),
      );
      const buttons = [...place.querySelectorAll("button")];
      const first = buttons.find((button) => button.classList.contains("wrong")) || buttons[0];
      if (first) first.tabIndex = 0;
      if (chosen) mark(...chosen);
    }

    // Which classes are drawn, and how many of all mistakes are among them.
    function which(rows, wanted) {
      const inside = rows
        .flatMap((row) => rows.map((column) => (row === column ? 0 : at(row, column))))
        .reduce((sum, number) => sum + number, 0);
      const some =
        wanted >= 0
          ? `${classes[wanted]}, and the ${rows.length - 1} classes that it is confused with most`
          : `The ${rows.length} most confused of ${classes.length} classes`;
      const share = `${inside.toLocaleString("en")} of ${all.toLocaleString("en")} mistakes`;
      return `${some}: ${share}. Search for a class to see it.`;
    }

    function cell(row, column) {
      const number = at(row, column);
      const right = row === column;
      const look = { className: right ? "diagonal" : "" };
      if (!number) return make("td", look);
      const answer = right ? "classified correctly" : `classified as ${classes[column]}`;
      const told = `${pictures(number)} of ${classes[row]} ${answer}`;
      const button = make(
        "button",
        {
          type: "button",
          tabIndex: -1,
          title: told,
          className: right ? "right" : "wrong",
          "aria-label": told,
          "data-row": row,
          "data-column": column,
        },
        String(number),
      );
      button.style.setProperty("--share", `${Math.round(8 + 44 * Math.sqrt(number / totals[row]))}%`);
      button.addEventListener("click", () => choose(row, column));
      button.addEventListener("keydown", move);
      return make("td", look, button);
    }

    // Arrow keys lead to the next cell with pictures in their direction.
    function move(event) {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      const rows = [...place.querySelectorAll("tbody tr")].map((row) => [...row.querySelectorAll("td")]);
      let down = rows.findIndex((row) => row.includes(event.target.parentElement));
      let across = rows[down].indexOf(event.target.parentElement);
      do {
        [down, across] = [down + step[0], across + step[1]];
      } while (rows[down]?.[across] && !rows[down][across].firstChild);
      const next = rows[down]?.[across]?.firstChild;
      if (!next) return;
      event.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    }

    function mark(row, column) {
      for (const button of place.querySelectorAll("button")) {
        const here = Number(button.dataset.row) === row && Number(button.dataset.column) === column;
        button.toggleAttribute("aria-current", false);
        if (here) button.setAttribute("aria-current", "true");
      }
    }

    function choose(row, column) {
      chosen = [row, column];
      mark(row, column);
      const shown = of(row, column);
      const number = at(row, column);
      const right = row === column;
      const title = right ? `${classes[row]}, classified correctly` : `${classes[row]} classified as ${classes[column]}`;
      const some = shown.length < number ? `; ${right ? "the surest" : "the worst"} ${shown.length} are shown` : "";
      const count = `${pictures(number)} of ${totals[row].toLocaleString("en")} of this class${some}`;
      const parts = [make("h3", {}, title), make("p", { className: "quiet" }, count)];
      parts.push(make("div", { className: "pictures" }, ...shown.map(figure)));
      for (const index of right || !anyPicture ? [] : [row, column]) {
        const typical = of(index, index).filter((each) => each[5]);
        if (!typical.length) continue;
        parts.push(make("h4", {}, `Typical: ${classes[index]}`));
        parts.push(make("div", { className: "pictures few" }, ...typical.map(figure)));
      }
      document.getElementById("cell").replaceChildren(...parts);
    }

    function of(row, column) {
      return listed.filter((each) => each[0] === row && each[1] === column);
    }

    function figure([row, , name, probability, rejected, picture]) {
      const shown = picture
        ? make("img", { src: source(picture), alt: `a picture of ${classes[row]}` })
        : make("span", { className: "none" }, "no picture here");
      const sure = probability === null ? "" : `${chance(probability)} sure`;
      const said = [sure, rejected ? "rejected" : ""].filter(Boolean).join(", ");
      const caption = make("figcaption", {}, said, make("small", {}, name));
      return make("figure", {}, ...(anyPicture ? [shown] : []), caption);
    }
  }

  function connectThreshold(points) {
    const slider = document.getElementById("threshold");
    const said = document.getElementById("traded");
    const plot = document.querySelector("svg.coverage");
    const names = ["left", "width", "top", "height", "low"];
    const [left, width, top, height, low] = names.map((name) => Number(plot.dataset[name]));
    slider.min = 0;
    slider.max = Math.max(1, points.length - 1);
    slider.step = 1;
    slider.value = 0;
    const show = () => {
      const [threshold, coverage, accuracy] = points[Math.min(points.length - 1, Number(slider.value))];
      const x = left + width * coverage;
      const y = top + height * (1 - (accuracy - low) / (1 - low));
      document.getElementById("coverage-mark").setAttribute("cx", x);
      document.getElementById("coverage-mark").setAttribute("cy", y);
      for (const end of ["x1", "x2"]) document.getElementById("coverage-cursor").setAttribute(end, x);
      const told =
        `at least ${percent(threshold)} sure: ${percent(coverage)} of the ${noun}s are answered, ` +
        `${percent(accuracy)} of these answers are right`;
      said.textContent = told;
      slider.setAttribute("aria-valuetext", told);
    };
    slider.addEventListener("input", show);
    show();
  }
}

startEvaluation();
document.addEventListener("renewed", startEvaluation);
