// The rows behind the page, sorted as the reader likes, shown and downloaded alike.

const COLUMNS = [
  { name: "source", text: "Source", get: (cell) => cell.source.model, order: (cell) => cell.source.order },
  { name: "target", text: "Target", get: (cell) => cell.target.model, order: (cell) => cell.target.order },
  { name: "seed_relation", text: "Seeds", get: (cell) => cell.seed_relation },
  { name: "attack", text: "Attack", get: (cell) => cell.attack.entry },
  { name: "norm", text: "Norm", get: (cell) => cell.attack.norm },
  { name: "eps", text: "eps", get: (cell) => cell.attack.eps, number: String },
  { name: "accuracy", text: "Accuracy", get: (cell) => cell.mean, number: percent },
  { name: "low", text: "Low", get: (cell) => cell.low, number: percent },
  { name: "high", text: "High", get: (cell) => cell.high, number: percent },
  { name: "runs", text: "Runs", get: (cell) => cell.runs.length, number: String },
  { name: "n", text: "Images", get: (cell) => cell.n, number: String },
  { name: "warnings", text: "Audit", get: (cell) => cell.warnings },
  { name: "verdict", text: "Verdict", get: verdictsOf },
];
const SCOPES = {
  attack: (cell, state) => cell.attack.attack === state.attack,
  pair: (cell, state) => rowKey(cell) === state.source && cell.target.model === state.target,
  target: (cell, state) => cell.target.model === state.target,
  dataset: () => true,
};
const SHOWN = 300;
const sorting = { column: null, down: false };

function shownRows(state) {
  const rows = cellsOf(state.dataset).filter((cell) => SCOPES[byId("scope").value](cell, state));
  const { column, down } = sorting;
  if (!column) return rows;
  const value = column.order ?? column.get;
  const compare = (a, b) => (a === null) - (b === null) || (typeof a === "number" ? a - b : String(a).localeCompare(String(b)));
  return rows.sort((a, b) => (down ? -1 : 1) * compare(value(a), value(b)));
}

function drawTable(state) {
  const rows = shownRows(state);
  const used = COLUMNS.filter((column) => column.name !== "seed_relation" || rows.some((cell) => cell.seed_relation === "other"));
  const head = make("tr", { role: "row" }, used.map((column) => {
    const sorted = sorting.column === column ? (sorting.down ? "descending" : "ascending") : null;
    const sign = sorted ? (sorting.down ? " ↓" : " ↑") : "";
    const button = make("button", { type: "button", onclick: () => sortBy(column) }, column.text + sign);
    return make("th", { role: "columnheader", scope: "col", "aria-sort": sorted, class: column.number ? "number" : null }, button);
  }));
  const body = rows.slice(0, SHOWN).map((cell) => make("tr", { role: "row", class: cell === find(state) ? "on" : null }, used.map((column) => {
    const value = column.get(cell);
    const text = value === null ? "" : column.number ? column.number(value) : value;
    const content = column.name === "target" ? make("button", { type: "button", class: "link", onclick: () =>
      choose({ source: rowKey(cell), target: cell.target.model, attack: cell.attack.attack }) }, text) : text;
    return make("td", { role: "cell", "data-label": column.text, class: column.number ? "number" : null }, content);
  })));
  const more = rows.length > SHOWN ? `; the first ${SHOWN} are shown, the download has all` : "";
  byId("table").replaceChildren(make("caption", {}, `${counted(rows.length, "row", "rows")} of ${state.dataset}${more}. Accuracy with its 95 % interval in per cent.`),
    make("thead", { role: "rowgroup" }, head), make("tbody", { role: "rowgroup" }, body));
}

function sortBy(column) {
  sorting.down = sorting.column === column ? !sorting.down : Boolean(column.number);
  sorting.column = column;
  drawTable(current);
  byId("table").querySelectorAll("thead button")[[...byId("table").querySelectorAll("th")].findIndex((head) => head.ariaSort)]?.focus();
}

// Quoted where needed; a text that a spreadsheet would take for a formula gets an apostrophe.
function field(value) {
  if (typeof value !== "string") return value === null ? "" : String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

byId("download").addEventListener("click", () => {
  const lines = shownRows(current).map((cell) => [current.dataset, ...COLUMNS.map((column) => column.get(cell))].map(field).join(","));
  const text = [["dataset", ...COLUMNS.map((column) => column.name)].join(","), ...lines, ""].join("\n");
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  make("a", { href: address, download: `${study.study}-${current.dataset}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
});
byId("scope").addEventListener("change", () => drawTable(current));
