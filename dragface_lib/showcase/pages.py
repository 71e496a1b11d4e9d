"""Pages that need only a browser: a face through the steps of a training, and a game of guessing who is who.

progression = face_progression("selfie.jpg", "runs/mine")
progression.save("progression.webp")                    or .gif, .jpg, .png (a strip), .html
write_atomically("guess_who.html", guess_who("photos", generator).encode())
PageView(progression.page())                            in a notebook, which keeps nothing of it
"""

from __future__ import annotations

import base64
import html
import io
import random
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ..crop.align import aligned_face
from ..errors import DragFaceError
from ..files import numbered, write_atomically
from ..images import contact_sheet, encode_photo, format_of
from ..model import Generator, load_look
from ..widgets import AnsweringWidget, script
from . import provenance
from .drag_photo import DragPhoto
from .folders import Photos, for_each_photo
from .transform import Photo, make_drag

FACE, CARD = 320, 256  # pixels of a face of a progression, and of a card to guess
MAX_CARDS = 200
MAX_GENERATORS = 12  # of a progression
STEP_MS, LAST_MS = 500, 2000  # time of each picture of an animation, and of its last
# The page loads nothing from the network, whatever a photo's name contains.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
body { font: 16px/1.4 system-ui, sans-serif; margin: 12px; color: #222; background: #fff; }
h1 { font-size: 1.2em; margin: 0 0 10px; } img { max-width: 100%; border-radius: 5px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(160px, 1fr)); gap: 8px; margin-bottom: 8px; }
figure { margin: 0; } figcaption, details { text-align: center; overflow-wrap: anywhere; }
summary { list-style: none; cursor: pointer; } summary:focus-visible { outline: 3px solid #c2185b; }
"""
# In a frame of its own, without permissions.
SHOW_PAGE = """
function render({ model, el }) {
  const notebook = connect(model), frame = element("iframe", "df-page", { title: "Pictures", sandbox: "" });
  frame.style.cssText = "width: 100%; height: 600px; border: 0; background: #fff";
  el.append(frame);
  notebook.fetchFile("page", "text/html").then((blob) => blob.text()).then((page) => { frame.srcdoc = page; });
  return notebook.close;
}
export default { render };
"""


@dataclass(frozen=True)
class Progression:
    """A face, and its drag versions after growing numbers of steps.

    faces: (FACE, FACE, 3) uint8 RGB, the first as it was; captions: of each, such as "step 1,000"; look: the run's.
    losses: the bytes of the run's losses.png, empty where there is none.
    """

    faces: tuple[np.ndarray, ...]
    captions: tuple[str, ...]
    look: str
    losses: bytes = b""

    def page(self) -> str:
        """The faces and the run's losses, as a self-contained HTML page."""
        figures = ""
        for face, caption in zip(self.faces, self.captions, strict=True):
            address = _data(provenance.encode(face, "JPEG", self.look, quality=88))
            figures += f'<figure><img src="{address}" alt="the face"><figcaption>{caption}</figcaption></figure>'
        losses = f'<img src="{_data(self.losses, "png")}" alt="losses of the run">' if self.losses else ""
        return _html_page("The same face, as training went on", f'<main class="grid">{figures}</main>{losses}')

    def save(self, path: str | Path) -> None:
        """Write a strip (.jpg, .png), an animation (.gif, .webp) or a page with the losses (.html).

        Raises DragFaceError for another suffix, or a folder that cannot be written.
        """
        suffix = Path(path).suffix.lower()
        if suffix in (".gif", ".webp"):
            format, buffer = suffix[1:].upper(), io.BytesIO()
            first, *others = (
                Image.fromarray(contact_sheet([face], columns=1, cell=FACE, captions=[caption]))
                for face, caption in zip(self.faces, self.captions, strict=True)
            )
            note = {"quality": provenance.QUALITY, **provenance.metadata(format, self.look)}
            times = [STEP_MS] * len(others) + [LAST_MS]
            first.save(buffer, format, save_all=True, append_images=others, duration=times, loop=0, **note)
            write_atomically(path, buffer.getvalue())
        elif suffix == ".html":
            write_atomically(path, self.page().encode())
        elif suffix in (".jpg", ".jpeg", ".png"):
            strip = contact_sheet(self.faces, len(self.faces), cell=200, captions=self.captions)
            write_atomically(path, provenance.encode(strip, format_of(path), self.look))
        else:
            raise DragFaceError(f"{path} cannot hold a progression: end its name in .jpg, .png, .gif, .webp or .html.")


def face_progression(photo: Photo, run: str | Path, strength: float = 1.0) -> Progression:
    """The largest face of a photo through at most 12 generators that a run has kept, the newest among them.

    photo and strength: as `transform` takes them. Raises DragFaceError when none of the run's generators can be read,
    and what `transform` raises; one that is damaged is left out.
    """
    paths = [*numbered(Path(run, "milestones"), ".safetensors").values(), *Path(run).glob("generator.safetensors")]
    fault = DragFaceError(f"{run} keeps no generators: name the folder of a run that has trained for a while.")
    drag: DragPhoto | None = None
    faces: dict[str, np.ndarray] = {}  # by caption
    for number in np.linspace(0, len(paths) - 1, min(MAX_GENERATORS, len(paths))).round().astype(int):
        try:
            generator = load_look(paths[number])
        except DragFaceError as error:
            fault = error
            continue
        drag = make_drag(photo if drag is None else drag, generator)
        points = drag.faces[0].face.points
        faces.setdefault("as you are", aligned_face(drag.photo, points, FACE))
        faces[f"step {int(generator.metadata['steps']):,}"] = aligned_face(drag.at(strength), points, FACE)
    if drag is None:
        raise fault
    losses = Path(run) / "losses.png"
    return Progression(tuple(faces.values()), tuple(faces), drag.look, losses.read_bytes() if losses.exists() else b"")


def guess_who(source: Photos, generator: Generator | None = None, strength: float = 1.0) -> str:
    """One HTML page, which needs nothing else: the largest face of each photo, shuffled; a click tells who it is.

    source: folders, zips or photos, whose names are their files'; the first 200 photos are taken, as a card has about
    60 kB. Raises what `for_each_photo` and `transform` raise.
    """
    cards: list[str] = []

    def work(name: str, photo: Photo) -> None:
        drag = make_drag(photo, generator)
        points = drag.faces[0].face.points
        bare, painted = (aligned_face(picture, points, CARD) for picture in (drag.photo, drag.at(strength)))
        before, after = encode_photo(bare, quality=88), provenance.encode(painted, "JPEG", drag.look, quality=88)
        cards.append(
            f'<details><summary><img src="{_data(after)}" alt="somebody in drag"><br>Who is it?</summary>'
            f'<img src="{_data(before)}" alt="the photo"><br>{html.escape(PurePosixPath(name).stem)}</details>'
        )

    for_each_photo(source, work, MAX_CARDS)
    random.Random(0).shuffle(cards)
    return _html_page("Guess who", f'<main class="grid">{"".join(cards)}</main>')


class PageView(AnsweringWidget):
    """Shows a page below a notebook's cell: it is fetched as the widget's file, so a notebook saves nothing of it."""

    _esm = script() + SHOW_PAGE

    def __init__(self, page: str):
        super().__init__()
        self.files["page"] = page.encode()


def _data(picture: bytes, kind: str = "jpeg") -> str:
    """A picture's file as a data URL."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def _html_page(title: str, body: str) -> str:
    """A whole page. body: HTML, its texts escaped."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" '
        f'content="{POLICY}"><style>{STYLE}</style><body><h1>{title}</h1>{body}</body>'
    )
