// A page of pictures below a notebook's cell, in a frame of its own.

import { connect, element } from "./widgets.js";

function render({ model, el }) {
  const notebook = connect(model);
  const frame = element("iframe", "df-page", { title: "Pictures", sandbox: "" });
  frame.style.cssText = "width: 100%; height: 600px; border: 0; background: #fff";
  el.append(frame);
  notebook.fetchFile("text/html").then((blob) => blob.text()).then((page) => { frame.srcdoc = page; });
  return notebook.close;
}

export default { render };
