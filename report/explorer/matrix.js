// The matrix: sources down, targets across, one attack at one budget.

const matrix = { rows: [], columns: [], squares: [], drawn: "" };

function drawMatrix(state) {
  const all = cellsOf(state.dataset);
  const name = `${state.dataset}|${state.attack}`;
  if (matrix.drawn !== name) {
    const shown = all.filter((cell) => cell.attack.attack === state.attack);
    const byModel = (a, b) => a.seed_relation.localeCompare(b.seed_relation) * -1 || a.source.order - b.source.order;
    matrix.rows = [...new Map([...shown].sort(byModel).map((cell) => [rowKey(cell), cell])).entries()];
    matrix.columns = [...new Set(shown.map((cell) => cell.target))].sort((a, b) => a.order - b.order);
    matrix.squares = [];
    const head = make("tr", {}, make("td"), matrix.columns.map((target) =>
      make("th", { scope: "col", "data-target": target.model }, make("span", {}, target.label))));
    const body = matrix.rows.map(([row, sample], line) => make("tr", {},
      make("th", { scope: "row", "data-source": row }, rowLabel(sample)),
      matrix.columns.map((target, column) => square(state, row, sample, target, line, column))));
    byId("matrix").replaceChildren(make("caption", { class: "hidden" },
      `Accuracy in per cent on ${state.dataset} under ${state.attack}, source down, target across`),
      make("thead", {}, head), make("tbody", {}, cleanRow(), body));
    byId("matrix").style.maxWidth = `calc(13em + ${matrix.columns.length} * 88px)`;
    const missing = study.unsupported.filter(([dataset]) => dataset === state.dataset);
    byId("unsupported").replaceChildren(...missing.map(([, said, all]) => make("li", {}, said, folded(all))));
    byId("unsupported").hidden = missing.length === 0;
    matrix.drawn = name;
  }
  mark(state);
}

function cleanRow() {
  const shares = matrix.columns.map((target) => {
    const text = target.clean_mean === null ? "–" : percent(target.clean_mean), warned = knowsNothing(target);
    const label = warned ? `${text} per cent of clean images, the audit warns` : null;
    return make("td", { role: "gridcell", class: warned ? "warned" : null, "aria-label": label }, text);
  });
  shares.forEach((element, column) => paint(element, matrix.columns[column].clean_mean));
  return make("tr", { class: "clean" }, make("th", { scope: "row" }, "clean images"), shares);
}

// Check 22, which says of every square of a model that it is broken, or near chance.
const knowsNothing = (target) => cells.some((cell) => cell.target === target && cell.warnings.split(" ").includes("22"));

function paint(element, share) {
  if (share === null) return;
  const color = colorOf(share);
  element.style.background = `rgb(${color.join(" ")})`;
  element.style.color = inkOn(color);
}

function square(state, row, sample, target, line, column) {
  const cell = index.get(cellKey(state.dataset, state.attack, row, target.model));
  const where = `crafted on ${rowLabel(sample)}, scored on ${target.label}`;
  const attributes = { role: "gridcell", tabindex: -1, "data-line": line, "data-column": column };
  let element;
  if (cell) {
    const marks = (cell.threat === "white-box" ? ", white-box" : "") + (cell.warnings ? ", the audit warns" : "");
    const kind = `filled${cell.threat === "white-box" ? " whitebox" : ""}${cell.warnings ? " warned" : ""}`;
    element = make("td", { ...attributes, class: kind, "aria-label": `${percent(cell.mean)} per cent, ${where}${marks}` }, percent(cell.mean));
    paint(element, cell.mean);
  } else {
    const failed = findingsOn(state.dataset, state.attack, sample.source.model, target.model).some((found) => found.verdict === "failure");
    element = make("td", { ...attributes, class: failed ? "failed" : null,
      "aria-label": `${failed ? "kept out by the audit" : "not evaluated"}, ${where}` }, failed ? "×" : "");
  }
  element.addEventListener("click", () => choose({ source: row, target: target.model }));
  (matrix.squares[line] ??= [])[column] = element;
  return element;
}

function mark(state) {
  matrix.rows.forEach(([row], line) => matrix.columns.forEach((target, column) => {
    const chosen = row === state.source && target.model === state.target;
    const element = matrix.squares[line][column];
    element.setAttribute("aria-selected", chosen);
    element.tabIndex = chosen ? 0 : -1;
  }));
  for (const head of byId("matrix").querySelectorAll("th")) {
    head.classList.toggle("on", head.dataset.source === state.source || head.dataset.target === state.target);
  }
}

byId("matrix").addEventListener("keydown", (event) => {
  const place = event.target.dataset;
  if (place.line === undefined) return;
  const last = [matrix.rows.length - 1, matrix.columns.length - 1];
  let [line, column] = [Number(place.line), Number(place.column)];
  if (event.key === "ArrowUp") line -= 1;
  else if (event.key === "ArrowDown") line += 1;
  else if (event.key === "ArrowLeft") column -= 1;
  else if (event.key === "ArrowRight") column += 1;
  else if (event.key === "Home") [line, column] = [event.ctrlKey ? 0 : line, 0];
  else if (event.key === "End") [line, column] = [event.ctrlKey ? last[0] : line, last[1]];
  else return;
  event.preventDefault();
  line = Math.min(Math.max(line, 0), last[0]);
  column = Math.min(Math.max(column, 0), last[1]);
  choose({ source: matrix.rows[line][0], target: matrix.columns[column].model });
  matrix.squares[line][column].focus();
});
