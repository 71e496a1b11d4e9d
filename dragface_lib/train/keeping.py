"""What a run keeps on disk: checkpoints, the journal, pictures, generators. Only the process that leads keeps.

config.json, journal.jsonl, losses.png, samples/, progression.jpg, checkpoints/, milestones/ (generators in half
precision, for the progression of any face), generator.safetensors (the averaged selfie_to_drag generator) and
best.safetensors (the one with the highest score on test faces).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from ..crop.align import ALIGNMENT
from ..errors import DragFaceError
from ..evaluate.validation import Validation
from ..files import DiskFull
from ..images import save_photo
from ..model.generator import Generator
from ..model.weights import save_generator
from .checkpoints import GENERATIONS, Checkpoints
from .clock import Clock
from .config import TrainConfig
from .journal import Journal, best_score, read_journal, save_run_plot
from .mirror import Mirror
from .pictures import forget_samples_after, progression, sample_sheet, save_sample
from .step import Trainer

GIB = 2**30


class Keeper:
    """Writes a run. As a context it ends with everything copied to the run's folder.

    faces: those of the samples. watch: called when there is something new to see.
    Raises DiskFull at once when there is no room for a checkpoint.
    """

    def __init__(
        self,
        config: TrainConfig,
        trainer: Trainer,
        faces: torch.Tensor,
        say: Callable[[str], None],
        watch: Callable[[], None] | None = None,
    ):
        self.config, self.trainer, self.faces, self.say = config, trainer, faces, say
        self.watch = watch or (lambda: None)
        self.folder = config.run_folder
        self.clock = Clock(config.save_minutes, config.session_minutes)
        self.validation: Callable[[Generator], dict[str, float]] | None = None
        self.generations = self._plan(self.folder)
        self.mirror = None
        if config.scratch:
            self.mirror = Mirror(self.folder, Path(config.run), self._plan(Path(config.run)), say)
        self.open = ExitStack()

    def __enter__(self) -> Keeper:
        if self.mirror is not None:
            self.open.enter_context(self.mirror)
        return self

    def __exit__(self, *what: Any) -> None:
        self.open.__exit__(*what)
        if self.mirror is not None and self.mirror.problem:
            self.say(f"The newest state is in {self.folder} alone: run it again to copy it to {self.config.run}.")

    def _plan(self, folder: Path) -> int:
        """How many checkpoints are kept in a folder, said before the run starts; room for one more must be left."""
        trained = sum(weight.numel() for weight in self.trainer.networks.parameters())
        average = sum(weight.numel() for weight in self.trainer.ema.parameters())
        size = 4 * (3 * trained + average)  # weights, two moments of Adam, and the average
        try:
            free = shutil.disk_usage(folder).free
        except OSError:  # where it cannot be known
            return GENERATIONS
        ours = sum(path.stat().st_size for path in (folder / "checkpoints").glob("*") if path.is_file())
        generations = min(GENERATIONS, int(free + ours) // size - 1)
        if generations < 1:
            raise DiskFull(
                f"A checkpoint takes {_amount(size)}, twice that while it is replaced, and {folder} has "
                f"{_amount(free + ours)} free: free some space, or train a smaller model (--light, --channels)."
            )
        self.say(
            f"{folder}: {_amount(free)} free; a checkpoint takes {_amount(size)}, and the newest "
            f"{'two are' if generations == 2 else 'one is'} kept."
        )
        return generations

    def begin(self, step: int, notes: list[str]) -> None:
        """Go on from `step`: what came after it is forgotten, what has changed is noted."""
        self.config.save()
        held = max((row["step"] for row in read_journal(self.folder / "journal.jsonl")), default=0)
        if held < step:  # saving writes a line first: Drive has lost it
            notes = [*notes, f"The journal's lines of the steps {held + 1:,} to {step:,} are lost."]
        self.checkpoints = Checkpoints(self.folder / "checkpoints", self.generations)
        self.journal = Journal(self.folder / "journal.jsonl", step)
        forget_samples_after(self.folder, step)
        for note in notes:
            self.say(note)
            self.journal.add(step, note=note)
        self.watch()

    def must_stop(self) -> bool:
        """Whether the session is nearly over; asked at every tick."""
        return self.clock.session_over(self.mirror.seconds if self.mirror else 0.0)

    def add(self, step: int, row: dict[str, float]) -> None:
        """A line of the journal."""
        self.journal.add(step, **row, seconds_to_save=round(max(0.0, self.clock.until_save())))
        self.watch()

    def draw(self, step: int) -> None:
        """The sheet of test faces, and the plots."""
        save_sample(self.folder, step, sample_sheet(self.trainer.ema, self.faces))
        draw_run(self.config)
        self.watch()

    def validate(self, step: int) -> None:
        """Measure the averaged generator on test faces; the best one is kept."""
        if self.validation is None:
            try:
                self.validation = Validation(self.config.faces, self.config.size)
            except DragFaceError as error:  # no test faces: it trains without
                self.say(f"Nothing is measured. {error}")
                self.validation = lambda generator: {}
        found = self.validation(self.trainer.ema)
        if found:
            if found["score"] > best_score(read_journal(self.journal.path)):
                self.save_generator(step, "best.safetensors")
            self.journal.add(step, **{name: float(f"{value:.6g}") for name, value in found.items()})

    def save(self, step: int, seconds: float, facts: dict[str, Any]) -> None:
        """Generator and checkpoint. It comes last: whoever goes on from it finds everything else of its step."""
        started = monotonic()
        self.save_generator(step, "generator.safetensors")
        state = {"step": step, "seconds": seconds, "facts": facts, "state": self.trainer.state()}
        self.checkpoints.save(step, state)
        self.clock.saved(started)
        if self.mirror is not None:
            self.mirror.push()

    def save_generator(self, step: int, name: str, half: bool = False) -> None:
        """Write the averaged generator below the run's folder, with all that is needed to use it; no times or paths."""
        metadata = {
            "direction": "selfie_to_drag",
            "look": self.config.look,
            "alignment": ALIGNMENT,
            "steps": str(step),
            "licence": self.config.licence,
        }
        save_generator(self.trainer.ema, self.folder / name, metadata, half)


def _amount(size: float) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.1f} MiB"


def draw_run(config: TrainConfig) -> None:
    """Draw losses.png and progression.jpg of a run anew from its journal and samples."""
    rows = read_journal(config.run_folder / "journal.jsonl")
    save_run_plot(rows, config.run_folder / "losses.png", Path(config.run).name)
    picture = progression(config.run_folder)
    if picture is not None:
        save_photo(config.run_folder / "progression.jpg", picture)
