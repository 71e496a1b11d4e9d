"""The widget of notebook 04: give it a photo, compare before and after, choose look, strength and faces, download it.

    from dragface_lib import Showcase
    Showcase()                                                          # the looks that come along
    Showcase("runs/mine/best.safetensors", looks=find_looks("runs"))    # and those of your own runs

Photos come and go as messages with binary buffers, never as traits: nothing of them is in the state that a
notebook saves. What is shown is worked out from one cached translation, and the page mixes the strengths by itself.
The page and this class send each other (see messages.js), always with the `request` that a message belongs to:

    page    open      what there is is wanted: the photo that is held, or the portrait to begin with; alone
            photo     one part of a photo's file: name, size, part, parts, alone, buffer
            look      paint the photo in another look: look (its name), photo, faces, alone
            view      show it otherwise: photo (the request that brought it), faces (numbers; null for all), alone
            heat      where the generator looked, in that same view: photo, faces, alone
            download  the finished picture is wanted: photo, faces, alone, strength, format (JPEG or PNG)
            part      one part of the finished picture: part
            forget    drop the photo and everything made of it
    kernel  progress  text
            shown     photo, example, places, remarks; buffers: the three of `view`, then each face as it was
            view      buffers: before, after at strength 1, after at 1.5, as small JPEGs
            heat      buffer: a small JPEG
            look      like `view`, with remarks; without buffers where no photo is held
            file      name, type, parts; then part: part, buffer
            error     text
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import anywidget
import numpy as np
import traitlets

from ..errors import DragFaceError
from ..images import encode_photo
from ..model import Generator
from ..widgets import script, style
from . import views
from .looks import find_looks, load_look
from .provenance import encode
from .transforming import STRONGEST, DragPhoto, make_drag, repaint

HERE = Path(__file__).parent
LARGEST_FILE = 25 << 20  # bytes
PREVIEW_SIDE = 1000  # pixels; three such JPEGs stay below what Jupyter lets a kernel send at once (3 MB)
PART = 512 << 10  # bytes of a download that are sent at once; a server may refuse messages above 1 MB a second
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png"}
EXAMPLE = "Eileen Collins (NASA, public domain)"


def example_photo() -> np.ndarray:
    """(384, 384, 3) uint8 RGB: the portrait in the public domain that there is to play with, from scikit-image."""
    from skimage import data  # takes a second, and only a page that asks needs it

    return np.ascontiguousarray(data.astronaut()[:384, 40:424])


class Showcase(anywidget.AnyWidget):
    """A drop zone that answers a photo with its drag version.

    generator: a generator, its file, or the name of a look. strength: 0..1.5, where the slider stands at first.
    looks: names and files of others to choose from (default: `find_looks()`), read when they are chosen.
    Errors appear in the widget itself. Raises DragFaceError for a strength out of range.
    """

    _esm = script(HERE / "widget.js")
    _css = style(HERE / "widget.css")
    strength = traitlets.Float(1.0, min=0.0, max=STRONGEST, help="how much of the drag is applied").tag(sync=True)
    largest_file = traitlets.Int(LARGEST_FILE, help="bytes that a photo may have").tag(sync=True)
    looks = traitlets.List(traitlets.Unicode(), help="names of the looks to choose from").tag(sync=True)
    look = traitlets.Unicode(help="the one that is shown").tag(sync=True)

    def __init__(
        self,
        generator: Generator | str | Path = "classic",
        strength: float = 1.0,
        looks: Mapping[str, Path] | None = None,
    ):
        if not 0 <= strength <= STRONGEST:
            raise DragFaceError(f"The strength {strength} is out of range: choose 0 to {STRONGEST}, where 1 is normal.")
        self._sources: dict[str, Generator | str | Path] = dict(find_looks() if looks is None else looks)
        first = self._name_of(generator)
        self._sources = {first: generator} | self._sources
        self._generator: Generator | None = None  # of the look that is shown, once it is needed
        super().__init__(strength=float(strength), looks=list(self._sources), look=first)
        self.on_msg(self._on_message)
        self._forget()

    def close(self) -> None:
        """Take the widget away and free the memory of its photo and its generator."""
        self._forget()
        self._generator, self._sources = None, {}
        super().close()

    def _expect(self, request: Any = None) -> None:
        self._parts: list[bytes] = []  # of the photo that is arriving
        self._arriving = request  # its request

    def _forget(self) -> None:
        self._expect()
        self._drag: DragPhoto | None = None
        self._photo: Any = None  # the request that brought the photo of _drag
        self._name = ""  # its file's; empty for the example
        self._file = b""  # the finished picture while it is being fetched

    def _on_message(self, _: Any, content: Any, buffers: Sequence[Any]) -> None:
        answers: dict[Any, Callable[[dict, Sequence[Any]], None]] = {
            "open": self._open,
            "photo": self._take_part,
            "look": self._change_look,
            "view": self._show_view,
            "heat": self._show_heat,
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

    def _progress(self, content: dict) -> Callable[[str], None]:
        return lambda text: self._say("progress", content, text=text)

    def _open(self, content: dict, _: Sequence[Any]) -> None:
        if self._drag is None:
            self._transform(example_photo(), "", content)
        else:
            self._show(self._drag, content)

    def _take_part(self, content: dict, buffers: Sequence[Any]) -> None:
        """Collect a photo's parts; a newer photo takes the place of one that is still arriving."""
        if content["part"] == 0:
            self._expect(content["request"])
        if content["request"] != self._arriving:
            return
        self._parts.append(bytes(buffers[0]))
        arrived = sum(map(len, self._parts))
        if arrived > LARGEST_FILE:
            self._expect()
            raise DragFaceError(f"This photo has more than {LARGEST_FILE >> 20} MB: make it smaller first.")
        if content["part"] + 1 == content["parts"]:
            file = io.BytesIO(b"".join(self._parts))
            self._expect()
            if arrived != content["size"]:
                raise DragFaceError("The photo did not arrive whole: drop it once more.")
            if not arrived:
                raise DragFaceError(f"{content['name']} is empty (0 bytes): choose another photo.")
            file.name = str(content["name"])  # what an error calls it
            self._transform(file, file.name, content)

    def _transform(self, photo: Any, name: str, content: dict) -> None:
        if self._generator is None:
            self._generator = self._load(self.look)
        self._drag = make_drag(photo, self._generator, self._progress(content))
        self._photo, self._name = content["request"], name
        self._show(self._drag, content)

    def _load(self, look: str) -> Generator:
        if look not in self._sources:
            raise DragFaceError(f"There is no look {look!r} here: run this cell again.")
        source = self._sources[look]
        return source if isinstance(source, Generator) else load_look(source)

    def _change_look(self, content: dict, _: Sequence[Any]) -> None:
        """Paint in another look; where that fails, the one before stays."""
        self._progress(content)("Opening the look")
        generator = self._load(content["look"])
        if self._drag is None:
            self._generator, self.look = generator, content["look"]
            self._say("look", content, remarks="")
            return
        self._drag = repaint(self._held(content), generator, self._progress(content))
        self._generator, self.look = generator, content["look"]
        self._say("look", content, self._pictures(self._drag, content), remarks=views.remarks(self._drag))

    def _held(self, content: dict) -> DragPhoto:
        if self._drag is None or content["photo"] != self._photo:  # two views of the widget share it
            raise DragFaceError("The photo is no longer here: drop it once more.")
        return self._drag

    def _show(self, drag: DragPhoto, content: dict) -> None:
        faces = [encode_photo(face, quality=80) for face in views.thumbnails(drag)]
        more = {"photo": self._photo, "example": "" if self._name else EXAMPLE}
        more |= {"places": views.places(drag), "remarks": views.remarks(drag)}
        self._say("shown", content, self._pictures(drag, content) + faces, **more)

    def _show_view(self, content: dict, _: Sequence[Any]) -> None:
        self._say("view", content, self._pictures(self._held(content), content))

    def _pictures(self, drag: DragPhoto, content: dict) -> list[bytes]:
        drag = views.only(drag, content.get("faces"))
        return [
            encode_photo(views.painted(drag, strength, bool(content.get("alone")), PREVIEW_SIDE), quality=88)
            for strength in (0.0, 1.0, STRONGEST)
        ]

    def _show_heat(self, content: dict, _: Sequence[Any]) -> None:
        drag = views.only(self._held(content), content["faces"])
        self._say("heat", content, [encode_photo(views.attention(drag, content["alone"], PREVIEW_SIDE), quality=85)])

    def _prepare_file(self, content: dict, _: Sequence[Any]) -> None:
        drag = views.only(self._held(content), content["faces"])
        form = content["format"]
        self._file = encode(views.painted(drag, content["strength"], content["alone"]), form, drag.look)
        name = f"{PurePath(self._name).stem or 'portrait'}_drag{SUFFIXES[form]}"
        self._say("file", content, name=name, type=f"image/{form.lower()}", parts=-(-len(self._file) // PART))

    def _send_part(self, content: dict, _: Sequence[Any]) -> None:
        start = int(content["part"]) * PART
        self._say("part", content, [self._file[start : start + PART]], part=content["part"])

    def _name_of(self, generator: Generator | str | Path) -> str:
        """What the list of looks calls this generator."""
        if isinstance(generator, Generator):
            return f"{generator.metadata.get('look', 'drag')}, as given"
        if str(generator) in self._sources:
            return str(generator)
        names = [name for name, path in self._sources.items() if Path(str(path)).resolve() == Path(generator).resolve()]
        return names[0] if names else f"{Path(generator).stem}, as given"
