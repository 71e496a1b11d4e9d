// The widget: takes a photo, shows it before and in drag, lets look, strength and faces be chosen, hands out the result.

import { connect, element } from "./widgets.js";
import { buildIntake } from "./intake.js";
import { buildComparison, buildControls } from "./result.js";

const CONSENT = "Use a photo of yourself, or of someone who said yes. This paints make-up for fun and gives nobody " +
  "another person's face. Your photo is not saved, neither here nor in the notebook.";
const BUSY = "The notebook is busy with another cell, or not running: what you asked for waits. If nothing happens, run this cell again.";

function render({ model, el }) {
  const root = element("div", "df-page df-showcase", {
    "data-lm-suppress-shortcuts": "true", // JupyterLab's shortcuts would take Enter and the arrow keys
    role: "group", "aria-label": "Your selfie in drag",
  });
  const notebook = connect(model);
  let latest = 0; // tasks: only the newest one may change what is shown

  const bar = element("progress", "df-bar", { hidden: true, "aria-label": "At work" });
  const status = element("p", "df-status", { role: "status", "aria-live": "polite" });
  const problem = element("p", "df-error", { role: "alert", hidden: true });
  const intake = buildIntake(root, take, (sentence) => say("error", sentence));
  const comparison = buildComparison();
  const controls = buildControls(model.get("looks"), { change: refresh, strength: setStrength, download, remove });
  const caption = element("figcaption", "df-caption");
  const result = element("div", "df-result", { hidden: true },
    element("figure", "df-figure", {}, comparison.node, caption), controls.node);
  root.append(element("p", "df-consent", { textContent: CONSENT }), intake.node, bar, status, problem, result);
  el.append(root);

  // state: "busy", "done" or "error".
  function say(state, sentence = "") {
    const busy = state === "busy";
    root.classList.toggle("df-busy", busy);
    bar.hidden = !busy;
    problem.hidden = state !== "error";
    problem.textContent = problem.hidden ? "" : sentence;
    status.textContent = problem.hidden ? sentence : "";
  }

  // Ask the notebook and show the answer, unless something newer is asked for meanwhile. exclusive: nothing can be
  // chosen until then.
  async function run(sentence, exclusive, ask, show) {
    const mine = ++latest;
    const isWanted = () => mine === latest;
    const onProgress = (text) => isWanted() && say("busy", text ? `${text} …` : BUSY);
    result.inert = exclusive;
    if (sentence) say("busy", sentence);
    try {
      const answer = await ask(onProgress, isWanted);
      if (isWanted()) await show(answer);
    } catch (error) {
      if (isWanted()) say("error", error.message);
    }
    if (!isWanted()) return;
    result.inert = false;
    controls.look.value = model.get("look"); // the look before, where the new one failed
  }

  function take(file) {
    const question = { kind: "photo", name: file.name, ...controls.chosen(), faces: null };
    run("Sending the photo …", true, (onProgress, isWanted) => notebook.sendFile(question, file, isWanted, onProgress), showPhoto);
  }

  async function showPhoto({ content, buffers }) {
    controls.faces.show(buffers.slice(0, content.faces));
    caption.textContent = content.example ? `To play with until yours is here: ${content.example}` : "";
    result.hidden = false;
    const hint = content.faces > 1 ? `${content.faces} faces: press one to leave it out.` : "Move the line to compare.";
    await showView({ content, buffers }, hint);
  }

  async function showView({ content, buffers }, hint = "") {
    await comparison.show(buffers.slice(content.faces));
    say("done", `${hint} ${content.remarks}`);
  }

  // The same photo in another look, with other faces chosen, or shown otherwise.
  function refresh() {
    const question = { kind: "view", ...controls.chosen() };
    run("One moment …", false, (onProgress) => notebook.ask(question, { onProgress }), showView);
  }

  function download() {
    const question = { kind: "download", ...controls.chosen(), ...controls.file() };
    const fetch = async (onProgress, isWanted) => {
      const { content } = await notebook.ask(question, { onProgress });
      return { name: content.name, blob: await notebook.fetchFile(content.file, content.type, isWanted) };
    };
    run("Making the picture in full size …", true, fetch, ({ name, blob }) => {
      const href = URL.createObjectURL(blob);
      element("a", "", { href, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(href), 60000);
      say("done", `${name} is in your downloads.`);
    });
  }

  function remove() {
    latest++;
    notebook.ask({ kind: "forget" });
    comparison.show([]);
    controls.faces.show([]);
    result.hidden = true;
    say("done", "The photo is gone.");
    intake.focus();
  }

  function setStrength(percent) {
    comparison.setStrength(percent);
    controls.setStrength(percent);
  }

  root.addEventListener("keydown", (event) => event.stopPropagation()); // classic Notebook's shortcuts
  setStrength(100);
  controls.look.value = model.get("look");
  // What the notebook holds already, or the portrait to begin with.
  run("", true, (onProgress) => notebook.ask({ kind: "open", ...controls.chosen() }, { onProgress }), showPhoto);

  return () => {
    notebook.close();
    intake.close();
    comparison.show([]);
    controls.faces.show([]);
  };
}

export default { render };
