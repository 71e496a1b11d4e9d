// The widget: takes a photo, shows it before and in drag, lets look, strength and faces be chosen, hands out the result.

import { element, viewName } from "./widgets.js";
import { connect } from "./messages.js";
import { buildIntake, refusal } from "./intake.js";
import { buildComparison } from "./compare.js";
import { buildFaces } from "./faces.js";
import { buildControls } from "./controls.js";

const CONSENT = "Use a photo of yourself, or of someone who said yes. This paints make-up for fun and gives nobody " +
  "another person's face. Your photo is not saved, neither here nor in the notebook.";
const BUSY = "The notebook is busy with another cell, or not running: what you asked for waits. If nothing happens, run this cell again.";
const COMPARE = "Move the line to compare.";

// What is told: progress, a sentence, or an error.
function buildStatus() {
  const bar = element("div", "df-bar", { hidden: true }, element("div", "df-bar-run"));
  const text = element("p", "df-status", { role: "status", "aria-live": "polite" });
  const error = element("p", "df-error", { role: "alert", hidden: true });
  function say(state, sentence = "") {
    bar.hidden = state !== "busy";
    error.hidden = state !== "error";
    error.textContent = state === "error" ? sentence : "";
    text.textContent = state === "error" ? "" : sentence;
  }
  return { nodes: [bar, text, error], say };
}

function saveFile({ name, blob }) {
  const url = URL.createObjectURL(blob);
  element("a", "", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

function render({ model, el }) {
  const view = viewName();
  const root = element("div", "df-page df-showcase", {
    "data-lm-suppress-shortcuts": "true", // JupyterLab's shortcuts would take Enter and the arrow keys
    role: "group", "aria-label": "Your selfie in drag",
  });
  let photo = null; // the request that brought the photo which is shown
  let arriving = null; // the request of one that is on its way
  let latest = 0; // questions about the view: only the newest's answer is shown

  const status = buildStatus();
  const notebook = connect(model, view);
  const intake = buildIntake(root, take, (sentence) => say("error", sentence));
  const comparison = buildComparison();
  const faces = buildFaces(comparison.rings, () => refresh());
  const controls = buildControls(view, faces.node, {
    look: changeLook, strength: setStrength, strengthChosen: keepStrength, alone: () => refresh(), heat: fetchHeat, download, remove,
  });
  const caption = element("figcaption", "df-caption");
  const result = element("div", "df-result", { hidden: true },
    element("figure", "df-figure", {}, comparison.node, caption), controls.node);
  root.append(element("p", "df-consent", { textContent: CONSENT }), intake.node, ...status.nodes, result);
  el.append(root);

  function say(state, sentence) {
    const busy = state === "busy";
    root.classList.toggle("df-busy", busy);
    root.setAttribute("aria-busy", String(busy));
    status.say(state, sentence);
    const shown = !result.hidden;
    intake.say(arriving ? "Drop another photo instead" : shown ? "Drop your photo here" : "Drop a photo here", shown || busy);
  }

  const progress = (text) => say("busy", text ? `${text} …` : BUSY);
  const shownView = () => ({ photo, faces: faces.numbers(), alone: controls.alone() });

  async function take(file, count) {
    const problem = refusal(file, model.get("largest_file"));
    if (problem) return say("error", problem);
    const request = notebook.newRequest();
    await receive(request, "Sending the photo …", () =>
      notebook.sendPhoto(file, request, { alone: controls.alone() }, () => arriving === request, (text) => arriving === request && progress(text)),
    count > 1 ? `Of ${count} files the first was taken.` : "");
  }

  // What the notebook holds already, or the portrait to begin with.
  function open() {
    const request = notebook.newRequest();
    receive(request, "", () =>
      notebook.ask({ kind: "open", request, alone: controls.alone() }, "shown"));
  }

  async function receive(request, sentence, getAnswer, remark = "") {
    arriving = request;
    result.inert = true; // what would be chosen now would be chosen of the photo before
    latest++;
    if (sentence) say("busy", sentence);
    try {
      const answer = await getAnswer();
      if (arriving !== request || !answer) return; // a newer photo took its place
      await showPhoto(answer, remark);
    } catch (error) {
      if (arriving !== request) return;
      arriving = null;
      say("error", error.message);
    } finally {
      result.inert = arriving !== null;
    }
  }

  async function showPhoto({ content, buffers }, remark) {
    const request = arriving;
    await comparison.show(buffers.slice(0, 3));
    if (arriving !== request) return;
    photo = content.photo;
    arriving = null;
    faces.show(content.places, buffers.slice(3));
    faces.showRings(!controls.alone());
    controls.setHeat(false);
    caption.textContent = content.example ? `To play with until yours is here: ${content.example}` : "";
    result.hidden = false;
    const several = content.places.length > 1 ? `${content.places.length} faces: press one to leave it out.` : "";
    say("done", [remark, several, content.remarks || (several ? "" : COMPARE)].filter(Boolean).join(" "));
  }

  // Ask for something about the photo that is shown; null when it failed, undefined when something newer was asked.
  async function question(message, kind, sentence) {
    const mine = ++latest;
    say("busy", sentence);
    try {
      const answer = await notebook.ask({ ...message, request: notebook.newRequest() }, kind, { onProgress: (text) => mine === latest && progress(text) });
      if (mine !== latest) return undefined;
      say("done", answer.content.remarks ?? "");
      return answer;
    } catch (error) {
      if (mine !== latest) return undefined;
      say("error", error.message);
      return null;
    }
  }

  // The same photo with other faces chosen, or shown otherwise.
  async function refresh() {
    if (!photo || arriving) return;
    const answer = await question({ kind: "view", ...shownView() }, "view", "One moment …");
    if (answer) await showPictures(answer.buffers);
  }

  async function changeLook(name) {
    const answer = await question({ kind: "look", look: name, ...shownView() }, "look", "Opening the look …");
    if (answer?.buffers.length) await showPictures(answer.buffers);
    followLooks(); // the one before, where it failed
  }

  async function showPictures(buffers) {
    const before = latest;
    await comparison.show(buffers);
    faces.showRings(!controls.alone());
    if (controls.heat() && before === latest) fetchHeat(true);
  }

  async function fetchHeat(wanted) {
    if (!wanted) {
      latest++; // one that is on its way is not wanted any more
      comparison.showHeat(null);
      return say("done");
    }
    const answer = await question({ kind: "heat", ...shownView() }, "heat", "One moment …");
    if (answer) comparison.showHeat(answer.buffers[0]);
    else if (answer === null) controls.setHeat(false);
  }

  async function download() {
    const wanted = photo;
    const message = { kind: "download", request: notebook.newRequest(), strength: controls.strength(), format: controls.format(), ...shownView() };
    controls.lock(true);
    say("busy", "Making the picture in full size …");
    try {
      const file = await notebook.fetchPicture(message, () => photo === wanted, (text) => photo === wanted && progress(text));
      if (photo !== wanted) return; // another photo took its place
      saveFile(file);
      say("done", `${file.name} is in your downloads.`);
    } catch (error) {
      if (photo === wanted) say("error", error.message);
    } finally {
      controls.lock(false);
    }
  }

  function remove() {
    photo = arriving = null;
    latest++;
    notebook.tell({ kind: "forget" });
    comparison.show([]);
    faces.close();
    result.hidden = true;
    say("empty", "The photo is gone.");
    intake.focus();
  }

  function setStrength(percent) {
    comparison.setStrength(percent);
    controls.setStrength(percent);
  }

  function keepStrength(percent) {
    model.set("strength", percent / 100);
    model.save_changes();
  }

  const followStrength = () => setStrength(Math.round(model.get("strength") * 100));
  const followLooks = () => controls.setLooks(model.get("looks"), model.get("look"));
  root.addEventListener("keydown", (event) => event.stopPropagation()); // classic Notebook's shortcuts
  model.on("change:strength", followStrength);
  model.on("change:look", followLooks);
  followStrength();
  followLooks();
  say("empty");
  open();

  return () => {
    model.off("change:strength", followStrength);
    model.off("change:look", followLooks);
    notebook.close();
    intake.close();
    comparison.close();
    faces.close();
  };
}

export default { render };
