"""Pictures of a run: the same test faces at every sample, and the progression from the first to the last.

A sample is a sheet of three rows: the selfies, what the averaged generator makes of them, and where the CAM
looks. The progression is put together from the sheets, so it survives every crash that they survive.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from torch import Tensor

from ..images import contact_sheet, open_photo, resize, save_photo
from ..model.generator import Generator, to_bytes

SAMPLES = 6  # faces on a sheet
ROWS = 3
PROGRESS = 7  # columns of the progression besides the selfie


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
    return {int(path.stem.removeprefix("step_")): path for path in sorted((run / "samples").glob("step_*.jpg"))}


def forget_samples_after(run: Path, step: int) -> None:
    """Remove sheets of a future that a resumed run has not reached again."""
    for sampled, path in samples(run).items():
        if sampled > step:
            path.unlink(missing_ok=True)


def is_milestone(step: int, every: int) -> bool:
    """Whether a generator is kept for good at a step: at 1, 2, 3, 4, 6, 8, 12, 16, 24 … times `every`.

    Closer together at the start, where more happens; 16 of them in 300,000 steps. A generator takes two bytes a weight:
    21 MB at 256 px and 64 channels.
    """
    times, left = divmod(step, every)
    return not left and times > 0 and times // (times & -times) in (1, 3)


def progression(run: Path, faces: int = 4, cell: int = 128) -> np.ndarray | None:
    """One row a test face: the selfie, then its drag at growing steps; None before the first sample.

    Of many samples PROGRESS are shown, closer together at the start, where more happens; the last is one of them.
    """
    sheets = list(samples(run).items())
    if not sheets:
        return None
    chosen = [sheets[n - 1] for n in np.unique(np.geomspace(1, len(sheets), PROGRESS).round().astype(int))]
    columns = [_faces_of(chosen[0][1], 0, faces), *(_faces_of(path, 1, faces) for _, path in chosen)]
    titles = ["selfie", *(f"{step:,}" for step, _ in chosen)]
    rows = list(zip(*columns, strict=True))
    return contact_sheet([face for row in rows for face in row], len(titles), cell, titles * len(rows))


def _faces_of(sheet: Path, row: int, count: int) -> list[np.ndarray]:
    picture = open_photo(sheet)
    size = picture.shape[0] // ROWS
    return np.split(picture[row * size :][:size], picture.shape[1] // size, axis=1)[:count]
