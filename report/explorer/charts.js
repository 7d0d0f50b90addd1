// Curves with intervals: accuracy against compression and against the attack's budget.

const MARKERS = [
  (r) => draw("circle", { r }),
  (r) => draw("rect", { x: -r, y: -r, width: 2 * r, height: 2 * r }),
  (r) => draw("path", { d: `M0 ${-1.3 * r}L${1.2 * r} ${r}H${-1.2 * r}Z` }),
  (r) => draw("path", { d: `M0 ${-1.4 * r}L${1.4 * r} 0L0 ${1.4 * r}L${-1.4 * r} 0Z` }),
  (r) => draw("path", { d: `M0 ${1.3 * r}L${1.2 * r} ${-r}H${-1.2 * r}Z` }),
];
const THIN = 1.8;

function colorFor(line) {
  return line.clean ? "var(--clean)" : `var(--c${line.color % 6})`;
}

// Lines: {name, color, dashed, clean, points: [{x, share, low, high, text, chosen, go}]}.
function drawChart(box, { lines, ticks, domain, xTitle, label }) {
  const width = Math.max(260, box.clientWidth || 480), height = 270;
  const [left, right, top, bottom] = [34, 12, 24, 40];
  const x = (value) => left + ((value - domain[0]) / (domain[1] - domain[0] || 1)) * (width - left - right);
  const y = (share) => top + (1 - share) * (height - top - bottom);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(draw("line", { class: "gridline", x1: left, x2: width - right, y1: y(share), y2: y(share) }),
      draw("text", { x: left - 6, y: y(share) + 4, "text-anchor": "end" }, `${100 * share}`));
  }
  svg.append(draw("text", { x: 0, y: 11 }, "accuracy in %"));
  let free = -Infinity;
  for (const tick of ticks) {
    const half = 3.5 * tick.text.length;
    if (x(tick.at) - half < free) continue;
    svg.append(draw("text", { x: x(tick.at), y: height - bottom + 18, "text-anchor": "middle" }, tick.text));
    free = x(tick.at) + half + 6;
  }
  svg.append(draw("text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, xTitle));
  for (const line of lines) svg.append(drawLine(line, x, y));
  box.replaceChildren(make("ul", { class: "key" }, lines.map(key)), svg);
}

function drawLine(line, x, y) {
  const color = colorFor(line);
  const path = line.points.map((point, order) => `${order ? "L" : "M"}${x(point.x)} ${y(point.share)}`).join("");
  const group = draw("g", { fill: color, stroke: color }, draw("path", { d: path, fill: "none", "stroke-width": THIN, "stroke-dasharray": line.dashed ? "5 4" : null }));
  for (const point of line.points) {
    const middle = x(point.x);
    if (point.low !== null) group.append(draw("path", { d: `M${middle - 3} ${y(point.low)}h6m-3 0V${y(point.high)}m-3 0h6`, fill: "none", "stroke-width": 1.2 }));
    const marker = MARKERS[line.color % MARKERS.length](point.chosen ? 6 : 3.6);
    marker.setAttribute("stroke", point.chosen ? "var(--ink)" : "none");
    marker.setAttribute("stroke-width", 2);
    const target = draw("g", { transform: `translate(${middle} ${y(point.share)})`, class: point.go ? "hit" : null },
      draw("title", {}, point.text), draw("circle", { r: 11, fill: "transparent", stroke: "none" }), marker);
    if (point.go) target.addEventListener("click", point.go);
    group.append(target);
  }
  return group;
}

function key(line) {
  const color = colorFor(line);
  const marker = MARKERS[line.color % MARKERS.length](3.6);
  marker.setAttribute("transform", "translate(17 6)");
  return make("li", {}, draw("svg", { viewBox: "0 0 34 12", "aria-hidden": "true", fill: color, stroke: color },
    draw("path", { d: "M0 6H34", fill: "none", "stroke-width": THIN, "stroke-dasharray": line.dashed ? "5 4" : null }), marker), line.name);
}

const pointOf = (cell, x, chosen, change) => ({
  x, share: cell.mean, low: cell.low, high: cell.high, chosen, go: () => choose(change),
  text: `${cell.target.label}, ${cell.attack.attack}: ${percent(cell.mean)} % (${percent(cell.low)} to ${percent(cell.high)})`,
});

const FLOAT_BITS = 32;
const places = (lines) => [...new Set(lines.flatMap((line) => line.points.map((point) => point.x)))].sort((a, b) => a - b);

function drawRatio(state) {
  const target = models.find((model) => model.dataset === state.dataset && model.model === state.target);
  const family = models.filter((model) => model.dataset === state.dataset && model.base === target.base);
  const compressions = [...new Set(family.filter((model) => model.compression !== "none").map(kindOf))];
  const own = (model) => index.get(cellKey(state.dataset, state.attack, model.model, model.model));
  const from = (model) => index.get(cellKey(state.dataset, state.attack, state.source, model.model));
  const lines = compressions.flatMap((kind, color) => {
    const members = family.filter((model) => model.compression === "none" || kindOf(model) === kind);
    const byBits = members.some((model) => model.bits < FLOAT_BITS);
    const line = (get, dashed, name) => ({ name, color, dashed, byBits, points: members.filter(get).map((model) => {
      const cell = get(model);
      // A logarithmic axis of bits, from all of them to one.
      const x = byBits ? Math.log2(FLOAT_BITS / model.bits) : model.ratio;
      return pointOf(cell, x, cell === find(state), { source: rowKey(cell), target: model.model });
    }).sort((a, b) => a.x - b.x) });
    return [line(own, false, `${kind}, attacked itself`), line(from, true, `${kind}, images of the source`)];
  }).filter((line) => line.points.some((point) => point.x > 0) && line.points.length > 1);
  byId("ratio-note").textContent = `${target.architecture}, ${target.training} training, under ${state.attack}: what is left when more is removed.`;
  if (!lines.length) {
    byId("ratio-chart").replaceChildren(make("p", {}, "No compressed model of this family was scored here."));
  } else {
    const pruned = lines.filter((line) => !line.byBits), quantized = lines.filter((line) => line.byBits);
    const [byRatio, byBits] = [make("div"), make("div")];
    byId("ratio-chart").replaceChildren(...(pruned.length ? [byRatio] : []), ...(quantized.length ? [byBits] : []));
    if (pruned.length) drawChart(byRatio, { lines: pruned, domain: [-0.03, 1.03],
      ticks: places(pruned).map((at) => ({ at, text: `${percent(at, 0)} %` })), xTitle: "removed: weights or filters",
      label: `Accuracy against the ratio removed, ${pruned.length} curves; the table below has the numbers` });
    if (quantized.length) drawChart(byBits, { lines: quantized, domain: [-0.2, Math.log2(FLOAT_BITS) + 0.2],
      ticks: places(quantized).map((at) => ({ at, text: `${Math.round(FLOAT_BITS / 2 ** at)}` })), xTitle: "bits of a weight",
      label: `Accuracy against the bits left, ${quantized.length} curves; the table below has the numbers` });
  }
  byId("ratio-delta").textContent = deltas(state, target);
}

function kindOf(model) {
  return model.compression + (model.finetuning === "none" ? ", not fine-tuned" : model.finetuning === "standard" ? "" : `, ${model.finetuning}`);
}

function deltas(state, target) {
  const cell = find(state);
  if (!cell || target.compression === "none") return "";
  const found = curves.find((row) => row.dataset === state.dataset && row.comparison === "same-source" && row.attack === state.attack
    && row.source === cell.source.model && row.seed_relation === cell.seed_relation
    && ["architecture", "training", "compression", "finetuning"].every((axis) => row[axis] === target[axis]));
  return found ? `${target.compression}, images of the source: the largest change from the base over ${counted(found.levels, "level", "levels")} is `
    + `${signed(found.largest_delta)} points, ${found.largest_delta_bits < FLOAT_BITS ? `at ${found.largest_delta_bits} bits` : `where ${percent(found.largest_delta_ratio, 0)} % are removed`} `
    + `(interval, corrected for their number, ${signed(found.low)} to ${signed(found.high)}${partsOf(found)}${warningOf(found, "largest_delta")}); `
    + `the largest gain, “max delta”, ${signed(found.max_delta)}${warningOf(found, "max_delta")}.` : "";
}

function warningOf(delta, name) {
  return delta.warned.split("; ").includes(name) ? ", of which the audit warns" : "";
}

function partsOf(delta) {
  return Number.isFinite(delta.by_training)
    ? `; of it further training ${signed(delta.by_training)}, compression ${signed(delta.by_compression)}` : "";
}

function drawEps(state) {
  const chosen = attacks.find((attack) => attack.attack === state.attack);
  const entries = [...new Set(attacks.filter((attack) => attack.norm === chosen.norm && attack.eps !== null).map((attack) => attack.entry))];
  const target = models.find((model) => model.dataset === state.dataset && model.model === state.target);
  const clean = target.clean_mean === null ? [] : [{ x: 0, share: target.clean_mean, low: target.clean_low, high: target.clean_high,
    text: `clean images: ${percent(target.clean_mean)} %` }];
  const lines = entries.map((entry) => {
    const found = attacks.filter((attack) => attack.entry === entry && attack.eps !== null)
      .map((attack) => index.get(cellKey(state.dataset, attack.attack, state.source, state.target))).filter(Boolean);
    return { name: entry, points: [...clean, ...found.map((cell) =>
      pointOf(cell, cell.attack.eps, cell === find(state), { attack: cell.attack.attack }))] };
  }).filter((line) => line.points.length > clean.length).map((line, color) => ({ ...line, color }));
  byId("eps-note").textContent = `${target.label} on images of the chosen source${chosen.norm ? `, ${chosen.norm}` : ""}; eps 0 is the clean images.`;
  if (!lines.length) {
    byId("eps-chart").replaceChildren(make("p", {}, "No attack with a budget was scored here."));
    return;
  }
  const values = [...new Set(lines.flatMap((line) => line.points.map((point) => point.x)))].sort((a, b) => a - b);
  const far = values.at(-1) || 1;
  drawChart(byId("eps-chart"), { lines, domain: [-0.03 * far, 1.04 * far], ticks: values.map((at) => ({ at, text: `${+at.toPrecision(3)}` })),
    xTitle: "eps", label: `Accuracy against eps, ${lines.length} curves; the table below has the numbers` });
}
