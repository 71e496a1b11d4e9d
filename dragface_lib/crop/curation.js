// The grid of faces: pages of small pictures, one click or key a decision, everything saved at once by the notebook.
// curation.py lists the messages; nothing of a face is ever in the model's state.

import { element, viewName } from "./widgets.js";

const TILE = 104; // pixels a tile is wide at least
const FACES_A_PAGE = 24; // at least
const AROUND = 480; // pixels of the screen that everything but the grid takes, the browser's own bars included
const PICTURES_AT_ONCE = 24; // in a message: a server may refuse more than 1 MB a second
const CACHED = 800; // pictures kept in the page
const PATIENCE = 5000; // milliseconds after which a silent notebook is explained
const AGAIN = 4000; // after which it is asked again, then after twice as long, and so on
const KEYS = [
  ["Arrow keys", "move"], ["Space", "keep or reject"], ["K / X", "keep / reject, and on"], ["L", "look closer"],
  ["A", "all of this page is right: next"], ["U", "undo"], ["Page up / down", "turn the page"],
];

const button = (name, text, properties = {}) => element("button", `dc-button ${name}`, { type: "button", textContent: text, ...properties });
const plural = (count, one) => `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
// "turned to the side by 34 degrees" and "blurred: sharpness 0.2, ..." are shown and filtered without their numbers.
const category = (face) => (face.reason.startsWith("by hand") ? "by hand"
  : face.reason.split(":")[0].replace(/(by )?[\d.]+(%| degrees)?/g, "").trim());

const SHOWN = {
  open: ["Not looked at", (face) => !face.decision],
  kept: ["Kept", (face) => face.kept],
  rejected: ["Rejected", (face) => !face.kept],
  hand: ["Decided by you", (face) => face.decision],
  all: ["All", () => true],
};

function build(root) {
  const ui = {};
  ui.counters = element("div", "dc-counters");
  ui.shown = element("div", "dc-shown", { role: "group", "aria-label": "Which faces" });
  ui.filters = {};
  for (const [name, [text]] of Object.entries(SHOWN)) {
    ui.filters[name] = button("dc-filter", text, { "data-shown": name });
    ui.shown.append(ui.filters[name]);
  }
  ui.domain = element("select", "dc-select dc-domain", { "aria-label": "Domain" });
  ui.reason = element("select", "dc-select dc-reason", { "aria-label": "Reason" });
  ui.grid = element("div", "dc-grid", { role: "group", "aria-label": "Faces: a checked one is kept" });
  ui.empty = element("p", "dc-empty", { hidden: true });
  ui.back = button("dc-back", "‹", { "aria-label": "Previous page" });
  ui.page = element("span", "dc-page");
  ui.forth = button("dc-forth", "›", { "aria-label": "Next page" });
  ui.undo = button("dc-undo", "Undo");
  ui.rejectAll = button("dc-reject-all", "Reject page");
  ui.keepAll = button("dc-keep-all", "Keep page");
  ui.accept = button("dc-accept", "Page is right, next");
  ui.status = element("p", "dc-status", { role: "status", "aria-live": "polite" });
  ui.saved = element("p", "dc-saved");
  ui.error = element("p", "dc-error", { role: "alert", hidden: true });
  ui.bar = element(
    "div", "dc-bar", {},
    element("div", "dc-pages", {}, ui.back, ui.page, ui.forth),
    element("div", "dc-actions", {}, ui.undo, ui.rejectAll, ui.keepAll, ui.accept),
  );
  const keys = element("dl", "dc-keys");
  for (const [key, text] of KEYS) keys.append(element("div", "", {}, element("dt", "", { textContent: key }), element("dd", "", { textContent: text })));

  ui.picture = element("img", "dc-large");
  ui.about = element("p", "dc-about");
  ui.turn = element("button", "dc-button dc-turn", { type: "button" });
  ui.closer = element(
    "dialog", "dc-closer", { "aria-label": "One face" }, ui.picture, ui.about,
    element("div", "dc-actions", {},
      ui.before = button("dc-before", "‹", { "aria-label": "Previous face" }), ui.turn,
      ui.after = button("dc-after", "›", { "aria-label": "Next face" }),
      ui.close = button("dc-close", "Close")),
  );
  root.append(
    ui.counters, element("div", "dc-filters", {}, ui.shown, ui.domain, ui.reason),
    ui.grid, ui.empty, ui.error, ui.bar,
    element("div", "dc-told", {}, ui.status, ui.saved),
    element("details", "dc-help", {}, element("summary", "", { textContent: "Keys" }), keys), ui.closer,
  );
  return ui;
}

function render({ model, el }) {
  const view = viewName();
  const root = element("div", "df-page dc-curation", {
    "data-lm-suppress-shortcuts": "true", // JupyterLab's shortcuts would take letters and arrow keys
    role: "group", "aria-label": "Going through the faces",
  });
  const ui = build(root);
  el.append(root);

  let faces = new Map(); // by key, in the kernel's order
  let arriving = [];
  let shown = "open";
  let listed = []; // keys that fit the filters, as they were when the filters were set or the page was accepted
  let start = 0; // of the page, in listed
  let size = FACES_A_PAGE;
  let focus = 0; // the tile that the keys act on
  let requests = 0;
  let undoable = 0;
  let closed = false;
  let looking = null; // the key of the face that is shown large
  const waiting = new Map(); // what the notebook has not answered, by request
  const pictures = new Map(); // addresses of small pictures, by key
  const large = new Map();

  // Every question is repeated until it is answered: servers drop messages, and the notebook may be busy.
  function ask(message) {
    const request = `${view}-${++requests}`;
    const question = { message: { ...message, request }, since: Date.now() };
    waiting.set(request, question);
    const say = (wait) => {
      model.send(question.message);
      question.timer = setTimeout(() => say(2 * wait), wait);
    };
    say(AGAIN);
    showStatus();
  }
  const patience = setInterval(() => showStatus(), 1000);

  function showStatus(text) {
    const late = [...waiting.values()].filter((question) => Date.now() - question.since > PATIENCE);
    const unsaved = late.filter((question) => ["decide", "undo"].includes(question.message.kind)).length;
    const saving = [...waiting.values()].some((question) => ["decide", "undo"].includes(question.message.kind));
    root.classList.toggle("dc-waiting", late.length > 0);
    ui.saved.textContent = saving ? "Saving …" : [...faces.values()].some((face) => face.decision) ? "All decisions are saved" : "";
    if (late.length) {
      ui.status.textContent = unsaved
        ? `${plural(unsaved, "decision")} not saved yet: the notebook is busy with another cell, or not running. If this stays, run this cell again; what was saved is kept.`
        : "The notebook is busy with another cell, or not running. If this stays, run this cell again.";
    } else if (text !== undefined) ui.status.textContent = text;
    else if (ui.status.textContent.includes("If this stays")) ui.status.textContent = "";
  }

  const page = () => listed.slice(start, start + size).map((key) => faces.get(key)).filter(Boolean);

  function fits(face) {
    return SHOWN[shown][1](face)
      && (!ui.domain.value || face.domain === ui.domain.value)
      && (!ui.reason.value || category(face) === ui.reason.value);
  }

  function list(first = 0) {
    listed = [...faces.values()].filter(fits).map((face) => face.key);
    start = Math.max(0, Math.min(first, listed.length - 1));
    start -= start % size;
    focus = 0;
    draw();
  }

  function fillSelect(select, every, values) {
    const before = select.value;
    select.replaceChildren(element("option", "", { value: "", textContent: every }));
    for (const [value, count] of [...values].sort()) {
      select.append(element("option", "", { value, textContent: `${value} (${count.toLocaleString("en")})` }));
    }
    select.value = values.has(before) ? before : "";
  }

  function count() {
    const domains = new Map(), reasons = new Map(), kept = new Map();
    for (const face of faces.values()) {
      domains.set(face.domain, (domains.get(face.domain) ?? 0) + 1);
      kept.set(face.domain, (kept.get(face.domain) ?? 0) + face.kept);
      if (face.reason) reasons.set(category(face), (reasons.get(category(face)) ?? 0) + 1);
    }
    fillSelect(ui.domain, "Both domains", domains);
    fillSelect(ui.reason, "Any reason", reasons);
    for (const [name, [text, test]] of Object.entries(SHOWN)) {
      const number = [...faces.values()].filter(test).length.toLocaleString("en");
      ui.filters[name].replaceChildren(text, " ", element("span", "dc-count", { textContent: number }));
      ui.filters[name].setAttribute("aria-pressed", String(name === shown));
    }
    const target = model.get("target");
    ui.counters.replaceChildren(...[...kept].sort().reverse().map(([domain, number]) =>
      element("div", "dc-counter", {},
        element("span", "dc-counter-text", {},
          element("b", "", { textContent: domain }), ` ${number.toLocaleString("en")} of ${target.toLocaleString("en")} kept`),
        element("progress", "dc-progress", { max: target, value: Math.min(number, target), "aria-label": `${domain} faces kept` }))));
  }

  function describe(face) {
    return [face.photo, face.domain, face.split === "test" ? "for testing" : ""].filter(Boolean).join(", ");
  }

  function draw() {
    count();
    const now = page();
    ui.grid.replaceChildren(...now.map(tile));
    ui.empty.hidden = now.length > 0;
    ui.empty.textContent = !faces.size ? "Fetching the faces …"
      : shown === "open" && !ui.domain.value && !ui.reason.value ? "You have looked at every face. Run the next cell to pack them."
        : "No face fits these filters.";
    const pages = Math.ceil(listed.length / size);
    ui.page.textContent = listed.length ? `${start / size + 1} of ${pages}` : "";
    ui.page.setAttribute("aria-label", listed.length ? `Page ${start / size + 1} of ${pages}` : "");
    ui.back.disabled = start === 0;
    ui.forth.disabled = start + size >= listed.length;
    ui.undo.disabled = !undoable;
    for (const action of [ui.accept, ui.keepAll, ui.rejectAll]) action.disabled = !now.length;
    fetchPictures(now.map((face) => face.key), listed.slice(start + size, start + 2 * size));
  }

  function tile(face, index) {
    const picture = element("img", "dc-picture", { alt: describe(face), draggable: false });
    const check = element("button", "dc-face", { type: "button", role: "checkbox", tabIndex: index === focus ? 0 : -1 },
      picture, element("span", "dc-mark", { "aria-hidden": "true" }), element("span", "dc-why"));
    const closer = button("dc-look", "", { tabIndex: -1, "aria-label": `Look closer at ${face.photo}`, title: "Look closer (L)" });
    const node = element("div", "dc-tile", { "data-key": face.key }, check, closer);
    check.addEventListener("click", () => { setFocus(index); turn(face); });
    check.addEventListener("focus", () => setFocus(index));
    closer.addEventListener("click", () => { setFocus(index); look(face.key); });
    paint(node, face);
    if (pictures.has(face.key)) showPicture(node, pictures.get(face.key));
    return node;
  }

  function paint(node, face) {
    const check = node.firstElementChild;
    node.classList.toggle("dc-rejected", !face.kept);
    node.classList.toggle("dc-by-hand", Boolean(face.decision));
    check.setAttribute("aria-checked", String(face.kept));
    check.title = [describe(face), face.reason, face.note].filter(Boolean).join("\n");
    check.querySelector(".dc-why").textContent = category(face) || face.note;
  }

  function showPicture(node, address) {
    const picture = node.querySelector(".dc-picture");
    if (address) picture.src = address;
    node.classList.toggle("dc-missing", !address);
  }

  const tileOf = (key) => ui.grid.querySelector(`[data-key="${CSS.escape(key)}"]`);

  function fetchPictures(now, next) {
    for (const keys of [now, next]) {
      const wanted = keys.filter((key) => !pictures.has(key) && ![...waiting.values()].some((q) => q.message.faces?.includes(key) && !q.message.large));
      for (let part = 0; part < wanted.length; part += PICTURES_AT_ONCE) {
        ask({ kind: "thumbs", faces: wanted.slice(part, part + PICTURES_AT_ONCE) });
      }
    }
  }

  function takePictures(keys, buffers, into) {
    keys.forEach((key, number) => {
      const bytes = buffers[number];
      into.set(key, bytes.byteLength ? URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })) : "");
    });
    const visible = new Set(listed.slice(start, start + 2 * size));
    for (const key of into.keys()) {
      if (into.size <= CACHED) break;
      if (visible.has(key) || key === looking) continue;
      URL.revokeObjectURL(into.get(key));
      into.delete(key);
    }
  }

  function setFocus(index, move = false) {
    const tiles = [...ui.grid.children];
    focus = Math.max(0, Math.min(index, tiles.length - 1));
    tiles.forEach((node, number) => { node.firstElementChild.tabIndex = number === focus ? 0 : -1; });
    if (move) tiles[focus]?.firstElementChild.focus();
  }

  function decide(decisions) {
    for (const [key, word] of Object.entries(decisions)) {
      const face = faces.get(key);
      Object.assign(face, { decision: word, kept: word === "keep" });
      if (tileOf(key)) paint(tileOf(key), face);
    }
    undoable += 1;
    ui.undo.disabled = false;
    ask({ kind: "decide", decisions });
    count();
  }

  function turn(face, word = face.kept ? "reject" : "keep") {
    decide({ [face.key]: word });
    showStatus(`${face.photo}: ${word === "keep" ? "kept" : "rejected"}`);
    if (looking) showLooking();
  }

  function decidePage(word) {
    const now = page();
    if (!now.length) return;
    const decisions = Object.fromEntries(now.map((face) => [face.key, word ?? (face.kept ? "keep" : "reject")]));
    const rejected = Object.values(decisions).filter((one) => one === "reject").length;
    decide(decisions);
    showStatus(`${plural(now.length - rejected, "face")} kept, ${rejected.toLocaleString("en")} rejected`);
    if (word) return; // to be seen before going on
    const gone = now.filter((face) => !fits(face)).length;
    list(start + size - (gone ? Math.min(size, gone) : 0));
    setFocus(0, true);
  }

  function undo() {
    if (!undoable) return;
    undoable -= 1;
    ui.undo.disabled = !undoable;
    ask({ kind: "undo" });
  }

  function toPage(first) {
    if (first < 0 || first >= listed.length) return;
    start = first;
    focus = 0;
    draw();
    setFocus(0, true);
  }

  function look(key) {
    looking = key;
    showLooking();
    if (!ui.closer.open) ui.closer.showModal();
    ui.turn.focus();
    if (!large.has(key)) ask({ kind: "thumbs", faces: [key], large: true });
  }

  function showLooking() {
    const face = faces.get(looking);
    const address = large.get(looking) ?? pictures.get(looking);
    if (address) ui.picture.src = address;
    else ui.picture.removeAttribute("src");
    ui.picture.alt = describe(face);
    ui.closer.classList.toggle("dc-rejected", !face.kept);
    ui.about.replaceChildren(
      element("b", "", { textContent: face.kept ? "Kept" : "Rejected" }), face.reason ? ` ${face.reason}` : "",
      element("br", ""), [describe(face), face.note].filter(Boolean).join(", "));
    ui.turn.textContent = face.kept ? "Reject" : "Keep";
  }

  function lookOn(step) {
    const now = page();
    const index = now.findIndex((face) => face.key === looking) + step;
    if (now[index]) { setFocus(index); look(now[index].key); }
  }

  function onMessage(content, buffers) {
    const question = waiting.get(content.request);
    if (question && !(content.kind === "faces" && content.part + 1 < content.parts)) {
      clearTimeout(question.timer);
      waiting.delete(content.request);
    }
    if (content.kind === "faces") {
      if (!question) return;
      if (content.part === 0) arriving = [];
      arriving.push(...content.faces);
      if (content.part + 1 < content.parts) return;
      faces = new Map(arriving.map((face) => [face.key, face]));
      undoable = content.undo;
      list(start);
    } else if (content.kind === "thumbs") {
      if (!question) return;
      takePictures(content.faces, buffers, question.message.large ? large : pictures);
      if (question.message.large) { if (looking === content.faces[0]) showLooking(); return; }
      for (const key of content.faces) if (tileOf(key)) showPicture(tileOf(key), pictures.get(key));
    } else if (content.kind === "saved") {
      ui.error.hidden = true;
      const unsaved = new Set([...waiting.values()].flatMap((one) => Object.keys(one.message.decisions ?? {})));
      for (const face of content.faces) if (faces.has(face.key) && !unsaved.has(face.key)) Object.assign(faces.get(face.key), face);
      undoable = content.undo + [...waiting.values()].filter((one) => one.message.kind === "decide").length;
      if (question?.message.kind === "undo") showUndone(content.faces.map((face) => face.key));
      else for (const face of content.faces) if (tileOf(face.key)) paint(tileOf(face.key), faces.get(face.key));
      ui.undo.disabled = !undoable;
      count();
      showStatus();
    } else if (content.kind === "error" && question) {
      ui.error.textContent = content.text;
      ui.error.hidden = false;
      if (["decide", "undo"].includes(question.message.kind)) ask({ kind: "open" }); // what is true, stands there
    }
  }

  function showUndone(keys) {
    showStatus(keys.length === 1 ? `${faces.get(keys[0])?.photo}: taken back` : `${plural(keys.length, "decision")} taken back`);
    if (!keys.every((key) => listed.includes(key))) list(0);
    const first = listed.findIndex((key) => keys.includes(key));
    if (first >= 0) { start = first - (first % size); draw(); setFocus(first - start, !looking); } else draw();
    if (looking) showLooking();
  }

  function onKey(event) {
    event.stopPropagation(); // classic Notebook's shortcuts
    if (event.target.closest("select, summary") || event.altKey) return;
    const key = event.key.toLowerCase();
    const face = looking ? faces.get(looking) : page()[focus];
    const columns = getComputedStyle(ui.grid).gridTemplateColumns.split(" ").length;
    const onward = () => (looking ? lookOn(1) : setFocus(focus + 1, true));
    const actions = {
      k: () => { if (face) { turn(face, "keep"); onward(); } },
      x: () => { if (face) { turn(face, "reject"); onward(); } },
      l: () => { if (looking) ui.closer.close(); else if (face) look(face.key); },
      u: undo,
      a: () => { if (!looking) decidePage(); },
      pageup: () => { if (!looking) toPage(start - size); },
      pagedown: () => { if (!looking) toPage(start + size); },
      arrowleft: () => (looking ? lookOn(-1) : setFocus(focus - 1, true)),
      arrowright: onward,
      arrowup: () => { if (!looking) setFocus(focus < columns ? focus : focus - columns, true); },
      arrowdown: () => { if (!looking) setFocus(focus + columns < page().length ? focus + columns : focus, true); },
      home: () => { if (!looking) setFocus(0, true); },
      end: () => { if (!looking) setFocus(page().length - 1, true); },
    };
    if (event.ctrlKey || event.metaKey ? key !== "z" : !(key in actions)) return;
    event.preventDefault();
    (event.ctrlKey || event.metaKey ? undo : actions[key])();
  }

  function fit() {
    if (!root.clientWidth) return;
    const columns = Math.max(1, Math.floor((root.clientWidth + 6) / (TILE + 6)));
    // Of the screen, not of the window: Colab shows the widget in a frame that grows with what is in it.
    const rows = Math.max(3, Math.min(6, Math.floor((screen.availHeight - AROUND) / (TILE + 6))));
    const fitting = columns * Math.max(rows, Math.ceil(FACES_A_PAGE / columns));
    if (fitting === size || closed) return;
    size = fitting;
    start -= start % size;
    draw();
  }

  for (const [name, filter] of Object.entries(ui.filters)) filter.addEventListener("click", () => { shown = name; list(); });
  ui.domain.addEventListener("change", () => list());
  ui.reason.addEventListener("change", () => {
    if (ui.reason.value && !listed.some((key) => fits(faces.get(key)))) shown = "all";
    list();
  });
  ui.back.addEventListener("click", () => toPage(start - size));
  ui.forth.addEventListener("click", () => toPage(start + size));
  ui.undo.addEventListener("click", undo);
  ui.keepAll.addEventListener("click", () => decidePage("keep"));
  ui.rejectAll.addEventListener("click", () => decidePage("reject"));
  ui.accept.addEventListener("click", () => decidePage());
  ui.turn.addEventListener("click", () => turn(faces.get(looking)));
  ui.before.addEventListener("click", () => lookOn(-1));
  ui.after.addEventListener("click", () => lookOn(1));
  ui.close.addEventListener("click", () => ui.closer.close());
  ui.closer.addEventListener("close", () => { looking = null; setFocus(focus, true); });
  root.addEventListener("keydown", onKey);
  model.on("msg:custom", onMessage);
  const observer = new ResizeObserver(fit);
  observer.observe(root);
  ask({ kind: "open" });
  draw();

  return () => {
    closed = true;
    observer.disconnect();
    clearInterval(patience);
    waiting.forEach((question) => clearTimeout(question.timer));
    model.off("msg:custom", onMessage);
    for (const address of [...pictures.values(), ...large.values()]) URL.revokeObjectURL(address);
  };
}

export default { render };
