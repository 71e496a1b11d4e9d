"""The same face through the generators of a run, from the first that was kept to the last.

    progress = face_progression("selfie.jpg", "runs/mine")
    save_progression(progress, "progress.webp")        or .gif, .jpg, .png (a strip), .html (a slider)

Training keeps a generator in RUN/milestones at growing steps; what it holds is what can be shown of any photo.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..crop.align import aligned_face
from ..errors import DragFaceError
from ..files import write_atomically
from ..images import contact_sheet
from . import provenance
from .looks import load_look
from .page import data_address, html_page
from .transforming import DragPhoto, Photo, make_drag, repaint

CELL = 320  # pixels of a face
MOST = 12  # generators; each is read and used in turn
STEP_MS, LAST_MS = 500, 2000  # how long each picture of an animation stands
ANIMATIONS = {".gif": "GIF", ".webp": "WEBP"}


@dataclass(frozen=True)
class Progression:
    """A face, and what generators after growing numbers of steps made of it.

    faces: (CELL, CELL, 3) uint8 RGB, the first as it was; steps: of each, 0 for the first; look: the run's.
    losses: the bytes of the run's losses.png, empty where there is none.
    """

    faces: tuple[np.ndarray, ...]
    steps: tuple[int, ...]
    look: str
    losses: bytes = b""

    @property
    def captions(self) -> list[str]:
        """What stands below each face."""
        return ["as you are", *(f"step {step:,}" for step in self.steps[1:])]

    def strip(self, cell: int = 200) -> np.ndarray:
        """All faces beside each other, (height, width, 3) uint8 RGB."""
        return contact_sheet(self.faces, columns=len(self.faces), cell=cell, captions=self.captions)

    def animation(self, format: str) -> bytes:
        """The faces one after the other, for ever, as "GIF" or "WEBP"."""
        pages = [
            Image.fromarray(contact_sheet([face], columns=1, cell=CELL, captions=[caption]))
            for face, caption in zip(self.faces, self.captions, strict=True)
        ]
        times = [STEP_MS] * (len(pages) - 1) + [LAST_MS]
        note = {"comment": provenance.sentence(self.look)} if format == "GIF" else {"quality": provenance.QUALITY}
        note |= provenance.metadata(format, self.look) if format == "WEBP" else {}
        buffer = io.BytesIO()
        pages[0].save(buffer, format, save_all=True, append_images=pages[1:], duration=times, loop=0, **note)
        return buffer.getvalue()

    def page(self) -> str:
        """A slider over the faces and the run's losses beside it, as one HTML page that needs nothing else."""
        pictures = [data_address(provenance.encode(face, "JPEG", self.look, quality=88)) for face in self.faces]
        images = "".join(
            f'<img src="{picture}" alt="the face, {caption}"{" hidden" if number else ""}>'
            for number, (picture, caption) in enumerate(zip(pictures, self.captions, strict=True))
        )
        losses = f'<img src="{data_address(self.losses, "png")}" alt="losses of the run">' if self.losses else ""
        last = len(self.faces) - 1
        body = (
            f'<main class="row"><figure>{images}<figcaption><output>{self.captions[0]}</output></figcaption>'
            f'<input type="range" min="0" max="{last}" value="0" aria-label="training step"></figure>{losses}</main>'
        )
        return html_page("The same face, as training went on", body, SLIDER % {"captions": self.captions})


# Shows the face that the slider points at; keys and touch are the input's own.
SLIDER = """
const captions = %(captions)s, faces = document.querySelectorAll("figure img");
const slider = document.querySelector("input");
slider.addEventListener("input", () => {
  faces.forEach((face, number) => (face.hidden = number !== slider.valueAsNumber));
  document.querySelector("output").textContent = captions[slider.valueAsNumber];
  slider.setAttribute("aria-valuetext", captions[slider.valueAsNumber]);
});"""


def face_progression(photo: Photo, run: str | Path, strength: float = 1.0) -> Progression:
    """The largest face of a photo through at most 12 generators that a run has kept, the newest among them.

    photo and strength: as `transform` takes them. Raises DragFaceError when none of the run's generators can be read,
    and what `transform` raises; one that is damaged is left out.
    """
    found = kept_generators(run)
    fault = DragFaceError(f"{run} keeps no generators: name the folder of a run that has trained for a while.")
    drag: DragPhoto | None = None
    faces: dict[int, np.ndarray] = {}
    for place in np.linspace(0, len(found) - 1, min(MOST, len(found))).round().astype(int):
        try:
            generator = load_look(found[place])
        except DragFaceError as error:
            fault = error
            continue
        drag = make_drag(photo, generator) if drag is None else repaint(drag, generator)
        points = drag.faces[0].found.points
        faces.setdefault(0, aligned_face(drag.photo, points, CELL))
        steps = generator.metadata.get("steps", "")
        faces[int(steps) if steps.isdecimal() else len(faces)] = aligned_face(drag.at(strength), points, CELL)
    if drag is None:
        raise fault
    losses = Path(run) / "losses.png"
    steps, pictures = zip(*sorted(faces.items()), strict=True)
    return Progression(pictures, steps, drag.look, losses.read_bytes() if losses.is_file() else b"")


def kept_generators(run: str | Path) -> list[Path]:
    """The generator files of a run: its milestones by their steps, then the newest."""
    milestones = sorted(Path(run).glob("milestones/step_*.safetensors"))  # steps have as many digits
    return [*milestones, *Path(run).glob("generator.safetensors")]


def save_progression(progress: Progression, path: str | Path) -> None:
    """Write a strip (.jpg, .png), an animation (.gif, .webp) or a page with a slider and the losses (.html).

    Raises DragFaceError for another suffix, or a folder that cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix in ANIMATIONS:
        write_atomically(path, progress.animation(ANIMATIONS[suffix]))
    elif suffix == ".html":
        write_atomically(path, progress.page().encode())
    elif suffix in (".jpg", ".jpeg", ".png"):
        provenance.save(path, progress.strip(), progress.look)
    else:
        raise DragFaceError(f"{path} cannot hold a progression: end its name in .jpg, .png, .gif, .webp or .html.")
