"""The drop zone of notebook 04: drop a selfie, see it in drag beside it, download it.

    from dragface_lib import Showcase, load_generator
    Showcase()                                  # the starter generator
    Showcase(load_generator("runs/mine/generator.safetensors"))

Photos come and go as messages with binary buffers, never as traits: nothing of them is in the state that a
notebook saves. The page and this class send each other (see widget.js):

    page    photo     one part of a photo's file: request, name, size, part, parts, buffer
            download  the finished picture is wanted at `strength`: request, photo (the request that brought it)
            part      one part of the finished picture: request, part
            forget    drop the photo and everything made of it
    kernel  progress  request, text
            shown     request, faces, buffers: before, after at strength 1, after at 1.5, as small JPEGs
            file      request, name, parts; then part: request, part, buffer
            error     request, text
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import anywidget
import traitlets

from ..errors import DragFaceError
from ..images import encode_photo
from ..model import Generator
from .transforming import STRONGEST, DragPhoto, make_drag

HERE = Path(__file__).parent
LARGEST_FILE = 25 << 20  # bytes
PREVIEW_SIDE = 1000  # pixels; three such JPEGs stay below what Jupyter lets a kernel send at once (3 MB)
PART = 512 << 10  # bytes of a download that are sent at once; a server may refuse messages above 1 MB a second


class Showcase(anywidget.AnyWidget):
    """A drop zone that answers a photo with its drag version.

    generator: what translates, the starter when None. strength: 0..1.5, where the slider stands at first.
    Errors appear in the widget itself. Raises DragFaceError for a strength out of range.
    """

    _esm = HERE / "widget.js"
    _css = HERE / "widget.css"
    strength = traitlets.Float(1.0, min=0.0, max=STRONGEST, help="how much of the drag is applied").tag(sync=True)
    largest_file = traitlets.Int(LARGEST_FILE, help="bytes that a photo may have").tag(sync=True)

    def __init__(self, generator: Generator | None = None, strength: float = 1.0):
        if not 0 <= strength <= STRONGEST:
            raise DragFaceError(f"The strength {strength} is out of range: choose 0 to {STRONGEST}, where 1 is normal.")
        super().__init__(strength=float(strength))
        self._generator = generator
        self.on_msg(self._on_message)
        self._forget()

    def close(self) -> None:
        """Take the widget away and free the memory of its photo."""
        self._forget()
        super().close()

    def _forget(self) -> None:
        self._parts: list[bytes] = []  # of the photo that is arriving
        self._arriving: Any = None  # its request
        self._drag: DragPhoto | None = None
        self._photo: Any = None  # the request that brought the photo of _drag
        self._name = ""
        self._file = b""  # the finished picture while it is being fetched

    def _on_message(self, _: Any, content: Any, buffers: Sequence[Any]) -> None:
        answers = {
            "photo": self._take_part,
            "download": self._prepare_file,
            "part": self._send_part,
            "forget": lambda *_: self._forget(),
        }
        kind = content.get("kind") if isinstance(content, dict) else None
        if kind not in answers:
            return
        try:
            answers[kind](content, buffers)
        except DragFaceError as error:
            self._say("error", content, text=str(error))
        except Exception as error:  # an exception in a message handler would end in a log that nobody reads
            self._say("error", content, text=f"This did not work ({type(error).__name__}: {error}): try another photo.")

    def _say(self, kind: str, content: dict, buffers: list[bytes] | None = None, **more: Any) -> None:
        self.send({"kind": kind, "request": content.get("request"), **more}, buffers)

    def _take_part(self, content: dict, buffers: Sequence[Any]) -> None:
        """Collect a photo's parts; a newer photo takes the place of one that is still arriving."""
        if content["part"] == 0:
            self._forget()
            self._arriving = content["request"]
        if content["request"] != self._arriving:
            return
        self._parts.append(bytes(buffers[0]))
        arrived = sum(map(len, self._parts))
        if arrived > LARGEST_FILE:
            self._forget()
            raise DragFaceError(f"This photo has more than {LARGEST_FILE >> 20} MB: make it smaller first.")
        if content["part"] + 1 == content["parts"]:
            data = b"".join(self._parts)
            self._forget()
            if arrived != content["size"]:
                raise DragFaceError("The photo did not arrive whole: drop it once more.")
            self._transform(data, content)

    def _transform(self, data: bytes, content: dict) -> None:
        name = str(content["name"])
        if not data:
            raise DragFaceError(f"{name} is empty (0 bytes): choose another photo.")
        file = io.BytesIO(data)
        file.name = name  # what an error calls it
        drag = make_drag(file, self._generator, lambda text: self._say("progress", content, text=text))
        previews = [drag.at(strength, PREVIEW_SIDE) for strength in (0.0, 1.0, STRONGEST)]
        self._drag, self._photo, self._name = drag, content["request"], name
        self._say("shown", content, [encode_photo(p, quality=88) for p in previews], faces=len(drag.faces))

    def _prepare_file(self, content: dict, _: Sequence[Any]) -> None:
        if self._drag is None or content["photo"] != self._photo:  # two views of the widget share it
            raise DragFaceError("The photo is no longer here: drop it once more.")
        self._file = encode_photo(self._drag.at(content["strength"]), quality=95)
        parts = -(-len(self._file) // PART)
        self._say("file", content, name=f"{PurePath(self._name).stem or 'photo'}_drag.jpg", parts=parts)

    def _send_part(self, content: dict, _: Sequence[Any]) -> None:
        start = int(content["part"]) * PART
        self._say("part", content, [self._file[start : start + PART]], part=content["part"])
