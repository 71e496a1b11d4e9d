// One picture from the camera, which is off again as soon as the picture is taken.

import { element } from "./widgets.js";

const WANTED = { audio: false, video: { facingMode: "user", width: { ideal: 1920 }, height: { ideal: 1080 } } };

export function cameraProblem(error) {
  const otherwise = "or drop a photo instead.";
  if (!navigator.mediaDevices?.getUserMedia) return `This page may not use a camera, as its address is not a safe one (https): drop a photo instead.`;
  if (error.name === "NotAllowedError") return `The camera was refused: allow it beside the page's address, ${otherwise}`;
  if (error.name === "NotFoundError" || error.name === "OverconstrainedError") return `No camera was found: connect one, ${otherwise}`;
  if (error.name === "NotReadableError") return `The camera does not start: close the program that uses it, ${otherwise}`;
  return `The camera does not work here (${error.message || error.name}): drop a photo instead.`;
}

// Show the camera's picture in `panel` until one is taken or it is closed; returns what closes it.
export function openCamera(panel, { onPhoto, onProblem, onClosed }) {
  let stream = null;
  let closed = false;
  const video = element("video", "df-video", { autoplay: true, muted: true, playsInline: true, "aria-label": "What the camera sees" });
  const shoot = element("button", "df-button df-primary df-shoot", { type: "button", disabled: true, textContent: "Take the picture" });
  const cancel = element("button", "df-button df-quiet df-cancel", { type: "button", textContent: "Cancel" });
  panel.replaceChildren(video, element("div", "df-buttons", {}, shoot, cancel));
  panel.hidden = false;

  function close() {
    if (closed) return;
    closed = true;
    stream?.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    panel.hidden = true;
    panel.replaceChildren();
    onClosed();
  }

  async function start() {
    try {
      stream = await navigator.mediaDevices.getUserMedia(WANTED);
      if (closed) return stream.getTracks().forEach((track) => track.stop());
      video.srcObject = stream;
      await video.play();
      shoot.disabled = false;
      shoot.focus();
    } catch (error) {
      if (closed) return;
      close();
      onProblem(cameraProblem(error));
    }
  }

  function take() {
    const canvas = element("canvas", "", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0); // as others see you: only the preview is a mirror
    close();
    canvas.toBlob((blob) => onPhoto(new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.95);
  }

  shoot.addEventListener("click", take);
  cancel.addEventListener("click", close);
  panel.onkeydown = (event) => { if (event.key === "Escape") close(); };
  start();
  return close;
}
