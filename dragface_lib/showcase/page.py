"""Pages of pictures that need nothing but a browser, and a widget that shows one without leaving it in the notebook."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import Any

import anywidget

PART = 512 << 10  # bytes of a page that are sent at once; a server may refuse messages above 1 MB a second
# Nothing is loaded from anywhere, whatever a photo's name says.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
STYLE = """
body { font: 16px/1.4 system-ui, sans-serif; margin: 12px; color: #222; background: #fff; }
h1 { font-size: 1.2em; margin: 0 0 10px; } img { max-width: 100%; } [hidden] { display: none !important; }
.row { display: flex; flex-wrap: wrap; gap: 16px; align-items: flex-start; }
.row > img { flex: 1 1 380px; min-width: 0; max-width: 720px; }
figure { margin: 0; width: 320px; text-align: center; } figure input { width: 100%; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 8px; }
.grid button { padding: 0; border: 3px solid transparent; border-radius: 8px; background: none; font: inherit;
 color: inherit; cursor: pointer; overflow-wrap: anywhere; }
.grid button:focus-visible, .grid button:hover { border-color: #c2185b; } .grid img { width: 100%; border-radius: 5px; }
"""
# In the widget's frame: says how high the page is, so that the frame does not scroll.
HEIGHT = """
const tell = () => parent.postMessage({ dragfaceHeight: document.body.offsetHeight + 24 }, "*");
new ResizeObserver(tell).observe(document.body);
"""


def data_address(picture: bytes, kind: str = "jpeg") -> str:
    """The bytes of a picture's file as an address that holds them."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def html_page(title: str, body: str, script: str) -> str:
    """A whole page. body: HTML, its texts escaped; script: what runs once it is there."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" '
        f'content="{POLICY}"><style>{STYLE}</style><body><h1>{html.escape(title)}</h1>{body}'
        f"<script>{script}{HEIGHT}</script></body></html>"
    )


class PageView(anywidget.AnyWidget):
    """Shows a page of `html_page` below a notebook's cell.

    The page comes as messages, never as a trait: nothing of its photos is in the state that a notebook saves.
    """

    _esm = """
export default { render({ model, el }) {
  const frame = document.createElement("iframe");
  frame.title = "Pictures"; frame.className = "df-page"; frame.setAttribute("sandbox", "allow-scripts");
  frame.style.cssText = "width: 100%; height: 480px; border: 0; background: #fff";
  el.append(frame);
  const parts = [];
  let waiting;
  const ask = () => { model.send({ part: parts.length }); clearTimeout(waiting); waiting = setTimeout(ask, 5000); };
  const take = ({ part, of }, [buffer]) => {
    if (part !== parts.length) return;  // another view's, or one that came late
    parts.push(buffer);
    if (parts.length < of) return ask();
    clearTimeout(waiting);
    new Blob(parts).text().then((page) => (frame.srcdoc = page));
  };
  const resize = ({ source, data }) => {
    if (source === frame.contentWindow && data.dragfaceHeight) frame.style.height = `${data.dragfaceHeight}px`;
  };
  model.on("msg:custom", take);
  window.addEventListener("message", resize);
  ask();
  return () => { clearTimeout(waiting); model.off("msg:custom", take); window.removeEventListener("message", resize); };
} };
"""

    def __init__(self, page: str):
        super().__init__()
        self._page = page.encode()
        self.on_msg(self._send_part)

    def close(self) -> None:
        """Take the page away and free its memory."""
        self._page = b""
        super().close()

    def _send_part(self, _: Any, content: Any, __: Sequence[Any]) -> None:
        part = content.get("part") if isinstance(content, dict) else None
        parts = -(-len(self._page) // PART)
        if isinstance(part, int) and 0 <= part < parts:
            self.send({"part": part, "of": parts}, [self._page[part * PART : (part + 1) * PART]])
