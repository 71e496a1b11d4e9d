// What can be chosen beside the picture: look, strength, whole photo or face, faces, heat map, download.

import { address, element } from "./widgets.js";

function select(label, choices) {
  const node = element("select", "df-select", { "aria-label": label });
  node.append(...choices.map((text) => element("option", "", { value: text, textContent: text })));
  return node;
}

const field = (label, ...children) => element("div", "df-field", {}, element("span", "df-label", { textContent: label, "aria-hidden": "true" }), ...children);

// looks: their names. rings: the layer over the photo. on: what to call: change() when another view is wanted,
// strength(percent), download(), remove().
export function buildControls(looks, rings, on) {
  const look = select("Look", looks);
  const slider = element("input", "df-slider", { type: "range", min: 0, max: 150, step: 5, "aria-label": "Strength of the drag" });
  const percent = element("output", "df-percent", { "aria-hidden": "true" });
  const shown = select("What is shown", ["Whole photo", "Face only"]);
  const faces = buildFaces(rings, () => on.change());
  const heat = element("button", "df-button df-quiet df-heat-button", { type: "button", "aria-pressed": "false", textContent: "Where it looked" });
  const format = select("File format", ["JPEG", "PNG"]);
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

  // What the view is to show.
  const chosen = () => ({ look: look.value, faces: faces.chosen(), alone: shown.value === "Face only", heat: heatShown() });

  const setLook = (name) => { look.value = name; };
  const file = () => ({ strength: slider.valueAsNumber / 100, format: format.value });

  return { node, chosen, faces, file, setLook, setStrength };
}

// Which of several faces are in drag: a small picture of each to press, and a ring around it in the photo.
function buildFaces(rings, onChange) {
  const list = element("div", "df-faces", { role: "group", "aria-label": "Faces in drag" });
  const node = field("Faces", list);
  let pairs = []; // the small picture and the ring of each face

  const isChosen = ([small]) => small.getAttribute("aria-pressed") === "true";

  function toggle(pair) {
    if (isChosen(pair) && pairs.filter(isChosen).length === 1) return; // one face is always left
    const pressed = String(!isChosen(pair));
    pair.forEach((button) => button.setAttribute("aria-pressed", pressed));
    onChange();
  }

  // boxes: left, top, width, height of each face in parts of the photo; pictures: a JPEG of each.
  function show(boxes, pictures) {
    list.querySelectorAll("img").forEach((picture) => URL.revokeObjectURL(picture.src));
    node.hidden = boxes.length < 2;
    pairs = (node.hidden ? [] : boxes).map((box, number) => {
      const name = `Face ${number + 1}`;
      const properties = { type: "button", title: name, "aria-pressed": "true" };
      const picture = element("img", "", { alt: "", src: address(pictures[number]), draggable: false });
      const small = element("button", "df-face", { ...properties, "aria-label": name }, picture);
      // For the pointer alone: the keyboard and screen readers have the list.
      const ring = element("button", "df-ring", { ...properties, tabIndex: -1, "aria-hidden": "true" });
      ["left", "top", "width", "height"].forEach((side, n) => { ring.style[side] = `${100 * box[n]}%`; });
      const pair = [small, ring];
      pair.forEach((button) => button.addEventListener("click", () => toggle(pair)));
      return pair;
    });
    list.replaceChildren(...pairs.map(([small]) => small));
    rings.replaceChildren(...pairs.map(([, ring]) => ring));
  }

  // Their numbers; null for all.
  const chosen = () => (pairs.every(isChosen) ? null : pairs.flatMap((pair, number) => (isChosen(pair) ? [number] : [])));

  return { node, show, chosen };
}
