// Where a photo comes from: dropped, chosen, pasted or taken with the camera.

import { element } from "./widgets.js";

const CAMERA_SETTINGS = { audio: false, video: { facingMode: "user", width: { ideal: 1920 }, height: { ideal: 1080 } } };
const CAMERA_PROBLEMS = {
  NotAllowedError: "The camera was refused: allow it beside the page's address, or drop a photo instead.",
  NotFoundError: "No camera was found: connect one, or drop a photo instead.",
  NotReadableError: "The camera does not start: close the program that uses it, or drop a photo instead.",
  TypeError: "This page may not use a camera, as its address is not a safe one (https): drop a photo instead.",
};

// root: the widget, all of which takes drops and pastes. largest: bytes of a file. onFile: called with a file and how
// many there were; onProblem: with a sentence.
export function buildIntake(root, largest, onFile, onProblem) {
  const zone = element("button", "df-zone", { type: "button" },
    element("span", "df-title", { textContent: "Drop a photo here" }),
    element("span", "df-hint", { textContent: "or click to choose one, or paste it" }));
  const input = element("input", "df-file", { type: "file", accept: "image/*", tabIndex: -1, hidden: true, "aria-hidden": "true" });
  const snap = element("button", "df-button df-quiet df-snap", { type: "button", textContent: "Use the camera" });
  const camera = buildCamera(snap, (file) => take([file]), onProblem);
  const node = element("div", "df-intake", {}, element("div", "df-ways", {}, zone, snap), input, camera.node);

  function take(files) {
    if (!files?.length) return onProblem("That was not a file: save the picture first, then drop the file.");
    const [megabytes, most] = [files[0].size, largest].map((bytes) => (bytes / (1 << 20)).toFixed(0));
    if (files[0].size <= largest) onFile(files[0], files.length);
    else onProblem(`${files[0].name} has ${megabytes} MB, and up to ${most} MB are taken: make it smaller first.`);
  }
  zone.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files.length) take([...input.files]);
    input.value = ""; // so that the same file can be chosen again
  });
  // A paste belongs to the widget when the focus is in it, or nowhere while the mouse is over it.
  const onPaste = (event) => {
    const lost = document.activeElement === document.body && root.matches(":hover");
    if (!root.contains(event.target) && !lost) return;
    event.stopPropagation();
    take(event.clipboardData?.files);
  };
  document.addEventListener("paste", onPaste, true);
  const stopDrops = followDrops(root, take);

  return {
    node,
    focus: () => zone.focus(),
    close: () => {
      document.removeEventListener("paste", onPaste, true);
      stopDrops();
      camera.close();
    },
  };
}

function followDrops(root, take) {
  let depth = 0; // dragenter and dragleave also come from every child
  const enter = (change) => {
    depth = Math.max(0, depth + change);
    root.classList.toggle("df-over", depth > 0);
  };
  root.addEventListener("dragenter", (event) => { event.preventDefault(); enter(1); });
  root.addEventListener("dragleave", () => enter(-1));
  root.addEventListener("dragover", (event) => { event.preventDefault(); event.dataTransfer.dropEffect = "copy"; });
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    enter(-depth);
    take(event.dataTransfer.files);
  });
  // A file dropped beside the widget would make the browser leave the notebook.
  const keepPage = (event) => {
    const holdsFiles = [...(event.dataTransfer?.types ?? [])].includes("Files");
    if (holdsFiles && !event.target.closest?.("input, textarea")) event.preventDefault();
  };
  const kinds = ["dragover", "drop"];
  kinds.forEach((kind) => window.addEventListener(kind, keepPage));
  return () => kinds.forEach((kind) => window.removeEventListener(kind, keepPage));
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
      onProblem(CAMERA_PROBLEMS[error.name] ?? `The camera does not work here (${error.message || error.name}): drop a photo instead.`);
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
  node.addEventListener("keydown", (event) => { if (event.key === "Escape") { close(); button.focus(); } });
  return { node, close };
}
