// What can be chosen beside the picture: look, strength, whole photo or face, faces, heat map, download.

import { address, element } from "./widgets.js";

function select(label, choices) {
  const node = element("select", "df-select", { "aria-label": label });
  node.append(...choices.map((text) => element("option", "", { value: text, textContent: text })));
  return node;
}

const field = (label, ...children) => element("div", "df-field", {}, element("span", "df-label", { textContent: label, "aria-hidden": "true" }), ...children);

// looks: their names. on: what to call: change() when another view is wanted, strength(percent), download(), remove().
export function buildControls(looks, on) {
  const look = select("Look", looks);
  const slider = element("input", "df-slider", { type: "range", min: 0, max: 150, step: 5, "aria-label": "Strength of the drag" });
  const percent = element("output", "df-percent", { "aria-hidden": "true" });
  const shown = select("What is shown", ["Whole photo", "Face only"]);
  const faces = buildFaces(() => on.change());
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
