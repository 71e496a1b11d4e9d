"""Pictures of a run: the same test faces at every sample, and the progression from the first to the last.

A sample is a sheet of three rows: the selfies, what the averaged generator makes of them, and where the CAM
looks. The progression is put together from the sheets, so it survives every crash that they survive.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..images import open_photo, resize, save_photo
from ..model.generator import Generator
from ..model.tensors import to_bytes, to_unit
from .data import FaceSet

SAMPLES = 6  # faces on a sheet
ROWS = 3
PROGRESS = 7  # columns of the progression besides the selfie


def sample_faces(test: FaceSet, train: FaceSet) -> Tensor:
    """Up to SAMPLES faces in -1..1, spread over the test set (over the training set where there is none)."""
    images = (test if len(test) else train).images
    return to_unit(images[sample_places(len(images))])


def sample_places(count: int) -> np.ndarray:
    """Which of `count` faces are shown, spread over them."""
    return np.unique(np.linspace(0, count - 1, SAMPLES).round().astype(int))


@torch.no_grad()
def sample_sheet(generator: Generator, faces: Tensor) -> np.ndarray:
    """Selfies, drag and attention as (3 * size, count * size, 3) uint8 RGB; faces: (B, 3, size, size) in -1..1."""
    device = next(generator.parameters()).device
    drag, attention = [], []
    for face in faces:  # one by one: the batch would need more memory than the training step
        translated = generator(face[None].to(device))
        drag.append(to_bytes(translated.image)[0])
        attention.append(heat_map(translated.attention[0, 0].float().cpu().numpy(), faces.shape[-1]))
    return np.vstack([np.hstack(row) for row in (list(to_bytes(faces)), drag, attention)])


def heat_map(attention: np.ndarray, size: int) -> np.ndarray:
    """Attention (h, w) stretched to 0..1 and coloured, as (size, size, 3) uint8 RGB."""
    low, high = float(attention.min()), float(attention.max())
    stretched = resize((attention - low) / max(high - low, 1e-12), size, size)
    return (colormaps["inferno"](stretched)[..., :3] * 255).round().astype(np.uint8)


def save_sample(run: Path, step: int, sheet: np.ndarray) -> None:
    """Write RUN/samples/step_NNNNNNNN.jpg."""
    save_photo(run / "samples" / f"step_{step:08d}.jpg", sheet)


def forget_samples_after(run: Path, step: int) -> None:
    """Remove sheets of a future that a resumed run has not reached again."""
    for path, drawn_at in samples(run):
        if drawn_at > step:
            path.unlink(missing_ok=True)


def samples(run: Path) -> list[tuple[Path, int]]:
    """The sheets of a run and their steps, oldest first."""
    return [(path, int(path.stem.removeprefix("step_"))) for path in sorted((run / "samples").glob("step_*.jpg"))]


def is_milestone(step: int, every: int) -> bool:
    """Whether a generator is kept for good at a step: at 1, 2, 3, 4, 6, 8, 12, 16, 24 … times `every`.

    Closer together at the start, where more happens; 16 of them in 300,000 steps. One takes two bytes a weight: 21 MB
    at 256 px and 64 channels.
    """
    times, left = divmod(step, every)
    return not left and times > 0 and times // (times & -times) in (1, 3)


def chosen_steps(steps: Sequence[int], count: int = PROGRESS) -> list[int]:
    """At most `count` of the sampled steps, closer together at the start, where more happens; the last is in."""
    steps = [step for step in steps if step > 0]
    if len(steps) <= count:
        return list(steps)
    ladder = np.geomspace(steps[0], steps[-1], count)
    nearest = {steps[int(np.abs(np.subtract(steps, goal)).argmin())] for goal in ladder}
    for step in reversed(steps):  # a crowded start collapses onto few steps: fill up from the end
        if len(nearest) == count:
            break
        nearest.add(step)
    return sorted(nearest)


def progression(run: Path, faces: int = 4, cell: int = 128) -> np.ndarray | None:
    """One row a test face: the selfie, then its drag at growing steps; None before the first sample."""
    sheets = {step: path for path, step in samples(run)}
    steps = chosen_steps(list(sheets))
    if not steps:
        return None
    columns: list[np.ndarray] = []
    for step in [steps[0], *steps]:
        sheet = open_photo(sheets[step])
        row = 0 if not columns else 1
        size = sheet.shape[0] // ROWS
        column = [sheet[row * size :, n * size :][:size, :size] for n in range(min(faces, sheet.shape[1] // size))]
        columns.append(np.vstack([resize(face, cell, cell) for face in column]))
    titles = ["selfie", *(f"{step:,}" for step in steps)]
    return np.vstack([_heading(titles, cell), np.hstack(columns)])


def _heading(titles: Sequence[str], cell: int) -> np.ndarray:
    strip = Image.new("RGB", (cell * len(titles), 22), "white")
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(13)
    for column, title in enumerate(titles):
        draw.text((column * cell + cell / 2, 11), title, fill="black", font=font, anchor="mm")
    return np.asarray(strip)
