"""Pictures of a run: the same test faces at every sample, and the progression from the first to the last.

A sample is a sheet of three rows: the selfies, what the averaged generator makes of them, and where the CAM
looks. The progression is put together from the sheets, so it survives every crash that they survive.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import DragFaceError
from ..files import kind_of, numbered
from ..images import UnreadablePhoto, contact_sheet, open_photo, resize, save_photo
from ..model.generator import Generator, to_bytes

SAMPLES = 6  # faces on a sheet
ROWS = 3
PROGRESS = 7  # columns of the progression besides the selfie
Say = Callable[[str], None]


class Pictures:
    """Draws pictures of a run. An error in a picture is reported once and never ends the training."""

    def __init__(self, say: Say):
        self.said: set[str] = set()
        self._say = say

    def say(self, sentence: str) -> None:
        """Say a sentence, unless it was said before."""
        if sentence not in self.said:
            self.said.add(sentence)
            self._say(sentence)

    def draw(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function that draws."""
        try:
            function(*arguments)
        except Exception as error:
            self.say(f"A picture of the run is left out: {' '.join(str(error).split()) or type(error).__name__}")


def sample_places(count: int) -> np.ndarray:
    """Which of `count` faces are shown, spread over them."""
    return np.unique(np.linspace(0, count - 1, SAMPLES).round().astype(int))


@torch.no_grad()
def draw_sample(run: Path, step: int, generator: Generator, faces: Tensor) -> None:
    """Write RUN/samples/step_NNNNNNNN.jpg. faces: (B, 3, size, size) in -1..1."""
    device = next(generator.parameters()).device
    columns = []
    for face in faces.split(1):  # the whole batch would need more memory than the training step
        translated = generator(face.to(device))
        attention = heat_map(translated.attention[0, 0].float().cpu().numpy(), faces.shape[-1])
        columns.append(np.vstack([*to_bytes(face), *to_bytes(translated.image), attention]))
    save_photo(run / "samples" / f"step_{step:08d}.jpg", np.hstack(columns))


def heat_map(attention: np.ndarray, size: int) -> np.ndarray:
    """Attention (h, w) stretched to 0..1 and coloured, as (size, size, 3) uint8 RGB."""
    low, high = float(attention.min()), float(attention.max())
    stretched = resize((attention - low) / max(high - low, 1e-12), size, size)
    return (colormaps["inferno"](stretched)[..., :3] * 255).round().astype(np.uint8)


def samples(run: Path) -> dict[int, Path]:
    """The sheets of a run by their steps, oldest first."""
    return numbered(run / "samples", ".jpg")


def best_step_and_score(run: Path) -> tuple[int, float]:
    """The step and the score of RUN/best.safetensors; 0 and minus infinity where there is none.

    Raises DragFaceError when it cannot be read now.
    """
    path = run / "best.safetensors"
    if not kind_of(path):
        return 0, -math.inf
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return int(metadata["steps"]), float(metadata["score"])
    except (SafetensorError, KeyError, ValueError):  # damaged, or not of a run
        return 0, -math.inf
    except OSError as error:
        raise DragFaceError(f"{path} cannot be read now ({error}): run it again.") from error


def forget_after(run: Path, step: int) -> None:
    """Remove sheets and generators of later steps than the resumed one: the run makes them again."""
    kept = list(samples(run).items()) + list(numbered(run / "milestones", ".safetensors").items())
    for later, path in [*kept, (best_step_and_score(run)[0], run / "best.safetensors")]:
        if later > step:
            with suppress(OSError):  # a file that stays is overwritten later
                path.unlink(missing_ok=True)


def is_milestone(step: int, every: int) -> bool:
    """Whether a generator is kept for good at a step: at 1, 2, 3, 4, 6, 8, 12, 16, 24 … times `every`.

    Closer together at the start, where more happens; 16 of them in 300,000 steps. A generator takes two bytes a weight:
    21 MB at 256 px and 64 channels.
    """
    times, left = divmod(step, every)
    return not left and times > 0 and times // (times & -times) in (1, 3)


def progression(run: Path, faces: int = 4, cell: int = 128, say: Say = warnings.warn) -> np.ndarray | None:
    """One row a test face: the selfie, then its drag at growing steps; None before the first sample.

    At most PROGRESS samples are shown, the last among them; more of them are early, where more happens.
    say: takes a sentence about each sheet that cannot be read, and is left out.
    """
    sheets = list(samples(run).items())
    columns: list[list[np.ndarray]] = []
    titles = ["selfie"]
    for number in np.unique(np.geomspace(1, len(sheets), PROGRESS).round().astype(int)) if sheets else []:
        step, path = sheets[number - 1]
        try:
            selfies, drags = _faces_of(path)
        except UnreadablePhoto as error:
            say(f"A sample is left out: {error}")
            continue
        columns += [drags] if columns else [selfies, drags]
        titles.append(f"{step:,}")
    if not columns:
        return None
    rows = list(zip(*columns, strict=False))[:faces]  # a run whose test faces have changed may have fewer on a sheet
    return contact_sheet([face for row in rows for face in row], len(titles), cell, titles * len(rows))


def _faces_of(sheet: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The selfies and their drag versions on a sheet."""
    picture = open_photo(sheet)
    height, width = picture.shape[:2]
    if height % ROWS or width % (height // ROWS):
        raise UnreadablePhoto(f"{sheet} is not a sheet of {ROWS} rows of faces.")
    selfies, drags, _ = (np.split(row, width // len(row), axis=1) for row in np.split(picture, ROWS))
    return selfies, drags
