"""Guess who: a page of everybody in drag, shuffled; a click shows the photo and the name.

page = guess_who("photos", generator)
PageView(page)                                  in a notebook, which keeps nothing of it
write_atomically("guess_who.html", page.encode())
"""

from __future__ import annotations

import html
import random
import sys
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm.auto import tqdm

from ..crop.align import aligned_face
from ..errors import DragFaceError
from ..images import encode_photo
from ..model import Generator
from . import provenance
from .folders import photos_in
from .page import data_address, html_page
from .transforming import make_drag

CELL = 256  # pixels of a face
MOST = 200  # faces on a page; one takes about 60 kB
# A second click covers the face again.
TURN = """
for (const card of document.querySelectorAll(".grid button")) card.addEventListener("click", () => {
  const shown = card.getAttribute("aria-pressed") !== "true", [drag, photo] = card.querySelectorAll("img");
  card.setAttribute("aria-pressed", shown);
  drag.hidden = shown;
  photo.hidden = !shown;
  card.querySelector("span").textContent = shown ? card.dataset.name : "Who is it?";
});"""


def guess_who(
    source: str | Path,
    generator: Generator | None = None,
    strength: float = 1.0,
    limit: int = MOST,
    seed: int = 0,
    progress: bool = True,
) -> str:
    """One HTML page, which needs nothing else, of the largest face of each photo of a folder or zip.

    A photo's name is its file's. seed: of the order; limit: only so many photos. Photos that give no face are named
    on the progress bar (on stderr) and left out. Raises DragFaceError when that is all of them, and what `photos_in`
    and `transform` raise.
    """
    cards, faults = [], []
    if limit < 1:
        raise DragFaceError(f"The limit of {limit} photos leaves none: use 1 or more.")
    with photos_in(source) as entries:
        bar = tqdm(entries[:limit], unit="photo", disable=not progress)
        for entry in bar:
            try:
                drag = make_drag(entry.opened(), generator)
                points = drag.faces[0].found.points
                made, bare = (aligned_face(picture, points, CELL) for picture in (drag.at(strength), drag.photo))
            except (DragFaceError, MemoryError) as error:
                faults.append(str(error) or f"{entry.name} does not fit into memory.")
                if progress:
                    bar.write(f"left out: {faults[-1]}", file=sys.stderr)
                continue
            cards.append(_card(PurePosixPath(entry.name).stem, made, bare, drag.look))
    if not cards:
        raise DragFaceError(f"None of the photos in {source} gave a face; {faults[0]}")
    random.Random(seed).shuffle(cards)
    return html_page("Guess who", f'<main class="grid">{"".join(cards)}</main>', TURN)


def _card(name: str, drag: np.ndarray, photo: np.ndarray, look: str) -> str:
    name = html.escape(name, quote=True)
    before, after = encode_photo(photo, quality=88), provenance.encode(drag, "JPEG", look, quality=88)
    return (
        f'<button type="button" aria-pressed="false" data-name="{name}">'
        f'<img src="{data_address(after)}" alt="somebody in drag">'
        f'<img src="{data_address(before)}" alt="the photo" hidden><span aria-live="polite">Who is it?</span></button>'
    )
