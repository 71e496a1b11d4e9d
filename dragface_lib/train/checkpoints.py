"""Checkpoints that survive a killed process, a full disk and a damaged file, and what resuming them depends on.

A checkpoint is written beside itself, read back, and only then moved into place; its SHA-256 stands in a file of the
same name. Two generations are kept: when the newest is damaged, the one before it is used.
"""

from __future__ import annotations

import hashlib
import pickle
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

from ..errors import DragFaceError
from ..files import DiskFull, replace_atomically, sha256_of, write_atomically
from ..model.weights import ARCHITECTURE
from .config import SESSION_SETTINGS, TrainConfig
from .data import FaceSet
from .distributed import world_size
from .step import Trainer

GENERATIONS = 2
GIB = 2**30
# Settings that may change between two parts of a run without changing what is learned.
INCONSEQUENTIAL = {"faces", "run", "save_every", "save_minutes", "sample_every", "log_every", "validate_every"}
INCONSEQUENTIAL |= {"milestone_every", "look", "licence", *SESSION_SETTINGS}


def save_checkpoint(folder: Path, step: int, content: dict[str, Any], generations: int = GENERATIONS) -> None:
    """Write the state after `step` updates, then remove all but the newest generations.

    Raises DragFaceError when the disk is full or does not give back what was written; the older checkpoints then stay.
    """
    path = folder / f"step_{step:08d}.pt"
    with replace_atomically(path) as temporary:
        with open(temporary, "wb") as file:
            writer = _HashingWriter(file)
            try:
                torch.save(content, cast(IO[bytes], writer))  # write and flush are all that it uses
            except RuntimeError as error:  # torch hides the reason when its writer fails
                raise writer.error or error from None
        digest = writer.digest.hexdigest()
        if sha256_of(temporary) != digest:
            raise DragFaceError(f"{path} did not arrive on the disk as it was written: check the disk.")
        # Before the move: a process killed in between leaves a hash without a checkpoint, not the reverse.
        write_atomically(hash_file(path), digest.encode())
    remove_old_checkpoints(folder, path.name, generations)


def load_checkpoint(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest whole checkpoint (None where there are none), and a sentence for each that is damaged.

    Raises DragFaceError when there are checkpoints but none is whole.
    """
    notes: list[str] = []
    for path in checkpoints(folder):
        if is_whole(path):
            try:
                return torch.load(path, map_location="cpu", weights_only=True), notes
            except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
                pass
        notes.append(f"The checkpoint {path.name} is damaged and was passed over.")
    if notes:
        raise DragFaceError(f"No checkpoint in {folder} can be read: delete the run to start anew, or name another.")
    return None, notes


def checkpoints(folder: Path) -> list[Path]:
    """The files, newest first, whole or not."""
    return sorted(folder.glob("step_*.pt"), reverse=True)


def hash_file(path: Path) -> Path:
    """Where the hash of a checkpoint stands."""
    return path.with_name(path.name + ".sha256")


def is_whole(path: Path) -> bool:
    """Whether a checkpoint has the hash that it had when it was written."""
    try:
        return sha256_of(path) == hash_file(path).read_text(errors="replace")
    except OSError:
        return False


def remove_old_checkpoints(folder: Path, newest: str, generations: int) -> None:
    """Remove what is no longer needed once the checkpoint of the name `newest` lies here whole.

    That is older generations, later ones (damaged, and passed over when the run went on from before them), and
    what a process left behind that was killed while it wrote.
    """
    kept = [path for path in checkpoints(folder) if path.name <= newest][:generations]
    hashes = [path for path in folder.glob("*.sha256") if path.with_suffix("") not in kept]
    for path in [*set(checkpoints(folder)).difference(kept), *hashes, *folder.glob(".*.part")]:
        path.unlink(missing_ok=True)


def generations_that_fit(folder: Path, trainer: Trainer, say: Callable[[str], None]) -> int:
    """How many checkpoints fit into a folder beside the one that is being written. Raises DiskFull where none does."""
    trained, averaged = (sum(p.numel() for p in network.parameters()) for network in (trainer.networks, trainer.ema))
    size = 4 * (3 * trained + averaged)  # weights, two moments of Adam, and the average
    try:
        free = shutil.disk_usage(folder).free
    except OSError:  # where it cannot be known
        return GENERATIONS
    free += sum(path.stat().st_size for path in (folder / "checkpoints").glob("*") if path.is_file())
    generations = min(GENERATIONS, int(free) // size - 1)
    if generations < 1:
        raise DiskFull(
            f"A checkpoint takes {_amount(size)}, twice that while it is replaced, and {folder} has "
            f"{_amount(free)} free: free some space, or train a smaller model (--light, --channels)."
        )
    kept = "two are" if generations == 2 else "one is"
    say(f"{folder}: {_amount(free)} free; a checkpoint takes {_amount(size)}, and the newest {kept} kept.")
    return generations


def _amount(size: float) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.1f} MiB"


def facts_of(
    config: TrainConfig, sets: dict[tuple[str, str], FaceSet], device: torch.device, precision: torch.dtype
) -> dict[str, Any]:
    """What an exact resume depends on besides the saved state."""
    settings = {name: value for name, value in config.as_dict().items() if name not in INCONSEQUENTIAL}
    faces = {f"The faces in {domain}/{split}": sets[domain, split].digest for domain, split in sets if split == "train"}
    return {
        **settings,
        **faces,
        "device": device.type,
        "precision": str(precision),
        "processes": world_size(),
        "threads": torch.get_num_threads() if device.type == "cpu" else 0,
        "torch": str(torch.__version__),  # its own type is refused by weights_only
        "python": platform.python_version(),
    }


def changes_since(saved: dict[str, Any], now: dict[str, Any], run: str) -> list[str]:
    """A sentence for each fact that makes the resumed run another than an uninterrupted one.

    Raises DragFaceError where the run has networks of another architecture.
    """
    changed = {name: (saved.get(name), value) for name, value in now.items() if saved.get(name) != value}
    for name in ARCHITECTURE:
        if name in changed:
            was, value = changed[name]
            raise DragFaceError(
                f"The run {run} was trained with {name} {was}, not {value}: use that setting, or name another run."
            )
    return [
        f"{name} have changed since the run began."
        if name.startswith("The faces")
        else f"{name} was {was} and is now {value}."
        for name, (was, value) in changed.items()
    ]


class _HashingWriter:
    """A file that knows the hash of what was written to it, and the error that stopped it."""

    def __init__(self, file: BinaryIO):
        self.file, self.digest = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            self.file.write(data)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(data)
        return len(data)

    def flush(self) -> None:
        self.file.flush()
