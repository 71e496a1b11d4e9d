// Questions to the notebook and its answers. Everything of a photo travels here (widget.py lists the messages); the
// model's state never holds any of it.

const PART = 1 << 20; // bytes of a photo sent at once: servers refuse messages above 10 MB
const PATIENCE = 5000; // milliseconds after which a silent notebook is explained
const WAIT = 8000; // milliseconds after which it is asked again, then after twice as long, and so on
const TRIES = 8; // a server that limits its rate drops messages

// view: its name.
export function connect(model, view) {
  const waiting = new Map(); // what hears the answers, by request
  let requests = 0;

  const newRequest = () => `${view}-${++requests}`;
  const tell = (content, buffers = []) => model.send(content, undefined, buffers);
  const hear = (content, buffers) => waiting.get(content?.request)?.(content, buffers);
  model.on("msg:custom", hear);

  // Send a message and wait for its answer of one kind: { content, buffers }. Raises the error that is answered.
  // again: what to send when nothing comes, the message itself unless told. onProgress: called with each sentence on
  // the way, and with none when nothing has been heard for a while.
  async function ask(message, kind, { buffers = [], wait = WAIT, again = message, onProgress = () => {} } = {}) {
    const { request } = message;
    tell(message, buffers);
    for (let tries = 0; tries < TRIES; tries++) {
      const answer = await nextAnswer(request, kind, wait * 2 ** tries, onProgress);
      if (answer) return answer;
      tell({ ...again, request });
    }
    throw new Error("The notebook does not answer: run this cell again.");
  }

  // The answer, or null after a time in which nothing at all was heard.
  function nextAnswer(request, kind, wait, onProgress) {
    return new Promise((resolve, reject) => {
      let timer = null, silence = null;
      const listen = () => {
        clearTimeout(timer);
        clearTimeout(silence);
        timer = setTimeout(() => end(resolve, null), wait);
        silence = setTimeout(() => waiting.has(request) && onProgress(""), PATIENCE);
      };
      const end = (settle, value) => {
        clearTimeout(timer);
        clearTimeout(silence);
        waiting.delete(request);
        settle(value);
      };
      waiting.set(request, (content, buffers) => {
        if (content.kind === kind) end(resolve, { content, buffers });
        else if (content.kind === "error") end(reject, new Error(content.text));
        else if (content.kind === "progress") { listen(); onProgress(content.text); }
      });
      listen();
    });
  }

  // Send a photo's file in parts; resolves with the notebook's answer, or with null when `isWanted` no longer holds.
  async function sendPhoto(file, request, more, isWanted, onProgress) {
    const parts = Math.max(1, Math.ceil(file.size / PART));
    for (let part = 0; part < parts; part++) {
      let bytes;
      try {
        bytes = await file.slice(part * PART, (part + 1) * PART).arrayBuffer();
      } catch {
        throw new Error(`${file.name} could not be read: choose the file once more.`);
      }
      if (!isWanted()) return null;
      const message = { kind: "photo", request, name: file.name, size: file.size, part, parts, ...more };
      if (part + 1 < parts) tell(message, [bytes]);
      else {
        const answer = await ask(message, "shown", { buffers: [bytes], again: { kind: "open", ...more }, onProgress });
        if (answer && answer.content.photo !== request) throw new Error("The photo did not arrive whole: drop it once more.");
        return answer;
      }
    }
  }

  // The finished picture: { name, blob }.
  async function fetchPicture(message, isWanted, onProgress) {
    const { content } = await ask(message, "file", { onProgress });
    const pieces = [];
    for (let part = 0; part < content.parts && isWanted(); part++) {
      const answer = await ask({ kind: "part", request: newRequest(), part }, "part", { wait: 4000 });
      pieces.push(answer.buffers[0]);
    }
    return { name: content.name, blob: new Blob(pieces, { type: content.type }) };
  }

  function close() {
    waiting.clear();
    model.off("msg:custom", hear);
  }

  return { newRequest, tell, ask, sendPhoto, fetchPicture, close };
}
