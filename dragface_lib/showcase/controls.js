// What can be chosen beside the picture: look, strength, whole photo or face, heat map, download.

import { element, icon } from "./widgets.js";

const DOWN = "M12 4v11m0 0l-4.5-4.5M12 15l4.5-4.5M4 15v3.5A1.5 1.5 0 0 0 5.5 20h13a1.5 1.5 0 0 0 1.5-1.5V15";

// A row of choices of which one holds. choices: [value, text] each.
function choice(name, label, choices, onChange) {
  const node = element("div", "df-choice", { role: "radiogroup", "aria-label": label });
  for (const [value, text] of choices) {
    const input = element("input", "", { type: "radio", name, value, checked: value === choices[0][0] });
    input.addEventListener("change", () => onChange?.());
    node.append(element("label", "", {}, input, element("span", "", { textContent: text })));
  }
  return { node, value: () => node.querySelector("input:checked").value };
}

const field = (label, ...children) => element("div", "df-field", {}, element("span", "df-label", { textContent: label, "aria-hidden": "true" }), ...children);

// view: a name that no other widget has. on: what to call: look(name), strength(percent), strengthChosen(percent),
// alone(), heat(shown), download(), remove().
export function buildControls(view, faces, on) {
  const look = element("select", "df-select df-look", { "aria-label": "Look" });
  const lookField = field("Look", look);
  const slider = element("input", "df-slider", { type: "range", min: 0, max: 150, step: 5, "aria-label": "Strength of the drag" });
  const percent = element("output", "df-percent", { "aria-hidden": "true" });
  const alone = choice(`${view}-alone`, "What is shown", [["photo", "Whole photo"], ["face", "Face only"]], () => on.alone());
  const format = choice(`${view}-format`, "File format", [["JPEG", "JPEG"], ["PNG", "PNG"]]);
  const heat = element("button", "df-button df-quiet df-heat-button", { type: "button", "aria-pressed": "false", textContent: "Where it looked" });
  const download = element("button", "df-button df-primary df-download", { type: "button" }, icon(DOWN), "Download");
  const remove = element("button", "df-button df-quiet df-remove", { type: "button", textContent: "Remove photo" });
  const node = element("div", "df-controls", {},
    lookField, field("Strength", element("div", "df-strength", {}, slider, percent)), field("Show", alone.node),
    faces, heat, element("div", "df-save", {}, download, format.node), remove);

  look.addEventListener("change", () => on.look(look.value));
  slider.addEventListener("input", () => on.strength(Number(slider.value)));
  slider.addEventListener("change", () => on.strengthChosen(Number(slider.value)));
  heat.addEventListener("click", () => {
    const shown = heat.getAttribute("aria-pressed") === "false";
    setHeat(shown);
    on.heat(shown);
  });
  download.addEventListener("click", () => on.download());
  remove.addEventListener("click", () => on.remove());

  const setHeat = (shown) => heat.setAttribute("aria-pressed", String(shown));

  function setLooks(names, chosen) {
    look.replaceChildren(...names.map((name) => element("option", "", { value: name, textContent: name })));
    look.value = chosen;
    lookField.hidden = names.length < 2;
  }

  function setStrength(value) {
    percent.textContent = `${value} %`;
    slider.value = value;
    slider.setAttribute("aria-valuetext", `${value} percent`);
  }

  return {
    node, setHeat, setLooks, setStrength,
    alone: () => alone.value() === "face",
    format: () => format.value(),
    strength: () => Number(slider.value) / 100,
    heat: () => heat.getAttribute("aria-pressed") === "true",
    lock: (locked) => { download.disabled = locked; },
  };
}
