// The grid of faces: a page at a time, one click or key a decision, saved at once by the notebook.
// curation.py lists the questions; nothing of a face is ever in the model's state.

import { address, connect, element } from "./widgets.js";

const PAGE = 24; // faces, as in curation.py
const SILENT = "The notebook is busy with another cell, or not running. If this stays, run this cell again.";
const SHOWN = { open: "Not looked at", kept: "Kept", rejected: "Rejected", decided: "Decided by you", all: "All" };
const KEYS = "Arrow keys move. Space or a click turns a face around, K keeps, X rejects, U leaves it to the gates. "
  + "A: this page is right, go on. L: larger. Page up and Page down turn the page.";

const button = (name, text, properties = {}) => element("button", `dc-button ${name}`, { type: "button", textContent: text, ...properties });
const select = (name, label, texts) => element("select", `dc-select ${name}`, { "aria-label": label },
  ...Object.entries(texts).map(([value, textContent]) => element("option", "", { value, textContent })));

function build(model) {
  const ui = {
    kept: element("p", "dc-kept"),
    shown: element("div", "dc-shown", { role: "group", "aria-label": "Which faces" }),
    filters: Object.fromEntries(Object.entries(SHOWN).map(([name, text]) => [name, button("dc-filter", text, { "data-shown": name })])),
    domain: select("dc-domain", "Domain", { "": "Both domains", selfie: "selfie", drag: "drag" }),
    order: select("dc-order", "Order", Object.fromEntries(model.get("orders").map((name) => [name, name]))),
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
  ui.shown.append(...Object.values(ui.filters));
  ui.root = element("div", "df-page dc-curation", {
    "data-lm-suppress-shortcuts": "true", // JupyterLab's shortcuts would take letters and arrow keys
    role: "group", "aria-label": "Going through the faces",
  },
  ui.kept, element("div", "dc-row", {}, ui.shown, ui.domain, ui.order), ui.grid, ui.empty, ui.error,
  element("div", "dc-row dc-bar", {}, ui.back, ui.place, ui.forth, ui.larger, ui.accept), ui.status,
  element("details", "dc-help", {}, element("summary", "", { textContent: "Keys" }), element("p", "", { textContent: KEYS })));
  return ui;
}

function render({ model, el }) {
  const ui = build(model), notebook = connect(model);
  el.append(ui.root);
  let faces = []; // of this page
  let pictures = []; // their addresses
  let shown = "open", start = 0, total = 0, focus = 0;
  let asked = 0, saving = 0; // questions without an answer, and decisions among them
  let latest = 0; // pages asked for: only the newest is drawn

  // The answer, or null after an error, which is shown.
  async function ask(question) {
    let answer = null;
    asked++;
    showStatus();
    try {
      answer = await notebook.ask(question, { onProgress: () => showStatus(true) });
      drawCounts(answer.content.counts);
      ui.error.hidden = true;
    } catch (error) {
      ui.error.textContent = error.message;
      ui.error.hidden = false;
    }
    asked--;
    return answer;
  }

  function showStatus(silent = false) {
    ui.status.textContent = silent ? SILENT : saving ? "Saving …" : asked ? "Fetching the faces …" : "All decisions are saved.";
    ui.root.classList.toggle("dc-silent", silent);
  }

  async function askForPage(first = 0) {
    const mine = ++latest;
    const answer = await ask({ kind: "page", shown, domain: ui.domain.value, order: ui.order.value, start: first });
    if (answer && mine === latest) drawPage(answer);
    showStatus();
  }

  function drawPage({ content, buffers }) {
    const focused = ui.root.contains(document.activeElement) && !document.activeElement.closest("select");
    pictures.forEach((picture) => URL.revokeObjectURL(picture));
    ({ faces, total } = content);
    pictures = buffers.map((bytes) => (bytes.byteLength ? address(bytes) : ""));
    ui.grid.replaceChildren(...faces.map(tile));
    const looked = shown === "open" && !ui.domain.value;
    ui.empty.textContent = looked ? "You have looked at every face. Run the next cell." : "No face fits these filters.";
    ui.empty.hidden = faces.length > 0;
    ui.place.textContent = total ? `${start / PAGE + 1} of ${Math.ceil(total / PAGE)}` : "";
    ui.back.disabled = start === 0;
    ui.forth.disabled = start + PAGE >= total;
    ui.accept.disabled = !faces.length;
    setFocus(0, focused);
  }

  function drawCounts(counts) {
    ui.kept.textContent = `Kept: ${counts.selfie} selfies, ${counts.drag} in drag`;
    for (const [name, filter] of Object.entries(ui.filters)) {
      filter.textContent = `${SHOWN[name]} ${counts[name]}`;
      filter.setAttribute("aria-pressed", String(name === shown));
    }
  }

  function tile(face, index) {
    const about = [face.photo, face.domain, face.split === "test" ? "for testing" : ""].filter(Boolean).join(", ");
    const picture = element("img", "dc-picture", { alt: about, draggable: false });
    const node = element("button", "dc-face", { type: "button", role: "checkbox", "data-key": face.key, title: about },
      picture, element("span", "dc-mark", { "aria-hidden": "true" }), element("span", "dc-why"));
    if (pictures[index]) picture.src = pictures[index];
    node.addEventListener("click", () => { setFocus(index); decide({ [face.key]: face.kept ? "reject" : "keep" }); });
    node.addEventListener("focus", () => setFocus(index));
    paint(node, face);
    return node;
  }

  function paint(node, face) {
    node.classList.toggle("dc-rejected", !face.kept);
    node.classList.toggle("dc-decided", Boolean(face.decision));
    node.setAttribute("aria-checked", String(face.kept));
    node.querySelector(".dc-why").textContent = [face.reason || (face.kept ? "" : "by hand"), face.note].filter(Boolean).join(", ");
  }

  function setFocus(index, move = false) {
    const tiles = [...ui.grid.children];
    focus = Math.max(0, Math.min(index, tiles.length - 1));
    tiles.forEach((node, number) => { node.tabIndex = number === focus ? 0 : -1; });
    if (move) tiles[focus]?.focus({ preventScroll: index === 0 });
  }

  async function decide(decisions) {
    for (const [index, face] of faces.entries()) {
      const decision = decisions[face.key];
      if (decision === undefined) continue;
      Object.assign(face, { decision, kept: decision ? decision === "keep" : !face.reason });
      paint(ui.grid.children[index], face);
    }
    saving++;
    const answer = await ask({ kind: "decide", decisions });
    saving--;
    showStatus();
    if (!answer) askForPage(start); // to show what is true
  }

  function acceptPage() {
    decide(Object.fromEntries(faces.map((face) => [face.key, face.kept ? "keep" : "reject"])));
    turnPage(start + PAGE < total ? start + PAGE : 0);
  }

  function turnPage(first) {
    if (first < 0 || (first >= total && first)) return;
    start = first;
    askForPage(start);
  }

  function onKey(event) {
    event.stopPropagation(); // classic Notebook's shortcuts
    if (event.target.closest("select, summary") || event.altKey || event.ctrlKey || event.metaKey) return;
    const columns = getComputedStyle(ui.grid).gridTemplateColumns.split(" ").length;
    const decideHere = (decision) => { if (faces[focus]) { decide({ [faces[focus].key]: decision }); setFocus(focus + 1, true); } };
    const actions = {
      k: () => decideHere("keep"), x: () => decideHere("reject"), u: () => decideHere(""),
      a: () => { if (faces.length) acceptPage(); },
      l: () => ui.larger.click(),
      pageup: () => turnPage(start - PAGE), pagedown: () => turnPage(start + PAGE),
      arrowleft: () => setFocus(focus - 1, true), arrowright: () => setFocus(focus + 1, true),
      arrowup: () => setFocus(focus < columns ? focus : focus - columns, true),
      arrowdown: () => setFocus(focus + columns < faces.length ? focus + columns : focus, true),
    };
    const action = actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  }

  for (const [name, filter] of Object.entries(ui.filters)) filter.addEventListener("click", () => { shown = name; turnPage(0); });
  for (const choice of [ui.domain, ui.order]) choice.addEventListener("change", () => turnPage(0));
  ui.back.addEventListener("click", () => turnPage(start - PAGE));
  ui.forth.addEventListener("click", () => turnPage(start + PAGE));
  ui.accept.addEventListener("click", acceptPage);
  ui.larger.addEventListener("click", () => {
    ui.larger.setAttribute("aria-pressed", String(ui.grid.classList.toggle("dc-large")));
  });
  ui.root.addEventListener("keydown", onKey);
  askForPage();

  return () => {
    notebook.close();
    pictures.forEach((picture) => URL.revokeObjectURL(picture));
  };
}

export default { render };
