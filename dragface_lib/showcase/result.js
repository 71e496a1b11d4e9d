// The result: before and after in one frame, and what can be chosen beside it.

import { address, element, select } from "./widgets.js";

const HIGHEST = 600; // pixels that the frame is high at most
const ENLARGED = 2; // times that a small picture is enlarged at most

// Before and after, with a line between them that follows mouse, touch and keyboard.
export function buildComparison() {
  const layer = (name) => element("img", `df-layer ${name}`, { alt: "", draggable: false });
  const before = layer("df-before"), after = layer("df-after"), strong = layer("df-strong"), heat = layer("df-heat");
  const layers = [before, after, strong, heat];
  before.alt = "Your photo before";
  const changed = element("div", "df-changed", { role: "img" }, after, strong, heat);
  // Over all of the frame, so that a drag may begin anywhere.
  const line = element("input", "df-line", { type: "range", min: 0, max: 100, step: 1, "aria-label": "Line between before and in drag" });
  const right = element("span", "df-tag df-tag-right", { "aria-hidden": "true" });
  const node = element("div", "df-frame", {}, before, changed,
    element("span", "df-tag", { textContent: "Before", "aria-hidden": "true" }), right, line);

  function moveTo(percent) {
    line.value = percent;
    line.setAttribute("aria-valuetext", `${percent} percent before, ${100 - percent} percent in drag`);
    node.style.setProperty("--df-line-at", `${percent}%`);
  }

  line.addEventListener("input", () => moveTo(line.valueAsNumber));

  // Show the pictures of a view: before, after, at full strength, and the heat map or none.
  async function show(buffers) {
    layers.forEach((picture, number) => {
      URL.revokeObjectURL(picture.src);
      if (buffers[number]) picture.src = address(buffers[number]);
      else picture.removeAttribute("src");
    });
    const heated = buffers.length === layers.length;
    right.textContent = heated ? "Where it looked" : "In drag";
    changed.setAttribute("aria-label", heated ? "Heat map: where the generator looked" : "Your photo in drag");
    if (!buffers.length) return;
    await Promise.allSettled(layers.map((picture) => picture.decode()));
    const { naturalWidth: width, naturalHeight: height } = before;
    node.style.aspectRatio = `${width} / ${height}`;
    node.style.width = `min(100%, ${Math.round(Math.min(HIGHEST * width / height, ENLARGED * width))}px)`;
  }

  // The change is linear: between 0 and 100 % the page can mix the two pictures itself, and so above.
  function setStrength(percent) {
    after.style.opacity = Math.min(1, percent / 100);
    strong.style.opacity = Math.max(0, (percent - 100) / 50);
  }

  moveTo(50);
  return { node, show, setStrength };
}

const field = (label, ...children) => element("div", "df-field", {}, element("span", "df-label", { textContent: label, "aria-hidden": "true" }), ...children);

// Look, strength, whole photo or face, faces, heat map, download. looks: their names.
// on: what to call: change() when another view is wanted, strength(percent), download(), remove().
export function buildControls(looks, on) {
  const look = select("df-look", "Look", looks);
  const slider = element("input", "df-slider", { type: "range", min: 0, max: 150, step: 5, "aria-label": "Strength of the drag" });
  const percent = element("output", "df-percent", { "aria-hidden": "true" });
  const shown = select("df-shown", "What is shown", ["Whole photo", "Face only"]);
  const faces = buildFaces(() => on.change());
  const heat = element("button", "df-button df-quiet df-heat-button", { type: "button", "aria-pressed": "false", textContent: "Where it looked" });
  const format = select("df-format", "File format", ["JPEG", "PNG"]);
  const download = element("button", "df-button df-primary df-download", { type: "button", textContent: "Download" });
  const remove = element("button", "df-button df-quiet df-remove", { type: "button", textContent: "Remove photo" });
  const node = element("div", "df-controls", {},
    field("Look", look), field("Strength", element("div", "df-strength", {}, slider, percent)), field("Show", shown),
    faces.node, heat, element("div", "df-save", {}, download, format), remove);

  const heatShown = () => heat.getAttribute("aria-pressed") === "true";
  [look, shown].forEach((node) => node.addEventListener("change", () => on.change()));
  slider.addEventListener("input", () => on.strength(slider.valueAsNumber));
  heat.addEventListener("click", () => { heat.setAttribute("aria-pressed", String(!heatShown())); on.change(); });
  download.addEventListener("click", () => on.download());
  remove.addEventListener("click", () => on.remove());

  function setStrength(value) {
    percent.textContent = `${value} %`;
    slider.value = value;
    slider.setAttribute("aria-valuetext", `${value} percent`);
  }

  const chosen = () => ({ look: look.value, faces: faces.chosen(), alone: shown.value === "Face only", heat: heatShown() });

  const file = () => ({ strength: slider.valueAsNumber / 100, format: format.value });

  return { node, look, chosen, faces, file, setStrength };
}

// Which of several faces are in drag: a small picture of each to press.
function buildFaces(onChange) {
  const list = element("div", "df-faces", { role: "group", "aria-label": "Faces in drag" });
  const node = field("Faces", list);
  const buttons = () => [...list.children];
  const isChosen = (button) => button.getAttribute("aria-pressed") === "true";

  function toggle(button) {
    if (isChosen(button) && buttons().filter(isChosen).length === 1) return; // one face is always left
    button.setAttribute("aria-pressed", String(!isChosen(button)));
    onChange();
  }

  // pictures: a JPEG of each face.
  function show(pictures) {
    list.querySelectorAll("img").forEach((picture) => URL.revokeObjectURL(picture.src));
    node.hidden = pictures.length < 2;
    list.replaceChildren(...pictures.map((bytes, number) => {
      const picture = element("img", "", { alt: "", src: address(bytes), draggable: false });
      const name = `Face ${number + 1}`;
      const button = element("button", "df-face", { type: "button", title: name, "aria-label": name, "aria-pressed": "true" }, picture);
      button.addEventListener("click", () => toggle(button));
      return button;
    }));
  }

  // Their numbers; null for all.
  const chosen = () => (buttons().every(isChosen) ? null : buttons().flatMap((button, number) => (isChosen(button) ? [number] : [])));

  return { node, show, chosen };
}
