// Which of several faces are in drag: a small picture of each to press, and a ring around it in the photo.

import { address, element } from "./widgets.js";

// rings: the layer over the photo. onChange: called with the numbers of the chosen faces.
export function buildFaces(rings, onChange) {
  const list = element("div", "df-faces", { role: "group", "aria-label": "Faces in drag" });
  const node = element("div", "df-field", { hidden: true }, element("span", "df-label", { textContent: "Faces" }), list);
  let chosen = [];
  let buttons = [];

  function draw() {
    buttons.forEach((both, number) => both.forEach((button) => button.setAttribute("aria-pressed", String(chosen[number]))));
  }

  function toggle(number) {
    if (chosen[number] && chosen.filter(Boolean).length === 1) return; // one is always left
    chosen[number] = !chosen[number];
    draw();
    onChange(numbers());
  }

  const numbers = () => chosen.flatMap((is, number) => (is ? [number] : []));

  function button(number, name, properties, ...children) {
    const made = element("button", name, { type: "button", title: `Face ${number + 1}`, ...properties }, ...children);
    made.addEventListener("click", () => toggle(number));
    return made;
  }

  // places: left, top, width, height of each face in parts of the photo; pictures: a JPEG of each.
  function show(places, pictures) {
    close();
    chosen = places.map(() => true);
    node.hidden = places.length < 2;
    if (node.hidden) return;
    buttons = places.map((place, number) => {
      const small = element("img", "", { alt: "", src: address(pictures[number]), draggable: false });
      const pressed = button(number, "df-face", { "aria-label": `Face ${number + 1}` }, small);
      // For the pointer alone: the keyboard and screen readers have the list.
      const ring = button(number, "df-ring", { tabIndex: -1, "aria-hidden": "true" });
      ring.addEventListener("mousedown", (event) => event.preventDefault()); // keeps the focus where it is
      ["left", "top", "width", "height"].forEach((side, n) => { ring.style[side] = `${100 * place[n]}%`; });
      return [pressed, ring];
    });
    list.append(...buttons.map(([pressed]) => pressed));
    rings.append(...buttons.map(([, ring]) => ring));
    draw();
  }

  function close() {
    list.querySelectorAll("img").forEach((picture) => URL.revokeObjectURL(picture.src));
    list.replaceChildren();
    rings.replaceChildren();
    buttons = [];
  }

  return { node, show, numbers, showRings: (shown) => { rings.hidden = !shown; }, close };
}
