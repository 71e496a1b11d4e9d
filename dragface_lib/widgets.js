// What the pages of all widgets are built from.

// Milliseconds of silence after which a question is asked again, then twice as long, and so on: a server that limits its
// rate drops messages.
const WAIT = 6000;
const PART = 900 << 10; // bytes of a file that are sent at once: servers refuse messages above 1 MB
const newName = () => Math.random().toString(36).slice(2); // other views and windows ask, too

// The page's end of an `AnsweringWidget` (see widgets.py).
export function connect(model) {
  const listeners = new Map(); // by request
  const hear = (content, buffers) => listeners.get(content?.request)?.(content, buffers);
  model.on("msg:custom", hear);

  // The answer to a question: { content, buffers }. Raises the error that is answered. onProgress: called with each
  // sentence on the way, and with none when nothing was heard for a while.
  function ask(question, { buffers = [], onProgress = () => {} } = {}) {
    const request = newName();
    return new Promise((resolve, reject) => {
      let timer, tries = 0;
      const listen = () => {
        clearTimeout(timer);
        timer = setTimeout(askAgain, WAIT * 2 ** tries);
      };
      const send = () => {
        model.send({ ...question, request }, undefined, buffers);
        listen();
      };
      const askAgain = () => {
        if (!listeners.has(request)) return; // the page was closed
        tries++;
        onProgress("");
        send();
      };
      const finish = (settle, value) => {
        clearTimeout(timer);
        listeners.delete(request);
        settle(value);
      };
      listeners.set(request, (content, answered) => {
        if (content.state === "done") finish(resolve, { content, buffers: answered });
        else if (content.state === "error") finish(reject, new Error(content.text));
        else { listen(); onProgress(content.text); }
      });
      send();
    });
  }

  // Send a file part by part; the answer to the last part, or null where `isWanted` no longer holds.
  async function sendFile(question, file, isWanted, onProgress) {
    const parts = Math.max(1, Math.ceil(file.size / PART)), upload = newName();
    let answer = null;
    for (let part = 0; part < parts && isWanted(); part++) {
      const bytes = await file.slice(part * PART, (part + 1) * PART).arrayBuffer();
      answer = await ask({ ...question, upload, part, parts }, { buffers: [bytes], onProgress });
    }
    return isWanted() ? answer : null;
  }

  // A file that the widget holds ready, as a Blob.
  async function fetchFile(file, type, isWanted = () => true) {
    const pieces = [];
    for (let parts = 1; pieces.length < parts && isWanted();) {
      const { content, buffers } = await ask({ kind: "part", file, part: pieces.length });
      parts = content.parts;
      pieces.push(buffers[0]);
    }
    return new Blob(pieces, { type });
  }

  function close() {
    listeners.clear();
    model.off("msg:custom", hear);
  }

  return { ask, sendFile, fetchFile, close };
}

// An element of the page: element("button", "df-quiet", { type: "button", "aria-label": "Close" }, "x").
export function element(tag, name, properties = {}, ...children) {
  const node = document.createElement(tag);
  node.className = name;
  for (const [key, value] of Object.entries(properties)) {
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

// A list to choose from.
export const select = (name, label, texts) => element("select", name, { "aria-label": label },
  ...texts.map((text) => element("option", "", { value: text, textContent: text })));

// An address for a picture's bytes; to be revoked.
export const address = (bytes, type = "image/jpeg") => URL.createObjectURL(new Blob([bytes], { type }));
