"""A run on the disk: what is written when, how it survives, and the copy of it that outlives the session.

config.json, journal.jsonl, losses.png, samples/, progression.jpg, checkpoints/, milestones/ (generators in half
precision, for the progression of any face), generator.safetensors (the averaged selfie_to_drag generator) and
best.safetensors (the one with the highest score on test faces).

A checkpoint is written beside itself, read back, and only then moved into place. Two generations are kept: when the
newest is damaged, the one before it is used.

On Colab a run is trained on the fast local disk (`scratch`), and a thread copies it to its folder on Google Drive.
While that folder has vanished, is full or read-only, training goes on, says so, and the next save tries again.
"""

from __future__ import annotations

import hashlib
import pickle
import shutil
import zipfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from ..archives import DAMAGES
from ..errors import DragFaceError
from ..files import DiskFull, replace_atomically, sha256_of
from .config import TrainConfig
from .step import Trainer

GENERATIONS = 2
GIB = 2**30
BLOCK = 1 << 20
Stamps = dict[Path, tuple[int, int]]  # size and time of each file when it was copied


def save_checkpoint(folder: Path, step: int, content: dict[str, Any]) -> None:
    """Write the state after `step` updates, then remove all but the newest generations.

    Raises DragFaceError when the disk is full or does not give back what was written; the older checkpoints then stay.
    """
    path = folder / f"step_{step:08d}.pt"
    with replace_atomically(path) as temporary:
        try:
            torch.save(content | {"step": step}, temporary)
        except RuntimeError as error:  # torch does not say what kept its writer from writing
            if "inline_container" not in str(error):
                raise
            raise DiskFull(f"The disk is full, so {path} was not written: free some space and run it again.") from error
        if not is_whole(temporary):
            raise DragFaceError(f"{path} did not arrive on the disk as it was written: check the disk.")
    remove_old_checkpoints(folder, path.name)


def load_checkpoint(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest whole checkpoint (None where there are none), and a sentence for each that is damaged.

    Raises DragFaceError when there are checkpoints but none is whole.
    """
    notes: list[str] = []
    for path in checkpoints(folder):
        if is_whole(path):
            with suppress(OSError, RuntimeError, EOFError, pickle.UnpicklingError):
                content = torch.load(path, map_location="cpu", weights_only=True)
                if path.name == f"step_{content['step']:08d}.pt":
                    return content, notes
        notes.append(f"The checkpoint {path.name} is damaged and was passed over.")
    if notes:
        raise DragFaceError(f"No checkpoint in {folder} can be read: delete the run to start anew, or name another.")
    return None, notes


def checkpoints(folder: Path) -> list[Path]:
    """The files, newest first, whole or not."""
    return sorted(folder.glob("step_*.pt"), reverse=True)


def is_whole(path: Path) -> bool:
    """Whether every part of a checkpoint has the checksum that it had when it was written."""
    with suppress(*DAMAGES), zipfile.ZipFile(path) as archive:
        return archive.testzip() is None
    return False


def remove_old_checkpoints(folder: Path, newest: str) -> None:
    """Remove what is no longer needed once the checkpoint of the name `newest` lies here whole.

    That is older generations, later ones (damaged, and passed over when the run went on from before them), and
    what a process left behind that was killed while it wrote.
    """
    kept = [path for path in checkpoints(folder) if path.name <= newest][:GENERATIONS]
    for path in [*set(checkpoints(folder)).difference(kept), *folder.glob(".*.part")]:
        path.unlink(missing_ok=True)


def require_room(folder: Path, trainer: Trainer) -> None:
    """Raises DiskFull where the generations that are kept do not fit into a folder beside one that is being written."""
    trained, averaged = (sum(p.numel() for p in network.parameters()) for network in (trainer.networks, trainer.ema))
    needed = (GENERATIONS + 1) * 4 * (3 * trained + averaged)  # weights, two moments of Adam, and the average
    free = shutil.disk_usage(folder).free + sum(path.stat().st_size for path in checkpoints(folder / "checkpoints"))
    if free < needed:
        raise DiskFull(
            f"The checkpoints take {needed / GIB:.2f} GiB and {folder} has {free / GIB:.2f} GiB free: free some space, "
            "or train a smaller model (--light, --channels)."
        )


class Copier:
    """Copies the run in `source` to `target`, in a thread. As a context it ends with a last copy.

    say: called with a sentence when a copy fails.
    """

    def __init__(self, source: Path, target: Path, say: Callable[[str], None]):
        self.source, self.target, self.say = source, target, say
        self.seconds = 0.0  # that the last copy took
        self._stamps: Stamps = {}
        self._pool = ThreadPoolExecutor(1, "copier")

    def start(self) -> Future[None]:
        """Have what is there now copied; returns at once."""
        return self._pool.submit(self._copy)

    def __enter__(self) -> Copier:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        at_once = kind is not None and not issubclass(kind, Exception)  # a second Ctrl-C
        if not at_once:
            self.start().result()
        self._pool.shutdown(wait=not at_once, cancel_futures=at_once)

    def _copy(self) -> None:
        started = monotonic()
        try:
            synchronise(self.source, self.target, self._stamps)
        except (DragFaceError, OSError) as error:
            reason = str(error) if self.target.is_dir() else f"The folder {self.target} is not there."
            self.say(
                f"{self.target} could not be brought up to date: {reason} The newest state is in {self.source} alone. "
                "The next save, or running it again, copies it."
            )
        self.seconds = monotonic() - started


def synchronise(source: Path, target: Path, stamps: Stamps) -> None:
    """Copy what is new of the run in `source` to `target`, checkpoints last; older checkpoints there go.

    stamps: of earlier copies. Raises DragFaceError or OSError when a file cannot be copied.
    """
    # Listed first: the journal copied below is then at least as long as these checkpoints need it.
    newest = checkpoints(source / "checkpoints")[:GENERATIONS]
    for path in sorted([*source.glob("*"), *source.glob("*/*")]):
        if path.is_file() and not path.name.startswith(".") and path.parent.name != "checkpoints":
            _copy_file(source, target, path, stamps)
    for path in newest:
        _copy_file(source, target, path, stamps)
    if newest:
        remove_old_checkpoints(target / "checkpoints", newest[0].name)
    for leftover in target.glob("**/.*.part"):  # of a process that was killed while it wrote
        leftover.unlink(missing_ok=True)


def _copy_file(source: Path, target: Path, path: Path, stamps: Stamps) -> None:
    """Copy a changed file of the folder `source`; what arrives must have the hash of what was read."""
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
            if sha256_of(temporary) != digest.hexdigest():
                raise DragFaceError(f"{copy} did not arrive as it was sent.")
    except FileNotFoundError:
        if path.exists():
            raise
        return  # a newer generation has taken its place, and is copied next
    stamps[path] = stamp


def restore(run: Path, scratch: Path) -> None:
    """Bring the run in `run` to `scratch` where it is further there.

    Raises DragFaceError when `run` cannot be used, or has checkpoints, none of them whole, and `scratch` has none.
    """
    whole = next((path.name for path in checkpoints(scratch / "checkpoints") if is_whole(path)), "")
    try:
        run.mkdir(parents=True, exist_ok=True)
        newer = [path for path in checkpoints(run / "checkpoints") if path.name > whole]
        if any(is_whole(path) for path in newer):
            synchronise(run, scratch, {})
        elif newer and not whole:
            raise DragFaceError(f"No checkpoint in {run} can be read: delete the run to start anew, or name another.")
    except OSError as error:
        raise DragFaceError(
            f"{run} cannot be used ({error.strerror}): choose a folder you may write to, or mount Drive again."
        ) from error


def has_arrived(config: TrainConfig) -> bool:
    """Whether the newest checkpoint of a run lies whole in its folder."""
    newest = checkpoints(config.run_folder / "checkpoints")[:1]
    return any(is_whole(Path(config.run) / "checkpoints" / path.name) for path in newest)
