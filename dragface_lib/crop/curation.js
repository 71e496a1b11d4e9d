// The grid of faces: a page at a time, one click or key a decision, saved at once by the notebook.
// curation.py lists the questions; nothing of a face is ever in the model's state.

import { address, connect, element, select } from "./widgets.js";

const PAGE = 24; // faces, as in curation.py
const SILENT = "The notebook is busy with another cell, or not running. If this stays, run this cell again.";
const KEYS = "A click turns a face around. Keys: K keeps, X rejects, arrows move, A takes the page as it stands.";

const button = (name, text, properties = {}) => element("button", `dc-button ${name}`, { type: "button", textContent: text, ...properties });

function render({ model, el }) {
  const notebook = connect(model), ui = {
    shown: select("dc-shown", "Which faces", model.get("shown")),
    order: select("dc-order", "Order", model.get("orders")),
    summary: element("p", "dc-summary"),
    grid: element("div", "dc-grid", { role: "group", "aria-label": "Faces: a checked face is kept" }),
    empty: element("p", "dc-empty", { textContent: "Fetching the faces …" }),
    error: element("p", "dc-error", { role: "alert", hidden: true }),
    back: button("dc-back", "‹", { "aria-label": "Previous page" }),
    place: element("span", "dc-place"),
    forth: button("dc-forth", "›", { "aria-label": "Next page" }),
    larger: button("dc-larger", "Larger", { "aria-pressed": "false" }),
    accept: button("dc-accept", "Page is right, next"),
    status: element("p", "dc-status", { role: "status", "aria-live": "polite" }),
  };
  // JupyterLab's shortcuts would take letters and arrow keys.
  const root = element("div", "df-page dc-curation", { "data-lm-suppress-shortcuts": "true", role: "group", "aria-label": "Going through the faces" },
    element("div", "dc-row", {}, ui.shown, ui.order, ui.summary), ui.grid, ui.empty, ui.error,
    element("div", "dc-row dc-bar", {}, ui.back, ui.place, ui.forth, ui.larger, ui.accept), ui.status,
    element("p", "dc-help", { textContent: KEYS }));
  el.append(root);
  let faces = [], pictures = []; // of this page, and the pictures' addresses
  let start = 0, total = 0;
  let waiting = 0; // questions without an answer
  let latest = 0; // pages asked for: only the newest is drawn

  // The answer, or null after an error, which is shown.
  async function ask(question) {
    waiting++;
    showStatus();
    const answer = await notebook.ask(question, { onProgress: () => showStatus(true) }).catch((error) => {
      ui.error.textContent = error.message;
      return null;
    });
    if (answer) ui.summary.textContent = answer.content.summary;
    ui.error.hidden = answer !== null;
    waiting--;
    return answer;
  }

  function showStatus(silent = false) {
    ui.status.textContent = silent ? SILENT : waiting ? "One moment …" : "All decisions are saved.";
    root.classList.toggle("dc-silent", silent);
  }

  async function turnPage(first) {
    start = first;
    const mine = ++latest;
    const answer = await ask({ kind: "page", shown: ui.shown.value, order: ui.order.value, start });
    if (answer && mine === latest) drawPage(answer);
    showStatus();
  }

  function drawPage({ content, buffers }) {
    const focused = ui.grid.contains(document.activeElement);
    pictures.forEach((picture) => URL.revokeObjectURL(picture));
    ({ faces, total } = content);
    pictures = buffers.map((bytes) => (bytes.byteLength ? address(bytes) : ""));
    ui.grid.replaceChildren(...faces.map(tile));
    ui.empty.textContent = ui.shown.selectedIndex ? "There is no such face." : "You have looked at every face. Run the next cell.";
    ui.empty.hidden = faces.length > 0;
    ui.place.textContent = total ? `${start / PAGE + 1} of ${Math.ceil(total / PAGE)}` : "";
    ui.back.disabled = start === 0;
    ui.forth.disabled = start + PAGE >= total;
    ui.accept.disabled = !faces.length;
    if (focused) ui.grid.firstElementChild?.focus({ preventScroll: true });
  }

  function tile(face, index) {
    const picture = element("img", "dc-picture", { alt: face.about, draggable: false });
    const node = element("button", "dc-face", { type: "button", role: "checkbox", "data-key": face.key, title: face.about },
      picture, element("span", "dc-mark", { "aria-hidden": "true" }), element("span", "dc-why", { textContent: face.why }));
    if (pictures[index]) picture.src = pictures[index];
    node.addEventListener("click", () => decide({ [face.key]: face.kept ? "reject" : "keep" }));
    paint(node, face);
    return node;
  }

  function paint(node, face) {
    node.classList.toggle("dc-rejected", !face.kept);
    node.classList.toggle("dc-decided", face.decided);
    node.setAttribute("aria-checked", String(face.kept));
  }

  async function decide(decisions) {
    faces.forEach((face, index) => {
      if (!(face.key in decisions)) return;
      Object.assign(face, { decided: true, kept: decisions[face.key] === "keep" });
      paint(ui.grid.children[index], face);
    });
    const answer = await ask({ kind: "decide", decisions });
    showStatus();
    if (!answer) turnPage(start); // to show what is true
  }

  function acceptPage() {
    decide(Object.fromEntries(faces.map((face) => [face.key, face.kept ? "keep" : "reject"])));
    turnPage(start + PAGE < total ? start + PAGE : 0);
  }

  function onKey(event) {
    event.stopPropagation(); // classic Notebook's shortcuts
    const node = event.target.closest(".dc-face"), key = event.key.toLowerCase();
    if (!node || event.altKey || event.ctrlKey || event.metaKey) return;
    const next = key === "arrowleft" ? node.previousElementSibling : node.nextElementSibling;
    if (key === "a") acceptPage();
    else if (key === "k" || key === "x") decide({ [node.dataset.key]: key === "k" ? "keep" : "reject" });
    else if (key !== "arrowleft" && key !== "arrowright") return;
    event.preventDefault();
    if (key !== "a") next?.focus();
  }

  ui.shown.addEventListener("change", () => turnPage(0));
  ui.order.addEventListener("change", () => turnPage(0));
  ui.back.addEventListener("click", () => turnPage(start - PAGE));
  ui.forth.addEventListener("click", () => turnPage(start + PAGE));
  ui.accept.addEventListener("click", acceptPage);
  ui.larger.addEventListener("click", () => {
    ui.larger.setAttribute("aria-pressed", String(ui.grid.classList.toggle("dc-large")));
  });
  root.addEventListener("keydown", onKey);
  turnPage(0);

  return () => {
    notebook.close();
    pictures.forEach((picture) => URL.revokeObjectURL(picture));
  };
}

export default { render };
