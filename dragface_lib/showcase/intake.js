// Where a photo comes from: dropped, chosen, pasted or taken with the camera.

import { element } from "./widgets.js";

const MAX_MEGABYTES = 25; // megabytes that a photo may have
const CAMERA_SETTINGS = { audio: false, video: { facingMode: "user", width: { ideal: 1920 }, height: { ideal: 1080 } } };
const NO_CAMERA = "The camera does not start: allow it beside the page's address, close other programs that use it, or drop a photo instead";

// root: the widget, all of which takes drops and pastes. onFile: called with a file; onProblem: with a sentence.
export function buildIntake(root, onFile, onProblem) {
  const zone = element("button", "df-zone", { type: "button" },
    element("span", "df-title", { textContent: "Drop a photo here" }),
    element("span", "df-hint", { textContent: "or click to choose one, or paste it" }));
  const input = element("input", "df-file", { type: "file", accept: "image/*", hidden: true });
  const snap = element("button", "df-button df-quiet df-snap", { type: "button", textContent: "Use the camera" });
  const camera = buildCamera(snap, (file) => take([file]), onProblem);
  const node = element("div", "df-intake", {}, element("div", "df-ways", {}, zone, snap), input, camera.node);

  function take(files) {
    if (!files?.length) return onProblem("That was not a file: save the picture first, then drop the file.");
    const { name, size } = files[0];
    if (size <= MAX_MEGABYTES << 20) return onFile(files[0]);
    onProblem(`${name} has ${Math.ceil(size / (1 << 20))} MB, and up to ${MAX_MEGABYTES} MB are taken: make it smaller first.`);
  }
  zone.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files.length) take([...input.files]);
    input.value = ""; // so that the same file can be chosen again
  });
  // A paste belongs to the widget when the focus is in it, or nowhere while the mouse is over it.
  const onPaste = (event) => {
    if (!root.contains(event.target) && !(document.activeElement === document.body && root.matches(":hover"))) return;
    event.stopPropagation();
    take(event.clipboardData?.files);
  };
  root.addEventListener("dragleave", (event) => root.classList.toggle("df-over", root.contains(event.relatedTarget)));
  root.addEventListener("dragover", (event) => { event.preventDefault(); root.classList.add("df-over"); });
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    root.classList.remove("df-over");
    take(event.dataTransfer.files);
  });
  // A file dropped beside the widget would make the browser leave the notebook.
  const keepPage = (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault();
  const closing = new AbortController();
  for (const kind of ["dragover", "drop"]) document.addEventListener(kind, keepPage, closing);
  document.addEventListener("paste", onPaste, { capture: true, signal: closing.signal });
  return { node, focus: () => zone.focus(), close: () => { closing.abort(); camera.close(); } };
}

// One picture from the camera, which is off again as soon as the picture is taken.
function buildCamera(button, onFile, onProblem) {
  let stream = null;
  const video = element("video", "df-video", { autoplay: true, muted: true, playsInline: true, "aria-label": "What the camera sees" });
  const shoot = element("button", "df-button df-primary df-shoot", { type: "button", textContent: "Take the picture" });
  const cancel = element("button", "df-button df-quiet df-cancel", { type: "button", textContent: "Cancel" });
  const node = element("div", "df-camera", { hidden: true }, video, element("div", "df-buttons", {}, shoot, cancel));

  function close() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = video.srcObject = null;
    node.hidden = true;
    button.disabled = false;
  }

  async function open() {
    button.disabled = shoot.disabled = true;
    node.hidden = false;
    try {
      const opened = await navigator.mediaDevices.getUserMedia(CAMERA_SETTINGS);
      if (node.hidden) return opened.getTracks().forEach((track) => track.stop()); // cancelled meanwhile
      video.srcObject = stream = opened;
      await video.play();
      shoot.disabled = false;
      shoot.focus();
    } catch (error) {
      if (node.hidden) return;
      close();
      onProblem(`${NO_CAMERA} (${error.message || error.name}).`);
    }
  }

  function take() {
    const canvas = element("canvas", "", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0); // as others see you: only the preview is a mirror
    close();
    canvas.toBlob((blob) => onFile(new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.95);
  }

  button.addEventListener("click", open);
  shoot.addEventListener("click", take);
  cancel.addEventListener("click", () => { close(); button.focus(); });
  node.addEventListener("keydown", (event) => { if (event.key === "Escape") cancel.click(); });
  return { node, close };
}
