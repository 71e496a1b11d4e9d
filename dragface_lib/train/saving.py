"""A run on the disk: what is written when, and the copy of it that survives the session.

config.json, journal.jsonl, losses.png, samples/, progression.jpg, checkpoints/, milestones/ (generators in half
precision, for the progression of any face), generator.safetensors (the averaged selfie_to_drag generator) and
best.safetensors (the one with the highest score on test faces).

On Colab a run is trained on the fast local disk (`scratch`), and a thread copies it to its folder on Google Drive.
While that folder has vanished, is full or read-only, training goes on, says so, and the next save tries again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any

from torch import Tensor

from ..crop.align import ALIGNMENT
from ..errors import DragFaceError
from ..evaluate.validation import Validation
from ..files import replace_atomically, sha256_of
from ..model.weights import save_generator
from .checkpoints import checkpoints, generations_that_fit, hash_file, is_whole, remove_old_checkpoints, save_checkpoint
from .config import TrainConfig
from .pictures import forget_samples_after, sample_sheet, save_sample
from .progress import append_to_journal, best_score, draw_run, read_journal, shorten_journal
from .step import Trainer

BLOCK = 1 << 20
Stamps = dict[Path, tuple[int, int]]  # size and time of each file when it was copied


class RunWriter:
    """Writes a run into its folder; only the main process has one. As a context it ends with everything copied.

    faces: those of the samples. watch: called when there is something new to see.
    Raises DiskFull at once when there is no room for a checkpoint.
    """

    def __init__(
        self,
        config: TrainConfig,
        trainer: Trainer,
        faces: Tensor,
        say: Callable[[str], None],
        watch: Callable[[], None],
    ):
        self.config, self.trainer, self.faces, self.say, self.watch = config, trainer, faces, say, watch
        self.folder, self.journal = config.run_folder, config.run_folder / "journal.jsonl"
        self.started = self.last_save = self.last_tick = monotonic()
        self.longest_save = 0.0
        self.generations = generations_that_fit(self.folder, trainer, say)
        self.copier = None
        if config.scratch:
            generations = generations_that_fit(Path(config.run), trainer, say)
            self.copier = Copier(self.folder, Path(config.run), generations, say)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.copier is not None:
            self.copier.close(at_once=kind is not None and not issubclass(kind, Exception))
            if self.copier.problem:
                self.say(f"The newest state is in {self.folder} alone: run it again to copy it to {self.config.run}.")

    def begin(self, step: int, notes: list[str]) -> None:
        """Go on from `step`: what came after it is forgotten, what has changed is noted."""
        self.config.save()
        shorten_journal(self.journal, step)
        forget_samples_after(self.folder, step)
        for note in notes:
            self.say(note)
            append_to_journal(self.journal, step, note=note)
        self.watch()

    def seconds_to_save(self) -> float:
        """Seconds to the next save by the clock; 0 when it is due."""
        return max(0.0, self.last_save + 60 * self.config.save_minutes - monotonic())

    def session_over(self) -> bool:
        """Whether the run must stop now to be saved within its session; asked at every tick.

        Time is left for the steps of another tick, for twice the longest save, and for the last copy.
        """
        tick, self.last_tick = monotonic() - self.last_tick, monotonic()
        needed = tick + 2 * self.longest_save + (self.copier.seconds if self.copier else 0.0)
        return 0 < 60 * self.config.session_minutes <= self.last_tick - self.started + needed

    def log(self, step: int, row: dict[str, float]) -> None:
        """Write a line of the journal."""
        append_to_journal(self.journal, step, **row, seconds_to_save=round(self.seconds_to_save()))
        self.watch()

    def sample(self, step: int) -> None:
        """Draw the sheet of test faces, and the plots."""
        save_sample(self.folder, step, sample_sheet(self.trainer.ema, self.faces))
        draw_run(self.config)
        self.watch()

    @cached_property
    def validation(self) -> Validation | None:
        """None where there are no test faces: then the run trains without."""
        try:
            return Validation(self.config.faces, self.config.size)
        except DragFaceError as error:
            self.say(f"Nothing is measured. {error}")
            return None

    def validate(self, step: int) -> None:
        """Measure the averaged generator on test faces, and keep it when it is the best so far."""
        if self.validation is not None:
            measures = self.validation(self.trainer.ema)
            if measures["score"] > best_score(read_journal(self.journal)):
                self.save_generator(step, "best.safetensors")
            append_to_journal(self.journal, step, **{name: float(f"{value:.6g}") for name, value in measures.items()})

    def save(self, step: int, seconds: float, facts: dict[str, Any]) -> None:
        """Write generator and checkpoint, last of all: a checkpoint finds everything else of its step."""
        started = monotonic()
        self.save_generator(step)
        content = {"step": step, "seconds": seconds, "facts": facts, "state": self.trainer.state()}
        save_checkpoint(self.folder / "checkpoints", step, content, self.generations)
        self.last_save = monotonic()
        self.longest_save = max(self.longest_save, self.last_save - started)
        if self.copier is not None:
            self.copier.start()

    def save_generator(self, step: int, name: str = "generator.safetensors", half: bool = False) -> None:
        """Write the averaged generator below the run's folder, with all that is needed to use it; no times or paths."""
        metadata = {"direction": "selfie_to_drag", "alignment": ALIGNMENT, "steps": str(step)}
        metadata |= {"look": self.config.look, "licence": self.config.licence}
        save_generator(self.trainer.ema, self.folder / name, metadata, half)


class Copier:
    """Copies the run in `source` to `target`, in a thread. say: called when copying begins to fail, or works again."""

    def __init__(self, source: Path, target: Path, generations: int, say: Callable[[str], None]):
        self.source, self.target, self.generations, self.say = source, target, generations, say
        self.problem = ""  # of the last copy; empty when it went well
        self.seconds = 0.0  # that the last copy took
        self._stamps: Stamps = {}
        self._pool = ThreadPoolExecutor(1, "copier")

    def start(self) -> None:
        """Have what is there now copied; returns at once."""
        self._pool.submit(self._copy)

    def close(self, at_once: bool = False) -> None:
        """Make a last copy and wait for it; with `at_once` neither."""
        if not at_once:
            self.start()
        self._pool.shutdown(wait=not at_once, cancel_futures=at_once)

    def _copy(self) -> None:
        started, before = monotonic(), self.problem
        try:
            synchronise(self.source, self.target, self.generations, self._stamps)
            self.problem = ""
        except (DragFaceError, OSError) as error:
            self.problem = str(error) if self.target.is_dir() else f"The folder {self.target} is not there."
        self.seconds = monotonic() - started
        if self.problem and not before:
            self.say(f"{self.target} could not be brought up to date: {self.problem} Training goes on.")
        elif before and not self.problem:
            self.say(f"{self.target} is up to date again.")


class DamagedFile(DragFaceError):
    """A file has another hash than it should have."""


def synchronise(source: Path, target: Path, generations: int, stamps: Stamps, after: str = "") -> list[str]:
    """Copy what is new of the run in `source` to `target`, checkpoints last; older checkpoints there go.

    Copies the newest whole checkpoints, up to `generations`, with names above `after`. stamps: of earlier copies.
    Returns a sentence for each damaged checkpoint. Raises DragFaceError or OSError when a file cannot be copied.
    """
    # Listed first: the journal copied below is then at least as long as these checkpoints need it.
    newest = [path for path in checkpoints(source / "checkpoints") if path.name > after]
    for path in sorted([*source.glob("*"), *source.glob("*/*")]):
        if path.is_file() and not path.name.startswith(".") and path.parent.name != "checkpoints":
            _copy_file(source, target, path, stamps)
    copied: list[str] = []
    notes: list[str] = []
    for path in newest:
        if len(copied) < generations:
            try:
                expected = hash_file(path).read_text(errors="replace") if hash_file(path).exists() else "unknown"
                _copy_file(source, target, hash_file(path), stamps)
                _copy_file(source, target, path, stamps, expected)
                copied.append(path.name)
            except DamagedFile:
                notes.append(f"The checkpoint {path.name} in {source} is damaged and was passed over.")
    if copied:
        remove_old_checkpoints(target / "checkpoints", copied[0], generations)
    for leftover in target.glob("**/.*.part"):  # of a process that was killed while it wrote
        leftover.unlink(missing_ok=True)
    return notes


def _copy_file(source: Path, target: Path, path: Path, stamps: Stamps, expected: str | None = None) -> None:
    """Copy a file of the folder `source`; it is moved into place once what arrived has the hash of what was read."""
    copy, digest = target / path.relative_to(source), hashlib.sha256()
    try:
        stamp = (path.stat().st_size, path.stat().st_mtime_ns)
        if stamps.get(path) == stamp and copy.exists():
            return
        if copy.parent != target:  # which is never made anew: where Drive is to come back nothing may lie in its way
            copy.parent.mkdir(exist_ok=True)
        with open(path, "rb") as file, replace_atomically(copy, make_folder=False) as temporary:
            with open(temporary, "wb") as written:
                while block := file.read(BLOCK):
                    digest.update(block)
                    written.write(block)
            if expected not in (None, digest.hexdigest()):
                raise DamagedFile(f"{path} is damaged.")
            if sha256_of(temporary) != digest.hexdigest():
                raise DragFaceError(f"{copy} did not arrive as it was sent.")
    except FileNotFoundError:
        if path.exists():
            raise
        return  # a newer generation has taken its place, and is copied next
    stamps[path] = stamp


def restore(run: Path, scratch: Path) -> list[str]:
    """Bring the run in `run` to `scratch` where it is further there; returns a sentence for each damaged checkpoint.

    Raises DragFaceError when `run` cannot be used, or has checkpoints, none of them whole, and `scratch` has none.
    """
    whole = next((path.name for path in checkpoints(scratch / "checkpoints") if is_whole(path)), "")
    notes = []
    try:
        run.mkdir(parents=True, exist_ok=True)
        if any(path.name > whole for path in checkpoints(run / "checkpoints")):
            notes = synchronise(run, scratch, 1, {}, after=whole)
    except OSError as error:
        raise DragFaceError(
            f"{run} cannot be used ({error.strerror}): choose a folder you may write to, or mount Drive again."
        ) from error
    if notes and not checkpoints(scratch / "checkpoints"):
        raise DragFaceError(f"No checkpoint in {run} can be read: delete the run to start anew, or name another.")
    return notes


def has_arrived(config: TrainConfig) -> bool:
    """Whether the newest checkpoint of a run lies whole in its folder."""
    newest = checkpoints(config.run_folder / "checkpoints")[:1]
    return any(is_whole(Path(config.run) / "checkpoints" / path.name) for path in newest)
