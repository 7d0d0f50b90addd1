"use strict";
// The study, its columns unpacked into rows that know each other, and small helpers. Names become text, never markup.

const study = JSON.parse(document.getElementById("data").textContent);

const unpack = (column) => (Array.isArray(column) ? column : column.rows.map((row) => column.values[row]));

function rowsOf(section) {
  const columns = Object.entries(section).map(([name, column]) => [name, unpack(column)]);
  return columns[0][1].map((_, row) => Object.fromEntries(columns.map(([name, values]) => [name, values[row]])));
}

const models = rowsOf(study.models).map((model, order) => ({ ...model, order }));
const attacks = rowsOf(study.attacks);
const findings = rowsOf(study.findings);
const curves = rowsOf(study.curves);
const cells = rowsOf(study.cells).map((cell, order) => ({
  ...cell, order, says: study.says[order], runs: [], verdicts: [], effects: [],
  attack: attacks[cell.attack], source: models[cell.source_model], target: models[cell.target_model],
}));
for (const run of rowsOf(study.runs)) if (run.cell !== null) cells[run.cell].runs.push(run);
for (const verdict of rowsOf(study.verdicts)) if (verdict.cell !== null) cells[verdict.cell].verdicts.push(verdict);
for (const effect of rowsOf(study.effects)) if (effect.cell !== null) cells[effect.cell].effects.push(effect);

// A row of the matrix: a source, and whether its seed is the target's or another one.
const rowKey = (cell) => cell.source.model + (cell.seed_relation === "other" ? " (other seed)" : "");
const rowLabel = (cell) => cell.source.label + (cell.seed_relation === "other" ? " (other seed)" : "");
const cellKey = (dataset, attack, source, target) => [dataset, attack, source, target].join("|");
const index = new Map(
  cells.map((cell) => [cellKey(cell.source.dataset, cell.attack.attack, rowKey(cell), cell.target.model), cell]),
);
const datasets = [...new Set(cells.map((cell) => cell.source.dataset))];
const cellsOf = (dataset) => cells.filter((cell) => cell.source.dataset === dataset);
const find = (state) => index.get(cellKey(state.dataset, state.attack, state.source, state.target));

function findingsOn(dataset, attack, source, target) {
  return findings.filter((found) => found.dataset === dataset && [attack, "*"].includes(found.attack)
    && [source, "*"].includes(found.source) && [target, "*"].includes(found.target));
}

// What is said of a cell beside its base and beside its control; of images that were made for the model itself, on each
// model's own images and on these.
const SEEN = { "white-box": ", each attacked itself", "same-source": ", on the same images" };
const imagesOf = (cell, one) => (new Set(cell.verdicts.map((other) => other.comparison)).size > 1 ? SEEN[one.comparison] : "");
const verdictsOf = (cell) => cell.verdicts.map(
  (one) => `${one.verdict}, against its ${one.against}${imagesOf(cell, one)} (${one.about})`,
).join("; ");

const percent = (share, digits = 1) => (100 * share).toFixed(digits);
const signed = (share) => (share > 0 ? "+" : share < 0 ? "−" : "") + percent(Math.abs(share));
const counted = (number, one, many) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
const large = (number) => (number >= 1e6 ? `${(number / 1e6).toFixed(1)} M` : number.toLocaleString("en"));
const bytes = (number) => (number >= 1e6 ? `${(number / 1e6).toFixed(2)} MB` : number >= 1e3 ? `${(number / 1e3).toFixed(0)} kB` : `${number} bytes`);
const budget = (attack) => (attack.eps === null ? "no budget" : `eps ${attack.budget}`) + (attack.norm ? `, ${attack.norm}` : "");
const levelOf = (model) => (model.compression === "none" ? "base" : model.bits < 32 ? `${model.bits} bits`
  : `${percent(model.ratio, 1).replace(/\.0$/, "")} %`);

// Elements

const byId = (id) => document.getElementById(id);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null));
  return element;
}
const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
// What is said of each of many, to unfold.
const folded = (lines) => (lines.length ? make("details", {}, make("summary", {}, `all ${lines.length}`),
  make("ul", {}, lines.map((line) => make("li", {}, line)))) : null);
const draw = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// Cividis [nunez2018], the scale of the study's figures: read alike with and without colour vision.
const CIVIDIS = [
  [0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115], [138, 134, 120], [165, 156, 116], [195, 179, 105],
  [225, 204, 85], [254, 232, 56],
];

function colorOf(share) {
  const place = Math.min(Math.max(share, 0), 1) * (CIVIDIS.length - 1);
  const low = Math.min(Math.floor(place), CIVIDIS.length - 2);
  return CIVIDIS[low].map((value, channel) => Math.round(value + (place - low) * (CIVIDIS[low + 1][channel] - value)));
}

// Of black and white the one with the higher contrast, which is never below 4.58.
function inkOn(color) {
  const [r, g, b] = color.map((value) => (value <= 10 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}
