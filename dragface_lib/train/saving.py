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
from pathlib import Path
from time import monotonic

from ..crop.align import ALIGNMENT
from ..errors import DragFaceError
from ..files import replace_atomically, sha256_of
from ..model.weights import save_generator
from .checkpoints import checkpoints, hash_file, is_whole, remove_old_checkpoints
from .config import TrainConfig
from .step import Trainer

BLOCK = 1 << 20
Stamps = dict[Path, tuple[int, int]]  # size and time of each file when it was copied


def save_average(trainer: Trainer, path: Path, step: int, half: bool = False) -> None:
    """Write the averaged generator with all that is needed to use it; no times or paths."""
    metadata = {"direction": "selfie_to_drag", "alignment": ALIGNMENT, "steps": str(step)}
    metadata |= {"look": trainer.config.look, "licence": trainer.config.licence}
    save_generator(trainer.ema, path, metadata, half)


class Copier:
    """Copies the run in `source` to `target`, in a thread. As a context it ends with a last copy.

    say: called when copying begins to fail, and when it works again.
    """

    def __init__(self, source: Path, target: Path, generations: int, say: Callable[[str], None]):
        self.source, self.target, self.generations, self.say = source, target, generations, say
        self.problem = ""  # of the last copy; empty when it went well
        self.seconds = 0.0  # that the last copy took
        self._stamps: Stamps = {}
        self._pool = ThreadPoolExecutor(1, "copier")

    def start(self) -> None:
        """Have what is there now copied; returns at once."""
        self._pool.submit(self._copy)

    def __enter__(self) -> Copier:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        at_once = kind is not None and not issubclass(kind, Exception)  # a second Ctrl-C
        if not at_once:
            self._pool.submit(self._copy).result()
        self._pool.shutdown(wait=not at_once, cancel_futures=at_once)
        if self.problem:
            self.say(f"The newest state is in {self.source} alone: run it again to copy it to {self.target}.")

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
