// A page of pictures below a notebook's cell, in a frame that is as high as the page.

import { connect, element } from "./widgets.js";

function render({ model, el }) {
  const notebook = connect(model);
  const frame = element("iframe", "df-page", { title: "Pictures", sandbox: "allow-scripts" });
  frame.style.cssText = "width: 100%; height: 480px; border: 0; background: #fff";
  el.append(frame);
  const resize = ({ source, data }) => {
    if (source === frame.contentWindow && data.dragfaceHeight) frame.style.height = `${data.dragfaceHeight}px`;
  };
  window.addEventListener("message", resize);
  notebook.fetchFile("text/html").then((blob) => blob.text()).then((page) => { frame.srcdoc = page; });
  return () => {
    notebook.close();
    window.removeEventListener("message", resize);
  };
}

export default { render };
