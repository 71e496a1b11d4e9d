"""Pages of pictures that need nothing but a browser: a face as training went on, and everybody to guess.

progression = face_progression("selfie.jpg", "runs/mine")
save_progression(progression, "progression.webp")       or .gif, .jpg, .png (a strip), .html (a slider)
write_atomically("guess_who.html", guess_who("photos", generator).encode())
PageView(progression.page())                            in a notebook, which keeps nothing of it
"""

from __future__ import annotations

import base64
import html
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from ..crop.align import aligned_face
from ..errors import DragFaceError
from ..files import write_atomically
from ..images import contact_sheet, encode_photo
from ..model import Generator
from ..widgets import Answer, AnsweringWidget, script
from . import provenance
from .folders import Source, for_each_photo
from .looks import load_look, milestones
from .transform import DragPhoto, Photo, make_drag, repaint

FACE, CARD = 320, 256  # pixels of a face of a progression, and of a card to guess
MAX_GENERATORS = 12  # of a progression; each is read and used in turn
MAX_CARDS = 200  # a card takes about 60 kB
STEP_MS, LAST_MS = 500, 2000  # how long each picture of an animation stands
ANIMATIONS = {".gif": "GIF", ".webp": "WEBP"}
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
# In a notebook's frame: says how high the page is, so that the frame does not scroll.
HEIGHT = """
const tell = () => parent.postMessage({ dragfaceHeight: document.body.offsetHeight + 24 }, "*");
new ResizeObserver(tell).observe(document.body);"""
# The face that the slider points at; keys and touch are the slider's own.
SLIDER = """
const faces = document.querySelectorAll("figure img"), slider = document.querySelector("input");
slider.addEventListener("input", () => {
  faces.forEach((face, number) => (face.hidden = number !== slider.valueAsNumber));
  const { caption } = faces[slider.valueAsNumber].dataset;
  document.querySelector("output").textContent = caption;
  slider.setAttribute("aria-valuetext", caption);
});"""
# A click shows the photo and the name, a second click covers them again.
TURN = """
for (const card of document.querySelectorAll(".grid button")) card.addEventListener("click", () => {
  const shown = card.getAttribute("aria-pressed") !== "true", [drag, photo] = card.querySelectorAll("img");
  card.setAttribute("aria-pressed", shown);
  drag.hidden = shown;
  photo.hidden = !shown;
  card.querySelector("span").textContent = shown ? card.dataset.name : "Who is it?";
});"""


@dataclass(frozen=True)
class Progression:
    """A face, and what generators after growing numbers of steps made of it.

    faces: (FACE, FACE, 3) uint8 RGB, the first as it was; captions: of each, such as "step 1,000"; look: the run's.
    losses: the bytes of the run's losses.png, empty where there is none.
    """

    faces: tuple[np.ndarray, ...]
    captions: tuple[str, ...]
    look: str
    losses: bytes = b""

    def strip(self, cell: int = 200) -> np.ndarray:
        """All faces beside each other, (height, width, 3) uint8 RGB."""
        return contact_sheet(self.faces, columns=len(self.faces), cell=cell, captions=self.captions)

    def animation(self, format: str) -> bytes:
        """The faces one after the other, for ever, as "GIF" or "WEBP"."""
        pages = [
            Image.fromarray(contact_sheet([face], columns=1, cell=FACE, captions=[caption]))
            for face, caption in zip(self.faces, self.captions, strict=True)
        ]
        times = [STEP_MS] * (len(pages) - 1) + [LAST_MS]
        note: dict[str, Any] = {"comment": provenance.sentence(self.look)}
        if format == "WEBP":
            note = {"quality": provenance.QUALITY, **provenance.metadata(format, self.look)}
        buffer = io.BytesIO()
        pages[0].save(buffer, format, save_all=True, append_images=pages[1:], duration=times, loop=0, **note)
        return buffer.getvalue()

    def page(self) -> str:
        """A slider over the faces and the run's losses beside it, as one HTML page that needs nothing else."""
        images = "".join(
            f'<img src="{_data(provenance.encode(face, "JPEG", self.look, quality=88))}" alt="the face, {caption}" '
            f'data-caption="{caption}"{" hidden" if number else ""}>'
            for number, (face, caption) in enumerate(zip(self.faces, self.captions, strict=True))
        )
        losses = f'<img src="{_data(self.losses, "png")}" alt="losses of the run">' if self.losses else ""
        body = (
            f'<main class="row"><figure>{images}<figcaption><output>{self.captions[0]}</output></figcaption>'
            f'<input type="range" min="0" max="{len(self.faces) - 1}" value="0" aria-label="training step">'
            f"</figure>{losses}</main>"
        )
        return _html_page("The same face, as training went on", body, SLIDER)


def face_progression(photo: Photo, run: str | Path, strength: float = 1.0) -> Progression:
    """The largest face of a photo through at most 12 generators that a run has kept, the newest among them.

    photo and strength: as `transform` takes them. Raises DragFaceError when none of the run's generators can be read,
    and what `transform` raises; one that is damaged is left out.
    """
    paths = [*milestones(run), *Path(run).glob("generator.safetensors")]
    fault = DragFaceError(f"{run} keeps no generators: name the folder of a run that has trained for a while.")
    drag: DragPhoto | None = None
    faces: dict[int, np.ndarray] = {}
    for number in np.linspace(0, len(paths) - 1, min(MAX_GENERATORS, len(paths))).round().astype(int):
        try:
            generator = load_look(paths[number])
        except DragFaceError as error:
            fault = error
            continue
        drag = make_drag(photo, generator) if drag is None else repaint(drag, generator)
        points = drag.faces[0].face.points
        faces.setdefault(0, aligned_face(drag.photo, points, FACE))
        steps = generator.metadata.get("steps", "")
        faces[int(steps) if steps.isdecimal() else len(faces)] = aligned_face(drag.at(strength), points, FACE)
    if drag is None:
        raise fault
    losses = Path(run) / "losses.png"
    steps, pictures = zip(*sorted(faces.items()), strict=True)
    captions = ("as you are", *(f"step {step:,}" for step in steps[1:]))
    return Progression(pictures, captions, drag.look, losses.read_bytes() if losses.is_file() else b"")


def save_progression(progression: Progression, path: str | Path) -> None:
    """Write a strip (.jpg, .png), an animation (.gif, .webp) or a page with a slider and the losses (.html).

    Raises DragFaceError for another suffix, or a folder that cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix in ANIMATIONS:
        write_atomically(path, progression.animation(ANIMATIONS[suffix]))
    elif suffix == ".html":
        write_atomically(path, progression.page().encode())
    elif suffix in (".jpg", ".jpeg", ".png"):
        provenance.save(path, progression.strip(), progression.look)
    else:
        raise DragFaceError(f"{path} cannot hold a progression: end its name in .jpg, .png, .gif, .webp or .html.")


def guess_who(
    source: Source,
    generator: Generator | None = None,
    strength: float = 1.0,
    limit: int = MAX_CARDS,
    progress: bool = True,
) -> str:
    """One HTML page, which needs nothing else: the largest face of each photo, shuffled, to guess who it is.

    source: a folder, zip or list of photos, whose names are their files'; limit: only so many of them. Raises what
    `for_each_photo` and `transform` raise.
    """
    cards: list[str] = []

    def work(name: str, photo: Photo) -> None:
        drag = make_drag(photo, generator)
        points = drag.faces[0].face.points
        bare, painted = (aligned_face(picture, points, CARD) for picture in (drag.photo, drag.at(strength)))
        before, after = encode_photo(bare, quality=88), provenance.encode(painted, "JPEG", drag.look, quality=88)
        cards.append(
            f'<button type="button" aria-pressed="false" data-name="{html.escape(PurePosixPath(name).stem)}">'
            f'<img src="{_data(after)}" alt="somebody in drag"><img src="{_data(before)}" alt="the photo" hidden>'
            f'<span aria-live="polite">Who is it?</span></button>'
        )

    if limit < 1:
        raise DragFaceError(f"The limit of {limit} photos leaves none: use 1 or more.")
    for_each_photo(source, work, progress, limit)
    random.Random(0).shuffle(cards)
    return _html_page("Guess who", f'<main class="grid">{"".join(cards)}</main>', TURN)


class PageView(AnsweringWidget):
    """Shows a page below a notebook's cell: it is fetched as the widget's file, so a notebook saves nothing of it."""

    _esm = script(Path(__file__).with_name("pages.js"))

    def __init__(self, page: str):
        super().__init__()
        self.file = page.encode()

    def answer(self, question: dict[str, Any], buffers: Sequence[bytes]) -> Answer:
        """Nothing but the file is ever asked for."""
        raise DragFaceError(f"A page has no answer to {question.get('kind')}.")


def _data(picture: bytes, kind: str = "jpeg") -> str:
    """The bytes of a picture's file as an address that holds them."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def _html_page(title: str, body: str, code: str) -> str:
    """A whole page. body: HTML, its texts escaped; code: what runs once it is there."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" '
        f'content="{POLICY}"><style>{STYLE}</style><body><h1>{title}</h1>{body}<script>{code}{HEIGHT}</script></body>'
    )
