// What the pages of all widgets are built from.

let views = 0;

// A name for this view of a widget, of which there may be several on a page and in other windows.
export const viewName = () => `${Date.now()}-${++views}`;

// An element of the page: element("button", "df-quiet", { type: "button", "aria-label": "Close" }, "x").
export function element(tag, name, properties = {}, ...children) {
  const node = document.createElement(tag);
  node.className = name;
  for (const [key, value] of Object.entries(properties)) {
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "df-icon");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

// An address for a picture's bytes; to be revoked.
export const address = (bytes, type = "image/jpeg") => URL.createObjectURL(new Blob([bytes], { type }));
