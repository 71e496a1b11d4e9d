"""The progress of a run: its journal of one JSON line per tick, and the plots, status and live view made from it.

{"step": 20, "generator": 1801.2, …, "seconds_per_step": 0.31, "memory_mb": 2110.0, "lr": 0.0001}
{"step": 20, "score": 0.41, "makeup": 14.2, "outside": 51.3, …}
{"step": 20, "note": "steps was 1000 and is now 2000."}

train(config, watch=LiveView(config))       shows a run in a notebook while it trains
"""

from __future__ import annotations

import json
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ..devices import mean_over_processes, peak_memory_mb
from ..errors import DragFaceError
from ..files import replace_atomically, retry, write_atomically
from ..images import save_photo
from .config import TrainConfig
from .pictures import progression, samples

CURVES = ("generator", "discriminator", "cycle", "identity", "cam")
TIMES = ("seconds_per_step", "memory_mb", "seconds_to_save")
SMOOTHING = 0.02  # half-width of the smoothing window, as a share of the curve
REDRAW_SECONDS = 10.0  # between two drawings of the live view: drawing slows the training down
Rows = Sequence[dict[str, Any]]


def read_journal(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a journal, without foreign lines and lines cut short by a crash."""
    return [row for row in map(_row, _lines(path)) if row is not None]


def _lines(path: str | Path) -> list[bytes]:
    """The lines of a file with their ends, none where it is missing."""
    try:
        return retry(Path(path).read_bytes, path).splitlines(keepends=True)
    except FileNotFoundError:
        return []


def _row(line: bytes) -> dict[str, Any] | None:
    """A line with a step, finite numbers and notes; None for any other line."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # RecursionError: deeply nested
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int:
        return None
    numbers = [value for name, value in row.items() if name != "note"]
    return row if all(type(number) in (int, float) and abs(number) < 1e15 for number in numbers) else None


def append_to_journal(path: Path, step: int, **values: Any) -> None:
    """Append a line and close the file, so that the line survives the process. Raises DragFaceError for a full disk."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
    except OSError as error:
        raise DragFaceError(f"{path} cannot be written ({error.strerror}): make room, and go on.") from error


def shorten_journal(path: Path, step: int) -> int:
    """Remove the lines after a step, which a resumed run writes again, and a last line that was cut short.

    Returns the number of foreign lines, which stay.
    """
    rows = [(line, _row(line)) for line in _lines(path) if line.endswith(b"\n")]
    kept = [line for line, row in rows if row is None or row["step"] <= step]
    write_atomically(path, b"".join(kept))
    return sum(row is None for _, row in rows)


def rows_with(rows: Rows, *names: str) -> Rows:
    """The lines with all these values."""
    return [row for row in rows if row.keys() >= set(names)]


class LossSums:
    """Keeps losses on the device and reads their means once a tick, because reading waits for the device."""

    def __init__(self, device: torch.device):
        self.device, self.started = device, time.perf_counter()
        self.steps: list[dict[str, Tensor]] = []

    def add(self, losses: dict[str, Tensor]) -> None:
        """Add the losses of a step."""
        self.steps.append(losses)

    def means(self) -> dict[str, float]:
        """The mean of each loss since the last call, seconds per step, and memory."""
        means = torch.stack([torch.stack(list(losses.values())) for losses in self.steps]).mean(0)
        row = dict(zip(self.steps[0], mean_over_processes(means).tolist(), strict=True))
        row["seconds_per_step"] = (time.perf_counter() - self.started) / len(self.steps)
        row["memory_mb"] = peak_memory_mb(self.device)
        self.steps, self.started = [], time.perf_counter()
        return rounded(row)


def rounded(row: dict[str, float]) -> dict[str, float]:
    """The number rounded to six digits."""
    return {name: float(f"{value:.6g}") for name, value in row.items()}


def plot_losses(rows: Rows, title: str = "") -> Figure:
    """The losses on a logarithmic axis against the step, the smoothed curve over the raw one; below it, where test
    faces were measured, how strong the make-up is and how well the background is kept, and the best step.
    """
    lines, measures = rows_with(rows, *CURVES), rows_with(rows, "score", "line", "makeup", "outside")
    heights = [4, 2] if measures else [4]
    figure = Figure(figsize=(9, sum(heights)), layout="constrained")
    panels = figure.subplots(len(heights), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    steps = [line["step"] for line in lines]
    for number, name in enumerate(CURVES):
        values = np.array([max(line[name], 1e-6) for line in lines])
        panels[0].plot(steps, values, color=f"C{number}", alpha=0.2, linewidth=0.8)
        panels[0].plot(steps, smoothed(values), color=f"C{number}", linewidth=1.8, label=name)
    panels[0].set(yscale="log", ylabel="loss (log scale)")
    panels[0].set_title(title, parse_math=False)  # a run may be called my$^$run
    panels[-1].set(xlabel="step")
    if measures:
        best = max(measures, key=lambda row: row["score"])
        curves = [("makeup", "make-up (CIELAB)", "C6", panels[1])]
        curves += [("outside", "background kept (dB)", "C9", panels[1].twinx())]
        for name, label, colour, axes in curves:
            axes.plot([row["step"] for row in measures], [row[name] for row in measures], "o-", color=colour)
            axes.set_ylabel(label, color=colour)
        panels[1].axvline(best["step"], color="0.5", linestyle=":", label=f"best score {best['score']:.2f}")
    for axes in panels:
        axes.grid(alpha=0.25)
        axes.legend(loc="center left", bbox_to_anchor=(1.08, 0.5), frameon=False)
    return figure


def smoothed(values: np.ndarray) -> np.ndarray:
    """Geometric moving average over a centred window, shorter at the ends. Any length, also 0."""
    reach, centres = max(1, round(len(values) * SMOOTHING)), np.arange(len(values))
    sums = np.concatenate([[0.0], np.log(values).cumsum()])
    low, high = np.maximum(centres - reach, 0), np.minimum(centres + reach + 1, len(values))
    return np.exp((sums[high] - sums[low]) / (high - low))


def draw_losses(config: TrainConfig, rows: Rows) -> Path:
    """Write losses.png of a run, atomically."""
    path = config.run_folder / "losses.png"
    with replace_atomically(path) as temporary:
        plot_losses(rows, Path(config.run).name).savefig(temporary, format="png", dpi=110)
    return path


def draw_run(config: TrainConfig, say: Callable[[str], None] = warnings.warn) -> list[Image.Image]:
    """Draw losses.png and progression.jpg of a run anew from its journal and samples; returns the existing files.

    say: takes a sentence about each sample that cannot be read.
    """
    pictures: list[Image.Image] = []
    if rows := read_journal(config.run_folder / "journal.jsonl"):
        pictures.append(Image.open(draw_losses(config, rows)))
    faces = progression(config.run_folder, say=say)
    if faces is not None:
        save_photo(config.run_folder / "progression.jpg", faces)
        pictures.append(Image.fromarray(faces))
    return pictures


def status(rows: Rows, steps: int) -> str:
    """The state of a run in one line: step, speed, time to go, memory, time to the next save, best score."""
    lines, measures = rows_with(rows, "generator", *TIMES), rows_with(rows, "score", "line")
    if not lines:
        return f"step 0 of {steps:,}"
    row, seconds = lines[-1], statistics.median(line["seconds_per_step"] for line in lines[-25:])
    left, save = (
        timedelta(seconds=round(min(time, 1e9))) for time in ((steps - row["step"]) * seconds, row["seconds_to_save"])
    )
    text = f"step {row['step']:,} of {steps:,} · {seconds:.3g} s a step · {left} to go · {row['memory_mb']:,.0f} MiB"
    text += f" · next save in {save}"
    if measures:
        best = max(measures, key=lambda line: line["score"])
        text += f" · best score {best['score']:.2f} at step {best['step']:,}"
    return text


class LiveView:
    """Call it, and what the notebook's cell shows is drawn anew, from the journal and the samples of the run alone:
    after a restart it shows at once what the earlier sessions did.
    """

    def __init__(self, config: TrainConfig):
        self.config = config
        self._shown: dict[str, Any] = {}
        self._next = 0.0

    def __call__(self) -> None:
        """Draw, unless the last drawing is only seconds old."""
        from IPython.display import Image as Picture
        from IPython.display import Markdown, display

        if time.monotonic() < self._next:
            return
        rows = read_journal(self.config.run_folder / "journal.jsonl")
        parts: dict[str, object] = {"status": Markdown(status(rows, self.config.steps))}
        if rows:
            parts["losses"] = Picture(draw_losses(self.config, rows).read_bytes())
        if sheets := samples(self.config.run_folder):
            parts["faces"] = Picture(sheets[max(sheets)].read_bytes())
        for name, content in parts.items():
            if name in self._shown:
                self._shown[name].update(content)
            else:
                self._shown[name] = display(content, display_id=True)
        self._next = time.monotonic() + REDRAW_SECONDS
