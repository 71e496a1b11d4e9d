// Where a photo comes from: dropped, chosen, pasted or taken with the camera.

import { element, icon } from "./widgets.js";
import { openCamera } from "./camera.js";

const PICTURE_NAME = /\.(jpe?g|jfif|png|webp|gif|bmp|tiff?|avif|hei[cf])$/i;
const UP = "M12 15V4m0 0L7.5 8.5M12 4l4.5 4.5M4 15v3.5A1.5 1.5 0 0 0 5.5 20h13a1.5 1.5 0 0 0 1.5-1.5V15";
const CAMERA = "M4 8.5A1.5 1.5 0 0 1 5.5 7H8l1.5-2h5L16 7h2.5A1.5 1.5 0 0 1 20 8.5v9a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5zM12 16a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4z";

// Why a file is not taken, or an empty text.
export function refusal(file, largest) {
  const megabytes = (bytes) => (bytes / (1 << 20)).toFixed(0);
  if (file.type ? !file.type.startsWith("image/") : !PICTURE_NAME.test(file.name)) {
    return `${file.name} is not a picture: choose a JPEG, PNG or WebP file.`;
  }
  if (file.size > largest) {
    return `${file.name} has ${megabytes(file.size)} MB, and up to ${megabytes(largest)} MB are taken: make it smaller first.`;
  }
  return "";
}

// root: the widget, all of which takes drops and pastes. onFile: called with each photo; onProblem: with a sentence.
export function buildIntake(root, onFile, onProblem) {
  const title = element("span", "df-title");
  const zone = element("button", "df-zone", { type: "button" },
    icon(UP), title, element("span", "df-hint", { textContent: "or click to choose one, or paste it" }));
  const file = element("input", "df-file", { type: "file", accept: "image/*", tabIndex: -1, hidden: true, "aria-hidden": "true" });
  const snap = element("button", "df-button df-quiet df-snap", { type: "button" }, icon(CAMERA), "Use the camera");
  const panel = element("div", "df-camera", { hidden: true });
  const node = element("div", "df-intake", {}, element("div", "df-ways", {}, zone, snap), file, panel);
  let closeCamera = () => {};

  const take = (transfer) => {
    if (transfer?.files?.length) onFile(transfer.files[0], transfer.files.length);
    else onProblem("That was not a file: save the picture first, then drop the file.");
  };
  zone.addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    if (file.files[0]) onFile(file.files[0], 1);
    file.value = ""; // so that the same file can be chosen again
  });
  snap.addEventListener("click", () => {
    snap.disabled = true;
    closeCamera = openCamera(panel, {
      onPhoto: (photo) => onFile(photo, 1),
      onProblem,
      onClosed: () => { snap.disabled = false; snap.focus(); },
    });
  });
  const stopPaste = followPastes(root, take);
  const stopDrops = followDrops(root, take);

  return {
    node,
    // compact: beside a photo that is shown.
    say: (text, compact) => { title.textContent = text; node.classList.toggle("df-compact", compact); },
    focus: () => zone.focus(),
    close: () => { stopPaste(); stopDrops(); closeCamera(); },
  };
}

// A paste belongs to the widget when the focus is in it, or nowhere while the mouse is over it.
function followPastes(root, take) {
  const onPaste = (event) => {
    const lost = document.activeElement === document.body && root.matches(":hover");
    if (!root.contains(event.target) && !lost) return;
    event.stopPropagation();
    take(event.clipboardData);
  };
  document.addEventListener("paste", onPaste, true);
  return () => document.removeEventListener("paste", onPaste, true);
}

function followDrops(root, take) {
  let depth = 0; // dragenter and dragleave also come from every child
  const over = (change) => {
    depth = change ? Math.max(0, depth + change) : 0;
    root.classList.toggle("df-over", depth > 0);
  };
  root.addEventListener("dragenter", (event) => { event.preventDefault(); over(1); });
  root.addEventListener("dragleave", () => over(-1));
  root.addEventListener("dragover", (event) => { event.preventDefault(); event.dataTransfer.dropEffect = "copy"; });
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    over(0);
    take(event.dataTransfer);
  });
  // A file dropped beside the widget would make the browser leave the notebook.
  const keepPage = (event) => {
    const holdsFiles = [...(event.dataTransfer?.types ?? [])].includes("Files");
    if (holdsFiles && !event.target.closest?.("input, textarea")) event.preventDefault();
  };
  window.addEventListener("dragover", keepPage);
  window.addEventListener("drop", keepPage);
  return () => {
    window.removeEventListener("dragover", keepPage);
    window.removeEventListener("drop", keepPage);
  };
}
