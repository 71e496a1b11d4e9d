// Before and after in one frame, with a line between them that follows mouse, touch and keyboard.

import { address, element } from "./widgets.js";

const HIGHEST = 600; // pixels that the frame is high at most
const ENLARGED = 2; // times that a small picture is enlarged at most

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
