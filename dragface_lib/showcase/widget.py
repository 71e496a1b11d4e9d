"""The widget of notebook 04: give it a photo, compare before and after, choose look, strength and faces, download it.

    from dragface_lib import Showcase
    Showcase()                                                          # the looks that come along
    Showcase("runs/mine/best.safetensors", looks=find_looks("runs"))    # and those of your own runs

One translation is kept: every view is worked out from it, and the page mixes the strengths by itself.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

import traitlets

from ..crop.align import aligned_face
from ..errors import DragFaceError
from ..images import encode_photo
from ..model import Generator, find_looks, load_look
from ..widgets import Answer, AnsweringWidget, script, style
from .drag_photo import STRONGEST, DragPhoto
from .provenance import encode
from .transform import Photo, example_photo, make_drag

HERE = Path(__file__).parent
THUMBNAIL = 88  # pixels
PREVIEW_SIDE = 1000  # pixels; the JPEGs of a view stay below what Jupyter lets a kernel send at once (3 MB)
MAX_PHOTO_BYTES = 25 << 20  # bytes of a photo's file, as in intake.js
GIVEN = "your generator"  # name of a look that is not in the list
EXAMPLE = "Eileen Collins (NASA, public domain)"


class Showcase(AnsweringWidget):
    """A drop zone that answers a photo with its drag version.

    generator: a generator, its file, or the name of a look.
    looks: names and files of others to choose from (default: `find_looks()`), read when they are chosen.
    Errors appear in the widget itself.

    The kinds of questions (see `AnsweringWidget`); a `view` is look, faces (numbers; null for all), alone and heat:
        open      view                      what is held, or the portrait to begin with
        photo     view, name, upload, part, parts: a part of a file, in the buffer; the last is answered as `open` is
        view      view                      the photo held, shown otherwise
        download  view, strength, format (JPEG or PNG): makes a file; what it is called here (file), and its name
        forget                              drops the photo and all that was made of it
    """

    _esm = script(*(HERE / f"{name}.js" for name in ("intake", "result", "widget")))
    _css = style(HERE / "widget.css")
    looks = traitlets.List(traitlets.Unicode(), help="names of the looks to choose from").tag(sync=True)
    look = traitlets.Unicode(help="the look that is shown").tag(sync=True)

    def __init__(self, generator: Generator | str | Path = "classic", looks: Mapping[str, Path] | None = None):
        looks = find_looks() if looks is None else looks
        first = next((name for name, path in looks.items() if str(generator) in (name, str(path))), GIVEN)
        self._sources: dict[str, Generator | str | Path] = {first: generator, **looks}
        self._load = lru_cache(1)(load_look)  # keeps the look on show
        super().__init__(looks=list(self._sources), look=first)
        self.forget()

    def forget(self) -> None:
        """Drop the photo and all its pictures."""
        super().forget()
        self._arriving = bytearray()  # the parts of the photo so far
        self._expected = "", 0  # upload and number of the next part
        self._drag: DragPhoto | None = None
        self._name = ""  # of the photo's file; empty for the portrait to begin with

    def answer(self, question: dict[str, Any], buffers: Sequence[bytes]) -> Answer:
        """See `AnsweringWidget` and the kinds above."""
        kind = question["kind"]
        if kind == "open" and self._drag is None:
            self._paint(example_photo(), question)
        elif kind == "photo":
            self._take_part(question, buffers[0])
            if question["part"] + 1 < question["parts"]:
                return {}, []
            file = io.BytesIO(self._arriving)
            file.name = str(question["name"])  # for error messages
            self._arriving = bytearray()
            self._paint(file, question)
            self._name = file.name
        elif kind == "view" and question["look"] != self.look:
            self._paint(self._held(), question)
        elif kind == "download":
            return self._download(question)
        elif kind == "forget":
            self.forget()
            return {}, []
        return self._view(question)

    def _take_part(self, question: dict[str, Any], data: bytes) -> None:
        upload, part = question["upload"], question["part"]
        if part == 0:  # a newer photo replaces a photo that is still arriving
            self._arriving, self._expected = bytearray(), (upload, 0)
        if (upload, part) != self._expected or len(self._arriving) + len(data) > MAX_PHOTO_BYTES:
            raise DragFaceError("The photo did not arrive whole: drop it once more.")
        self._arriving += data
        self._expected = upload, part + 1

    def _paint(self, photo: Photo | DragPhoto, question: dict[str, Any]) -> None:
        """Paint in the look of the question; if that fails, photo and look stay as they are."""
        source = self._sources[question["look"]]
        if not isinstance(source, Generator):
            self.tell(question, "Opening the look")
            source = self._load(source)
        self._drag = make_drag(photo, source, lambda text: self.tell(question, text))
        self.look = question["look"]

    def _held(self) -> DragPhoto:
        if self._drag is None:
            raise DragFaceError("The photo is no longer here: drop it once more.")
        return self._drag

    def _view(self, question: dict[str, Any]) -> Answer:
        """Each face as it was, then before, after at strength 1 and at 1.5, and the heat map where it is wanted."""
        photo, alone = self._held(), question["alone"]
        drag = photo.only(question["faces"])
        pictures = [drag.view(strength, alone, PREVIEW_SIDE) for strength in (0.0, 1.0, STRONGEST)]
        if question["heat"]:
            pictures.append(drag.view(0, alone, PREVIEW_SIDE, heat=True))
        content = {"example": "" if self._name else EXAMPLE, "faces": len(photo.faces), "remarks": photo.remarks}
        faces = [aligned_face(photo.photo, face.face.points, THUMBNAIL) for face in photo.faces]
        return content, [encode_photo(picture, quality=88) for picture in faces + pictures]

    def _download(self, question: dict[str, Any]) -> Answer:
        drag, format, file = self._held().only(question["faces"]), question["format"], question["request"]
        self.files[file] = encode(drag.view(question["strength"], question["alone"]), format, drag.look)
        name = f"{PurePath(self._name).stem or 'portrait'}_drag.{'jpg' if format == 'JPEG' else 'png'}"
        return {"file": file, "name": name, "type": f"image/{format.lower()}"}, []
