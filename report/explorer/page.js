// What is chosen, kept in the address, and everything drawn from it.

const PARTS = ["dataset", "attack", "source", "target"];
let current = {};

// The nearest choice that exists: what was asked for where it is there, the first otherwise.
function settled(asked) {
  const dataset = datasets.includes(asked.dataset) ? asked.dataset : datasets[0];
  const here = cellsOf(dataset);
  const known = (get, value, usual) => (here.some((cell) => get(cell) === value) ? value : usual());
  const attack = known((cell) => cell.attack.attack, asked.attack, () => telling(here));
  const shown = here.filter((cell) => cell.attack.attack === attack);
  const compressed = (cell) => !["none", "control"].includes(cell.target.compression);
  const first = shown.find((cell) => compressed(cell) && cell.threat === "white-box") ?? shown.find(compressed) ?? shown[0];
  const source = shown.some((cell) => rowKey(cell) === asked.source) ? asked.source : rowKey(first);
  const target = shown.some((cell) => cell.target.model === asked.target) ? asked.target
    : (shown.find((cell) => rowKey(cell) === source && compressed(cell)) ?? first).target.model;
  return { dataset, attack, source, target };
}

// The attack under which the models differ most.
function telling(here) {
  const spread = new Map();
  for (const cell of here) {
    const [low, high] = spread.get(cell.attack.attack) ?? [1, 0];
    spread.set(cell.attack.attack, [Math.min(low, cell.mean), Math.max(high, cell.mean)]);
  }
  return [...spread].reduce((best, one) => (one[1][1] - one[1][0] > best[1][1] - best[1][0] ? one : best))[0];
}

function choose(change) {
  current = settled({ ...current, ...change });
  // A page inside another one may be denied an address of its own.
  try {
    history.replaceState(null, "", `#${new URLSearchParams(current)}`);
  } catch {
    // The choice then lasts as long as the page.
  }
  drawControls();
  drawMatrix(current);
  byId("announcement").textContent = drawFacts(current);
  drawRatio(current);
  drawEps(current);
  drawImages(current);
  drawTable(current);
}

function options(id, choices, chosen) {
  const select = byId(id);
  select.replaceChildren(...choices.map(([value, text]) => make("option", { value }, text)));
  select.value = chosen;
  select.disabled = choices.length < 2;
}

function drawControls() {
  const here = cellsOf(current.dataset);
  const distinct = (pairs) => [...new Map(pairs)];
  const names = new Set(here.map((cell) => cell.attack.attack));
  const present = attacks.filter((attack) => names.has(attack.attack));
  const { entry } = present.find((attack) => attack.attack === current.attack);
  const shown = here.filter((cell) => cell.attack.attack === current.attack);
  options("dataset", datasets.map((name) => [name, name]), current.dataset);
  options("attack", distinct(present.map((attack) => [attack.entry, attack.entry])), entry);
  options("eps", present.filter((attack) => attack.entry === entry).map((attack) => [attack.attack, budget(attack)]), current.attack);
  options("source", distinct(shown.map((cell) => [rowKey(cell), rowLabel(cell)])), current.source);
  const targets = distinct(shown.map((cell) => [cell.target.model, cell.target])).sort((a, b) => a[1].order - b[1].order);
  options("target", targets.map(([name, target]) => [name, target.label]), current.target);
}

byId("controls").addEventListener("change", ({ target }) => {
  if (target.id === "attack") {
    const eps = attacks.find((attack) => attack.attack === current.attack).eps;
    const same = attacks.filter((attack) => attack.entry === target.value);
    choose({ attack: (same.find((attack) => attack.eps === eps) ?? same[0]).attack });
  } else choose({ [target.id === "eps" ? "attack" : target.id]: target.value });
});
byId("controls").addEventListener("submit", (event) => event.preventDefault());
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("matrix").querySelector("[tabindex='0']").focus();
});

const dark = matchMedia("(prefers-color-scheme: dark)");
function setTheme(name) {
  document.documentElement.dataset.theme = name;
  byId("theme").textContent = name === "dark" ? "Light colours" : "Dark colours";
}
byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
setTheme(dark.matches ? "dark" : "light");

function drawRamp() {
  const context = byId("ramp").getContext("2d");
  for (let x = 0; x < 120; x++) {
    context.fillStyle = `rgb(${colorOf(x / 119).join(" ")})`;
    context.fillRect(x, 0, 1, 1);
  }
}

function drawHead() {
  const { failure = 0, warning = 0 } = study.audited;
  byId("study").textContent = study.study;
  byId("question").textContent = study.question;
  byId("scale").textContent = `${counted(new Set(cells.map((cell) => cell.target)).size, "model", "models")}, ${counted(cells.length, "evaluation", "evaluations")}. `
    + (failure + warning ? `Audit: ${counted(failure, "failure", "failures")}, ${counted(warning, "warning", "warnings")}.${failure ? " What failed is shown nowhere else; tables/audit.csv says why." : ""}` : "The audit found nothing wrong.");
}

const asked = () => Object.fromEntries([...new URLSearchParams(location.hash.slice(1))].filter(([name]) => PARTS.includes(name)));
addEventListener("hashchange", () => choose(asked()));
let width = 0;
new ResizeObserver(() => {
  if (width && width !== innerWidth) [drawRatio, drawEps].forEach((drawing) => drawing(current));
  width = innerWidth;
}).observe(document.body);
drawHead();
drawRamp();
choose(asked());
