// Before and after in one frame, with a line between them that follows mouse, touch and keyboard.

import { address, element } from "./widgets.js";

const HIGHEST = 600; // pixels that the frame is high at most
const ENLARGED = 2; // times that a small picture is enlarged at most
const STILL = 4; // pixels that a pointer may move in a click
const STEPS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -20, PageUp: 20, Home: -100, End: 100 };

export function buildComparison() {
  const before = element("img", "df-layer df-before", { alt: "Your photo before", draggable: false });
  const after = element("img", "df-layer df-after", { alt: "", draggable: false });
  const strong = element("img", "df-layer df-strong", { alt: "", draggable: false });
  const heat = element("img", "df-layer df-heat", { alt: "", draggable: false, hidden: true });
  const changed = element("div", "df-changed", { role: "img", "aria-label": "Your photo in drag" }, after, strong, heat);
  const handle = element("div", "df-handle", {
    role: "slider", tabIndex: 0, "aria-label": "Line between before and in drag", "aria-valuemin": 0, "aria-valuemax": 100,
  });
  const right = element("span", "df-tag df-tag-right", { "aria-hidden": "true" });
  const rings = element("div", "df-rings");
  const node = element("div", "df-frame", {}, before, changed, rings,
    element("span", "df-tag", { textContent: "Before", "aria-hidden": "true" }), right, handle);
  const layers = [before, after, strong, heat];

  function moveTo(percent) {
    const place = Math.round(Math.min(100, Math.max(0, percent)));
    node.style.setProperty("--df-line-at", `${place}%`);
    node.classList.toggle("df-all-changed", place < 14);
    node.classList.toggle("df-all-before", place > 86);
    handle.setAttribute("aria-valuenow", place);
    handle.setAttribute("aria-valuetext", `${place} percent before, ${100 - place} percent in drag`);
  }

  const percentAt = (event) => {
    const box = node.getBoundingClientRect();
    return 100 * (event.clientX - box.left) / box.width;
  };
  let pressed = null; // where the pointer went down, and whether it has moved since
  node.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    pressed = { x: event.clientX, moved: false };
  });
  node.addEventListener("pointermove", (event) => {
    if (!pressed) return;
    if (!pressed.moved && Math.abs(event.clientX - pressed.x) > STILL) {
      pressed.moved = true;
      node.setPointerCapture(event.pointerId);
      node.classList.add("df-moving");
    }
    if (pressed.moved) moveTo(percentAt(event));
  });
  const release = () => { pressed = null; node.classList.remove("df-moving"); };
  node.addEventListener("pointercancel", release);
  // A finger is first captured by what it touched: that loss is no release.
  node.addEventListener("lostpointercapture", (event) => { if (event.target === node) release(); });
  node.addEventListener("pointerup", (event) => {
    // A click moves the line too, unless it chose a face.
    if (pressed && !pressed.moved && !event.target.closest(".df-ring")) moveTo(percentAt(event));
    release();
  });
  node.addEventListener("pointerleave", () => { if (pressed && !pressed.moved) release(); });
  handle.addEventListener("keydown", (event) => {
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    moveTo(Number(handle.getAttribute("aria-valuenow")) + STEPS[event.key]);
  });

  function put(picture, bytes) {
    URL.revokeObjectURL(picture.src);
    if (bytes) picture.src = address(bytes);
    else picture.removeAttribute("src");
  }

  // Show the three pictures of a view, or none.
  async function show(buffers) {
    put(heat);
    heat.hidden = true;
    [before, after, strong].forEach((picture, number) => put(picture, buffers[number]));
    if (!buffers.length) return;
    await Promise.allSettled([before, after, strong].map((picture) => picture.decode()));
    const { naturalWidth: width, naturalHeight: height } = before;
    node.style.aspectRatio = `${width} / ${height}`;
    node.style.width = `min(100%, ${Math.round(Math.min(HIGHEST * width / height, ENLARGED * width))}px)`;
    right.textContent = "In drag";
  }

  function showHeat(bytes) {
    put(heat, bytes);
    heat.hidden = !bytes;
    right.textContent = bytes ? "Where it looked" : "In drag";
    changed.setAttribute("aria-label", bytes ? "Heat map: where the generator looked" : "Your photo in drag");
  }

  // The change is linear: between 0 and 100 % the page can mix the two pictures itself, and so above.
  function setStrength(percent) {
    after.style.opacity = Math.min(1, percent / 100);
    strong.style.opacity = Math.max(0, (percent - 100) / 50);
  }

  moveTo(50);
  return { node, rings, show, showHeat, setStrength, close: () => layers.forEach((picture) => put(picture)) };
}
