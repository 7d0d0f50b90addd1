// Clean and adversarial images from the sprites, and their difference, magnified, computed here.

const { images } = study;
const pixels = new Map();

async function read(png) {
  if (!pixels.has(png)) {
    const image = new Image();
    image.src = `data:image/png;base64,${png}`;
    await image.decode();
    const canvas = make("canvas", { width: image.width, height: image.height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    pixels.set(png, context.getImageData(0, 0, image.width, image.height));
  }
  return pixels.get(png);
}

// Difference of two strips around grey, as large as it can be without clipping; and how much larger that is.
function difference(clean, attacked) {
  let most = 0;
  const strip = new ImageData(clean.width, clean.height);
  for (let i = 0; i < clean.data.length; i++) if (i % 4 < 3) most = Math.max(most, Math.abs(attacked.data[i] - clean.data[i]));
  const times = most ? Math.max(1, Math.floor(127 / most)) : 1;
  for (let i = 0; i < clean.data.length; i++) strip.data[i] = i % 4 < 3 ? 128 + times * (attacked.data[i] - clean.data[i]) : 255;
  return [strip, times];
}

function tile(strip, order, count, label) {
  const side = strip.width / count;
  const canvas = make("canvas", { width: side, height: strip.height, role: "img", "aria-label": label });
  canvas.getContext("2d").putImageData(strip, -order * side, 0, order * side, 0, side, strip.height);
  return canvas;
}

async function drawImages(state) {
  const cell = find(state);
  const set = cell && images.sets.find((one) => one.dataset === state.dataset && one.model === cell.source.model
    && one.attack === state.attack);
  const left = images.left_out ? ` The images of ${counted(images.left_out, "set", "sets")} were left out to keep this page small.` : "";
  if (!set) {
    byId("images-note").textContent = (cell ? "No images of this square." : "Nothing was evaluated here.") + left;
    byId("images").replaceChildren();
    return;
  }
  const data = images.datasets[state.dataset];
  const [clean, attacked] = await Promise.all([read(data.png), read(set.png)]);
  if (cell !== find(current)) return;
  const [changed, times] = difference(clean, attacked);
  const orders = [...Array(images.count).keys()].filter((order) => order < data.examples.length);
  const named = (label) => data.classes[label] ?? "no label";
  const row = (strip, text) => [make("span", { class: "row" }, text),
    orders.map((order) => tile(strip, order, orders.length, `${text}: test image ${data.examples[order]}, ${named(data.labels[order])}`))];
  const says = orders.map((order) => {
    const truth = data.labels[order];
    const claim = (who, label) => (label === truth ? make("span", { class: "resists" }, `${who} resists`)
      : make("span", { class: "fooled" }, `${who} says ${named(label)}`));
    return make("span", { class: "say" }, make("b", {}, named(truth)), make("br"), claim("target", cell.says[order]),
      ...(cell.threat === "white-box" ? [] : [make("br"), claim("source", set.says[order])]));
  });
  const grid = make("div", { class: "strip" }, row(clean, "clean"), row(attacked, "attacked"), row(changed, `change × ${times}`),
    make("span", { class: "row" }, "label and answers"), says);
  grid.style.setProperty("--count", orders.length);
  byId("images").replaceChildren(grid);
  byId("images-note").textContent = `${cell.attack.entry}, ${budget(cell.attack)}, crafted on ${set.source}; the same test images (`
    + `${orders.map((order) => data.examples[order]).join(", ")}) everywhere, those most models get right. Grey means unchanged.`
    + (data.step > 1 ? ` Shown is one pixel of ${data.step} in each direction.` : "") + left;
}
