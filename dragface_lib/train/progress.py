"""How a run goes: its journal of one JSON line a tick, and the plots, the status and the live view drawn from it.

{"step": 20, "generator": 1801.2, …, "seconds_per_step": 0.31, "memory_mb": 2110.0, "lr": 0.0001}
{"step": 20, "score": 0.41, "makeup": 14.2, "outside": 51.3, …}
{"step": 20, "note": "steps was 1000 and is now 2000."}

train(config, watch=LiveView(config))       shows a run in a notebook while it trains
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from ..errors import DragFaceError
from ..files import replace_atomically, write_atomically
from ..images import save_photo
from .config import TrainConfig
from .distributed import mean_over_processes
from .memory import peak_memory_mb
from .pictures import progression, samples

CURVES = {
    "generator": "generator, all terms",
    "discriminator": "discriminators, all",
    "cycle": "cycle",
    "identity": "identity",
    "cam": "CAM",
}
SMOOTHING = 0.02  # half-width of the smoothing window, as a share of the curve
REDRAW_SECONDS = 10.0  # between two drawings of the live view, so that looking does not slow the training down
Rows = Sequence[dict[str, Any]]


def read_journal(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a journal; a line that was cut short by a crash, or is none of ours, is left out."""
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


def append_to_journal(path: Path, step: int, **values: Any) -> None:
    """Append a line and close the file, so that the line survives the process. Raises DragFaceError for a full disk."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
    except OSError as error:
        raise DragFaceError(f"{path} cannot be written ({error.strerror}): make room, and go on.") from error


def shorten_journal(path: Path, step: int) -> None:
    """Remove the lines after a step, which a resumed run writes again."""
    rows = [row for row in read_journal(path) if row["step"] <= step]
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def best_score(rows: Rows) -> float:
    """The highest score so far; minus infinity where nothing was measured."""
    return max((row["score"] for row in measured(rows)), default=-math.inf)


def measured(rows: Rows) -> list[dict[str, Any]]:
    """The lines of validations. Scores in lines without `line` were measured in an older way and do not compare."""
    return [row for row in rows if "line" in row]


class LossSums:
    """Adds up losses on the device and reads them once a tick, because reading waits for the device."""

    def __init__(self, device: torch.device):
        self.device, self.started = device, time.perf_counter()
        self.sums: dict[str, Tensor] = {}
        self.steps = 0

    def add(self, losses: dict[str, Tensor]) -> None:
        """Add the losses of a step."""
        if self.steps == 0:
            self.sums = dict(losses)
        else:
            torch._foreach_add_(list(self.sums.values()), [losses[name] for name in self.sums])
        self.steps += 1

    def means(self) -> dict[str, float]:
        """The mean of each loss since the last call, seconds per step, and memory."""
        means = (mean_over_processes(torch.stack(list(self.sums.values()))) / self.steps).tolist()
        row = dict(zip(self.sums, means, strict=True))
        row["seconds_per_step"] = (time.perf_counter() - self.started) / self.steps
        row["memory_mb"] = peak_memory_mb(self.device)
        self.steps, self.started = 0, time.perf_counter()
        return rounded(row)


def rounded(row: dict[str, float]) -> dict[str, float]:
    """To six digits."""
    return {name: float(f"{value:.6g}") for name, value in row.items()}


def plot_losses(rows: Rows, title: str = "") -> Figure:
    """The losses on a logarithmic axis against the step, the smoothed curve over the raw one; below it, where test
    faces were measured, how strong the make-up is and how well the background is kept, and the best step.
    """
    lines, measures = [row for row in rows if "generator" in row], measured(rows)
    figure = Figure(figsize=(9, 6.5 if measures else 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2 if measures else 1, 1, height_ratios=[2, 1] if measures else None)
    axes = figure.add_subplot(grid[0])
    steps = [line["step"] for line in lines]
    for number, (name, label) in enumerate(CURVES.items()):
        values = np.array([max(line[name], 1e-6) for line in lines])
        axes.plot(steps, values, color=f"C{number}", alpha=0.2, linewidth=0.8)
        axes.plot(steps, smoothed(values), color=f"C{number}", linewidth=1.8, label=label)
    axes.set(yscale="log", xlabel="" if measures else "step", ylabel="loss (log scale)", title=title)
    axes.grid(alpha=0.25)
    if lines:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    if measures:
        _plot_measures(measures, figure.add_subplot(grid[1], sharex=axes))
    return figure


def _plot_measures(measures: Rows, axes: Axes) -> None:
    steps, background = [row["step"] for row in measures], axes.twinx()
    curves = axes.plot(steps, [row["makeup"] for row in measures], "o-", color="C6", markersize=3)
    curves += background.plot(steps, [row["outside"] for row in measures], "o-", color="C9", markersize=3)
    best = max(measures, key=lambda row: row["score"])
    curves.append(axes.axvline(best["step"], color="0.5", linestyle=":"))
    axes.set(xlabel="step", ylabel="make-up (CIELAB)", ylim=(0, None))
    background.set_ylabel("background (dB)")
    axes.grid(alpha=0.25)
    labels = ["make-up", "background kept", f"best score {best['score']:.2f}"]
    axes.legend(curves, labels, loc="center left", bbox_to_anchor=(1.08, 0.5), frameon=False)


def smoothed(values: np.ndarray) -> np.ndarray:
    """Geometric moving average over a centred window, shorter at the ends. Any length, also 0."""
    reach = max(1, round(len(values) * SMOOTHING))
    sums = np.concatenate([[0.0], np.log(values).cumsum()])
    centres = np.arange(len(values))
    low, high = np.maximum(centres - reach, 0), np.minimum(centres + reach + 1, len(values))
    return np.exp((sums[high] - sums[low]) / (high - low))


def draw_losses(config: TrainConfig, rows: Rows) -> Path:
    """Write losses.png of a run, atomically."""
    path = config.run_folder / "losses.png"
    with replace_atomically(path) as temporary:
        plot_losses(rows, Path(config.run).name).savefig(temporary, format="png", dpi=110)
    return path


def draw_run(config: TrainConfig) -> None:
    """Draw losses.png and progression.jpg of a run anew from its journal and samples."""
    draw_losses(config, read_journal(config.run_folder / "journal.jsonl"))
    picture = progression(config.run_folder)
    if picture is not None:
        save_photo(config.run_folder / "progression.jpg", picture)


def status(rows: Rows, steps: int) -> str:
    """How far a run is, in one line: step, speed, time to go, memory, time to the next save, best score."""
    lines, measures = [row for row in rows if "generator" in row], measured(rows)
    if not lines:
        return f"step 0 of {steps:,}"
    row = lines[-1]
    seconds = statistics.median(line["seconds_per_step"] for line in lines[-25:])
    parts = [
        f"step {row['step']:,} of {steps:,}",
        f"{seconds:.3g} s a step",
        f"{duration((steps - row['step']) * seconds)} to go",
        f"{row['memory_mb']:,.0f} MiB",
    ]
    if "seconds_to_save" in row:
        parts.append(f"next save in {duration(row['seconds_to_save'])}")
    if measures:
        best = max(measures, key=lambda line: line["score"])
        parts.append(f"best score {best['score']:.2f} at step {best['step']:,}")
    return " · ".join(parts)


def duration(seconds: float) -> str:
    """3 h 05 min, 7 min or 12 s."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


class LiveView:
    """Call it, and what the notebook's cell shows is drawn anew, from the journal and the samples of the run alone:
    after a restart it shows at once what the earlier sessions did.
    """

    def __init__(self, config: TrainConfig):
        self.config = config
        self._shown: dict[str, Any] = {}
        self._next = 0.0

    def __call__(self) -> None:
        """Draw, unless that was done just now."""
        from IPython.display import Image, Markdown

        if time.monotonic() < self._next:
            return
        rows = read_journal(self.config.run_folder / "journal.jsonl")
        self._show("status", Markdown(status(rows, self.config.steps)))
        if rows:
            self._show("losses", Image(draw_losses(self.config, rows).read_bytes()))
        if sheets := samples(self.config.run_folder):
            self._show("faces", Image(sheets[max(sheets)].read_bytes()))
        self._next = time.monotonic() + REDRAW_SECONDS

    def _show(self, part: str, content: object) -> None:
        from IPython.display import display

        if part in self._shown:
            self._shown[part].update(content)
        else:
            self._shown[part] = display(content, display_id=True)
