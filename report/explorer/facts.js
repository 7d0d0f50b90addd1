// What is known of the chosen square.

function sentenceOf(verdict, cell) {
  const numbers = verdict.numbers ? verdict.numbers.split(" ") : [];
  const named = { attack: cell.attack.attack, source: cell.source.model };
  return verdict.template.replace(/\{(\w*)\}/g, (_, name) => (name ? named[name] : numbers.shift()));
}

function drawFacts(state) {
  const cell = find(state);
  const failed = findingsOn(state.dataset, state.attack, state.source.replace(" (other seed)", ""), state.target);
  if (!cell) {
    const kept = failed.some((found) => found.verdict === "failure");
    byId("facts").replaceChildren(make("p", {}, kept ? "The audit kept this square out: its number cannot be trusted."
      : "The study did not evaluate this target on images of this source under this attack."), ...auditNotes(failed));
    return kept ? "Kept out by the audit." : "Not evaluated.";
  }
  const who = cell.threat === "white-box" ? `${cell.target.label}, attacked itself` : `from ${rowLabel(cell)} to ${cell.target.label}`;
  byId("facts").replaceChildren(
    make("p", { class: "who quiet" }, `${who}, by ${cell.attack.entry} (${budget(cell.attack)})`),
    make("p", { class: "figure" }, make("strong", { id: "accuracy" }, `${percent(cell.mean)} %`),
      make("span", { class: "quiet", id: "interval" }, `stay right; 95 % interval ${percent(cell.low)} to ${percent(cell.high)}`)),
    meter(cell), ...cell.verdicts.map((verdict) => verdictNote(verdict, cell)), ...cell.effects.map(effectNote), ...auditNotes(failed.filter((found) => cell.warnings)),
    make("dl", { class: "facts" }, facts(cell).map(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])));
  const said = verdictsOf(cell);
  return `${who}: ${percent(cell.mean)} per cent.${said ? ` ${said}.` : ""}${cell.warnings ? " The audit warns." : ""}`;
}

function meter(cell) {
  const [range, mean] = [make("i"), make("b")];
  range.style.left = `${100 * cell.low}%`;
  range.style.width = `${100 * (cell.high - cell.low)}%`;
  mean.style.left = `${100 * cell.mean}%`;
  const clean = cell.target.clean_mean === null ? null : make("u");
  if (clean) clean.style.left = `${100 * cell.target.clean_mean}%`;
  return make("span", { class: "meter", "aria-hidden": "true", title: "from 0 to 100 %; dashed: clean images" }, range, clean, mean);
}

function verdictNote(verdict, cell) {
  const flips = verdict.broken === null ? null : make("small", {},
    `${counted(verdict.broken, "image falls", "images fall")} on it that the ${verdict.against} resists, ${verdict.mended.toLocaleString("en")} the other way round`
    + (cell.runs.length > 1 ? " (all runs)." : "."));
  const [name, rest] = sentenceOf(verdict, cell).split(/(?<=^[^:]*:)/);
  return make("div", { class: "verdict" }, make("b", {}, name), rest, flips);
}

// Total = training + compression, on the same images.
function effectNote(effect) {
  const part = (name) => `${signed(effect[name])} (${signed(effect[`${name}_low`])} to ${signed(effect[`${name}_high`])})`;
  const faced = effect.comparison === "white-box" ? "each attacked itself" : "on these images";
  return make("p", { class: "effect" }, make("b", {}, "Of the difference to its base: "),
    `further training ${part("by_training")}, compression ${part("by_compression")} points (${faced}; ${effect.about}; each interval by itself).`);
}

// One note a check, however many seeds and cells it is of.
function auditNotes(found) {
  const byCheck = new Map();
  for (const one of found) {
    const name = `${one.verdict} ${one.check}`;
    byCheck.set(name, [...(byCheck.get(name) ?? []), one]);
  }
  return [...byCheck.values()].map((group) => {
    const [first] = group, lines = [...new Set(group.map(measuredBy))];
    const said = `${study.checks[first.check]}${lines[0]}.`;
    return make("div", { class: first.verdict === "failure" ? "note bad" : "note" },
      make("b", {}, `Audit ${first.verdict}, check ${first.check}${group.length > 1 ? `, ${group.length} times` : ""}: `),
      lines.length > 1 ? `${said.slice(0, -1)} (the first of ${lines.length}).` : said,
      lines.length > 1 ? folded(lines.map((line) => line.replace(/^[: ]+/, ""))) : null);
  });
}

function measuredBy(one) {
  const measured = one.value === "" ? "" : ` (measured ${one.value}${one.threshold === "" ? "" : `, limit ${one.threshold}`})`;
  return `${measured}${one.message ? `: ${one.message}` : ""}`;
}

function facts(cell) {
  const { target, runs } = cell;
  const base = models.find((model) => model.dataset === target.dataset && model.model === target.base);
  const saved = (key) => {
    if (!base || base === target || !base[key]) return "";
    return target[key] === base[key] ? " (as its base)" : ` (${percent(1 - target[key] / base[key], 0)} % less than its base)`;
  };
  const seeds = runs.map((run) => `${percent(run.accuracy)} % (${run.correct} of ${run.n}; seed ${run.target_seed}`
    + `${run.source_seed === run.target_seed ? "" : `, images of seed ${run.source_seed}`})`);
  const clean = target.clean_mean === null ? "not evaluated"
    : `${percent(target.clean_mean)} % (${percent(target.clean_low)} to ${percent(target.clean_high)})`;
  return [
    ["Test images", cell.n.toLocaleString("en")],
    [runs.length === 1 ? "One run" : `${runs.length} runs`, make("span", { id: "seeds" }, seeds.join("; "))],
    ...(cell.std === null ? [] : [["Spread", `${percent(cell.std)} points standard deviation, ${percent(cell.min)} to ${percent(cell.max)} %`]]),
    ["On clean images", clean],
    ["Audit", cell.warnings ? `warnings of check ${cell.warnings.replaceAll(" ", ", ")}` : "no failure, no warning"],
    ["Model", target.model],
    ["Parameters", large(target.parameters) + saved("parameters")],
    ...(target.nonzeros < target.parameters ? [["of these not zero", large(target.nonzeros) + saved("nonzeros")]] : []),
    ["MACs per image", large(target.macs) + saved("macs")],
    ["Size packed", bytes(target.packed_bytes) + saved("packed_bytes")],
  ];
}
