"""The journal of a run: one JSON line a tick, from which every plot can be drawn again after a crash.

{"step": 20, "generator": 1801.2, …, "seconds_per_step": 0.31, "memory_mb": 2110.0, "lr": 0.0001}
{"step": 20, "note": "steps was 1000 and is now 2000"}
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..errors import DragFaceError
from ..files import replace_atomically, write_atomically

# What the loss plot shows: the article's curves, and the two halves of the discriminators.
CURVES = {
    "generator": "generator, all terms",
    "discriminator": "discriminators, all",
    "cycle": "cycle",
    "identity": "identity",
    "cam": "CAM",
}
SMOOTHING = 0.02  # half-width of the smoothing window, as a share of the curve


class Journal:
    """Appends to RUN/journal.jsonl; on resuming, forgets what came after the checkpoint."""

    def __init__(self, path: str | Path, step: int):
        self.path = Path(path)
        kept = [row for row in read_journal(self.path) if row["step"] <= step]
        write_atomically(self.path, "".join(json.dumps(row) + "\n" for row in kept).encode())

    def add(self, step: int, **values: Any) -> None:
        """Append one line. Flushed at once, so that it survives the process.

        Raises DragFaceError when the disk is full.
        """
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        except OSError as error:
            raise DragFaceError(f"{self.path} cannot be written ({error.strerror}): make room, and go on.") from error


def read_journal(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a journal; one that was cut short by a crash, or is none of ours, is left out."""
    rows = []
    if Path(path).exists():
        for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                rows.append(row)
    return rows


def ticks(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines that hold losses, without the notes."""
    return [row for row in rows if "generator" in row]


def plot_losses(rows: Sequence[dict[str, Any]], title: str = "") -> Figure:
    """The losses on a logarithmic axis against the step: the smoothed curve over the raw one."""
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    lines = ticks(rows)
    steps = np.array([line["step"] for line in lines])
    for number, (name, label) in enumerate(CURVES.items()):
        values = np.array([max(line[name], 1e-6) for line in lines])
        axes.plot(steps, values, color=f"C{number}", alpha=0.2, linewidth=0.8)
        axes.plot(steps, smoothed(values), color=f"C{number}", linewidth=1.8, label=label)
    axes.set(yscale="log", xlabel="step", ylabel="loss (log scale)", title=title)
    axes.grid(alpha=0.25)
    if lines:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def save_loss_plot(rows: Sequence[dict[str, Any]], path: str | Path, title: str = "") -> None:
    """Write `plot_losses` as a PNG, atomically."""
    with replace_atomically(path) as temporary:
        plot_losses(rows, title).savefig(temporary, format="png", dpi=110)


def smoothed(values: np.ndarray) -> np.ndarray:
    """Geometric moving average over a centred window, shorter at the ends. Any length, also 0."""
    reach = max(1, round(len(values) * SMOOTHING))
    sums = np.concatenate([[0.0], np.log(values).cumsum()])
    places = np.arange(len(values))
    low, high = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(values))
    return np.exp((sums[high] - sums[low]) / (high - low))
