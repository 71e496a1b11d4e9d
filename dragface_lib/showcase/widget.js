// The drop zone: takes a photo by drop, click or paste, shows it before and in drag, and hands out the result.
// Everything of a photo travels in messages (widget.py lists them); the model's state never holds any of it.

const PART = 1 << 20; // bytes of a photo sent at once: servers refuse messages above 10 MB
const PATIENCE = 5000; // milliseconds after which a silent notebook is explained
const TRIES = 8; // a server that limits its rate drops messages; they are asked for again
const PICTURE_NAME = /\.(jpe?g|jfif|png|webp|gif|bmp|tiff?|avif|hei[cf])$/i;

let views = 0;

function element(tag, name, properties = {}, ...children) {
  const node = document.createElement(tag);
  node.className = name;
  for (const [key, value] of Object.entries(properties)) {
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "df-icon");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

function build(root, largest) {
  const megabytes = Math.round(largest / (1 << 20));
  const ui = {};
  ui.title = element("span", "df-title");
  ui.zone = element(
    "button", "df-zone", { type: "button" },
    icon("M12 15V4m0 0L7.5 8.5M12 4l4.5 4.5M4 15v3.5A1.5 1.5 0 0 0 5.5 20h13a1.5 1.5 0 0 0 1.5-1.5V15"),
    ui.title,
    element("span", "df-hint", { textContent: "or click to choose one, or paste it" }),
  );
  ui.file = element("input", "df-file", { type: "file", accept: "image/*", tabIndex: -1, hidden: true });
  ui.manners = element("p", "df-manners", {
    textContent:
      `Use a photo of yourself, or of someone who said yes. JPEG, PNG or WebP up to ${megabytes} MB. ` +
      "It is not saved, neither here nor in the notebook.",
  });
  ui.bar = element("div", "df-bar", { hidden: true }, element("div", "df-bar-run"));
  ui.status = element("p", "df-status", { role: "status", "aria-live": "polite" });
  ui.error = element("p", "df-error", { role: "alert", hidden: true });

  ui.before = element("img", "df-picture df-before", { alt: "Your photo before" });
  ui.after = element("img", "df-picture df-after", { alt: "" });
  ui.strong = element("img", "df-picture df-strong", { alt: "" });
  ui.under = element("img", "df-picture", { alt: "" });
  ui.stack = element("div", "df-stack", { role: "img", "aria-label": "Your photo in drag" }, ui.under, ui.after, ui.strong);
  ui.slider = element("input", "df-slider", { type: "range", min: 0, max: 150, step: 5, "aria-label": "Strength of the drag" });
  ui.percent = element("output", "df-percent");
  ui.download = element(
    "button", "df-button df-download", { type: "button" },
    icon("M12 4v11m0 0l-4.5-4.5M12 15l4.5-4.5M4 15v3.5A1.5 1.5 0 0 0 5.5 20h13a1.5 1.5 0 0 0 1.5-1.5V15"),
    "Download",
  );
  ui.remove = element("button", "df-button df-quiet df-remove", { type: "button", textContent: "Remove photo" });
  ui.result = element(
    "div", "df-result", { hidden: true },
    element("div", "df-pair", {},
      element("figure", "df-figure", {}, ui.before, element("figcaption", "df-caption", { textContent: "Before" })),
      element("figure", "df-figure", {}, ui.stack, element("figcaption", "df-caption", { textContent: "In drag" }))),
    element("div", "df-controls", {},
      element("label", "df-strength", {}, element("span", "df-label", { textContent: "Strength" }), ui.slider, ui.percent),
      element("div", "df-buttons", {}, ui.download, ui.remove)),
  );
  root.append(ui.zone, ui.file, ui.bar, ui.status, ui.error, ui.result, ui.manners);
  return ui;
}

function render({ model, el }) {
  const view = `${Date.now()}-${++views}`;
  const root = element("div", "df-showcase", {
    "data-lm-suppress-shortcuts": "true", // JupyterLab's shortcuts would take Enter and the arrow keys
    role: "group", "aria-label": "Your selfie in drag",
  });
  const ui = build(root, model.get("largest_file"));
  el.append(root);

  let requests = 0;
  let current = null; // the request of the photo that is on its way or shown
  let busy = false;
  let urls = [];
  let patience = null;
  const waiting = new Map(); // answers that a download waits for

  const send = (content, buffers = []) => model.send(content, undefined, buffers);

  function show(state, text = "") {
    busy = state === "busy";
    root.classList.toggle("df-busy", busy);
    root.setAttribute("aria-busy", String(busy));
    ui.bar.hidden = !busy;
    ui.error.hidden = state !== "error";
    ui.error.textContent = state === "error" ? text : "";
    ui.status.textContent = state === "error" ? "" : text;
    const shown = !ui.result.hidden;
    root.classList.toggle("df-compact", shown || busy);
    ui.title.textContent = busy ? "Drop another photo instead" : shown ? "Drop another photo here" : "Drop a photo here";
  }

  function clear() {
    urls.forEach((url) => URL.revokeObjectURL(url));
    urls = [];
    ui.result.hidden = true;
    for (const picture of [ui.before, ui.under, ui.after, ui.strong]) picture.removeAttribute("src");
  }

  function expectAnswer() {
    clearTimeout(patience);
    patience = setTimeout(() => {
      show("busy", "The notebook is busy with another cell, or not running: your photo waits. If nothing happens, run this cell again.");
    }, PATIENCE);
  }

  async function take(file) {
    const request = `${view}-${++requests}`;
    current = request;
    clearTimeout(patience);
    clear();
    const megabytes = (model.get("largest_file") / (1 << 20)).toFixed(0);
    if (file.type ? !file.type.startsWith("image/") : !PICTURE_NAME.test(file.name)) {
      return show("error", `${file.name} is not a picture: choose a JPEG, PNG or WebP file.`);
    }
    if (file.size > model.get("largest_file")) {
      return show("error", `${file.name} has ${(file.size / (1 << 20)).toFixed(0)} MB, and up to ${megabytes} MB are taken: make it smaller first.`);
    }
    show("busy", "Sending the photo …");
    const parts = Math.max(1, Math.ceil(file.size / PART));
    try {
      for (let part = 0; part < parts; part++) {
        const bytes = await file.slice(part * PART, (part + 1) * PART).arrayBuffer();
        if (current !== request) return; // a newer photo took its place
        send({ kind: "photo", request, name: file.name, size: file.size, part, parts }, [bytes]);
      }
    } catch {
      return show("error", `${file.name} could not be read: choose the file once more.`);
    }
    expectAnswer();
  }

  function takeFirst(transfer) {
    const file = transfer?.files?.[0];
    if (file) take(file);
    else show("error", "That was not a file: save the picture first, then drop the file.");
  }

  function setStrength(percent) {
    // The change is linear: between 0 and 100 % the page can mix the two pictures itself, and so above.
    ui.after.style.opacity = Math.min(1, percent / 100);
    ui.strong.style.opacity = Math.max(0, (percent - 100) / 50);
    ui.percent.textContent = `${percent} %`;
    ui.slider.value = percent;
    ui.slider.setAttribute("aria-valuetext", `${percent} percent`);
  }

  async function showPictures(content, buffers) {
    const fresh = buffers.map((bytes) => URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })));
    urls.push(...fresh);
    [ui.before.src, ui.after.src, ui.strong.src] = fresh;
    ui.under.src = fresh[0];
    await Promise.allSettled([ui.before, ui.under, ui.after, ui.strong].map((picture) => picture.decode()));
    if (content.request !== current) return;
    ui.result.hidden = false;
    show("done", content.faces === 1 ? "" : `${content.faces} faces`);
  }

  function onMessage(content, buffers) {
    const answer = waiting.get(`${content.request}/${content.kind}/${content.part ?? ""}`)
      ?? (content.kind === "error" ? waiting.get(content.request) : undefined);
    if (answer) return answer(content, buffers);
    if (content.request !== current) return; // of another view, or of a photo that was replaced
    clearTimeout(patience);
    if (content.kind === "progress") show("busy", `${content.text} …`);
    else if (content.kind === "shown") showPictures(content, buffers);
    else if (content.kind === "error") show("error", content.text);
  }

  // Send a message and wait for its answer; ask again when none comes.
  async function ask(message, kind, wait) {
    const key = `${message.request}/${kind}/${message.part ?? ""}`;
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const answer = await new Promise((resolve, reject) => {
        const timer = setTimeout(() => resolve(null), wait);
        waiting.set(key, (content, buffers) => { clearTimeout(timer); resolve({ content, buffers }); });
        waiting.set(message.request, (content) => { clearTimeout(timer); reject(new Error(content.text)); });
        send(message);
      });
      waiting.delete(key);
      waiting.delete(message.request);
      if (answer) return answer;
    }
    throw new Error("The notebook does not answer: run this cell again and drop the photo once more.");
  }

  async function download() {
    const shown = current;
    const request = `${view}-${++requests}`;
    ui.download.disabled = true;
    show("busy", "Making the picture in full size …");
    try {
      const { content } = await ask({ kind: "download", request, photo: shown, strength: ui.slider.value / 100 }, "file", 20000);
      const pieces = [];
      for (let part = 0; part < content.parts; part++) {
        pieces.push((await ask({ kind: "part", request, part }, "part", 4000)).buffers[0]);
        if (current !== shown) return; // another photo took its place
      }
      const url = URL.createObjectURL(new Blob(pieces, { type: "image/jpeg" }));
      const link = element("a", "", { href: url, download: content.name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
      show("done", `${content.name} is in your downloads.`);
    } catch (error) {
      if (current === shown) show("error", error.message);
    } finally {
      ui.download.disabled = false;
    }
  }

  function remove() {
    current = null;
    clear();
    send({ kind: "forget" });
    show("empty");
    ui.zone.focus();
  }

  const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  let depth = 0; // dragenter and dragleave also come from every child
  const over = (on) => root.classList.toggle("df-over", on);
  root.addEventListener("dragenter", (event) => { event.preventDefault(); depth++; over(true); });
  root.addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); if (!depth) over(false); });
  root.addEventListener("dragover", (event) => { event.preventDefault(); event.dataTransfer.dropEffect = "copy"; });
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    depth = 0;
    over(false);
    takeFirst(event.dataTransfer);
  });
  root.addEventListener("paste", (event) => { event.stopPropagation(); takeFirst(event.clipboardData); });
  root.addEventListener("keydown", (event) => event.stopPropagation()); // classic Notebook's shortcuts
  ui.zone.addEventListener("click", () => ui.file.click());
  ui.file.addEventListener("change", () => {
    if (ui.file.files[0]) take(ui.file.files[0]);
    ui.file.value = ""; // so that the same file can be chosen again
  });
  ui.slider.addEventListener("input", () => setStrength(Number(ui.slider.value)));
  ui.slider.addEventListener("change", () => {
    model.set("strength", ui.slider.value / 100);
    model.save_changes();
  });
  ui.download.addEventListener("click", download);
  ui.remove.addEventListener("click", remove);

  // A file dropped beside the zone would make the browser leave the notebook.
  const keepPage = (event) => {
    if (holdsFiles(event) && !event.target.closest?.("input, textarea")) event.preventDefault();
  };
  window.addEventListener("dragover", keepPage);
  window.addEventListener("drop", keepPage);
  const followStrength = () => setStrength(Math.round(model.get("strength") * 100));
  model.on("change:strength", followStrength);
  model.on("msg:custom", onMessage);
  followStrength();
  show("empty");

  return () => {
    window.removeEventListener("dragover", keepPage);
    window.removeEventListener("drop", keepPage);
    model.off("change:strength", followStrength);
    model.off("msg:custom", onMessage);
    clearTimeout(patience);
    clear();
  };
}

export default { render };
