"""The journal of a run: one JSON line a tick, from which every plot can be drawn again after a crash.

{"step": 20, "generator": 1801.2, …, "seconds_per_step": 0.31, "memory_mb": 2110.0, "lr": 0.0001}
{"step": 20, "score": 0.41, "makeup": 14.2, "background_db": 51.3, …}
{"step": 20, "note": "steps was 1000 and is now 2000"}
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
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


def measured(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines that hold what was measured on test faces."""
    return [row for row in rows if "score" in row]


def best_score(rows: Sequence[dict[str, Any]]) -> float:
    """The highest score so far; minus infinity where nothing was measured."""
    return max((row["score"] for row in measured(rows)), default=-math.inf)


def plot_losses(rows: Sequence[dict[str, Any]], title: str = "") -> Figure:
    """The losses on a logarithmic axis against the step, the smoothed curve over the raw one; below it, where test
    faces were measured, how strong the make-up is and how well the background is kept, and the best step.
    """
    lines, found = ticks(rows), measured(rows)
    figure = Figure(figsize=(9, 6.5 if found else 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_gridspec(2 if found else 1, 1, height_ratios=[2, 1] if found else None)
    losses = figure.add_subplot(axes[0])
    steps = np.array([line["step"] for line in lines])
    for number, (name, label) in enumerate(CURVES.items()):
        values = np.array([max(line[name], 1e-6) for line in lines])
        losses.plot(steps, values, color=f"C{number}", alpha=0.2, linewidth=0.8)
        losses.plot(steps, smoothed(values), color=f"C{number}", linewidth=1.8, label=label)
    losses.set(yscale="log", xlabel="" if found else "step", ylabel="loss (log scale)", title=title)
    losses.grid(alpha=0.25)
    if lines:
        losses.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    if found:
        _plot_measured(found, figure.add_subplot(axes[1], sharex=losses))
    return figure


def _plot_measured(found: Sequence[dict[str, Any]], makeup: Axes) -> None:
    steps, background = [row["step"] for row in found], makeup.twinx()
    one = makeup.plot(steps, [row["makeup"] for row in found], "o-", color="C6", markersize=3)
    other = background.plot(steps, [row["background_db"] for row in found], "o-", color="C9", markersize=3)
    best = max(found, key=lambda row: row["score"])
    line = makeup.axvline(best["step"], color="0.5", linestyle=":")
    makeup.set(xlabel="step", ylabel="make-up (CIELAB)", ylim=(0, None))
    background.set_ylabel("background (dB)")
    makeup.grid(alpha=0.25)
    labels = ["make-up", "background kept", f"best score {best['score']:.2f}"]
    makeup.legend([*one, *other, line], labels, loc="center left", bbox_to_anchor=(1.08, 0.5), frameon=False)


def status(rows: Sequence[dict[str, Any]], steps: int) -> str:
    """How far a run is, in one line: step, speed, time to go, memory, time to the next save, best score."""
    lines = ticks(rows)
    if not lines:
        return f"step 0 of {steps:,}"
    row = lines[-1]
    recent = statistics.median(line["seconds_per_step"] for line in lines[-25:])
    parts = [
        f"step {row['step']:,} of {steps:,}",
        f"{recent:.3g} s a step",
        f"{duration((steps - row['step']) * recent)} to go",
        f"{row['memory_mb']:,.0f} MiB",
    ]
    if "seconds_to_save" in row:
        parts.append(f"next save in {duration(row['seconds_to_save'])}")
    if measured(rows):
        best = max(measured(rows), key=lambda line: line["score"])
        parts.append(f"best score {best['score']:.2f} at step {best['step']:,}")
    return " · ".join(parts)


def duration(seconds: float) -> str:
    """3 h 05 min, 7 min or 12 s."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


def save_run_plot(rows: Sequence[dict[str, Any]], path: str | Path, title: str = "") -> None:
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
