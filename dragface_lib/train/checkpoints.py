"""Checkpoints that survive a killed process, a full disk and a damaged file.

A checkpoint is written beside itself, read back, and only then moved into place; its SHA-256 stands in a
file of the same name. Two generations are kept: when the newest does not verify, the one before it is used.
"""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

from ..errors import DragFaceError
from ..files import replace_atomically, sha256_of, write_atomically

GENERATIONS = 2


class Checkpoints:
    """The checkpoints of one run, in one folder. generations: how many of them are kept."""

    def __init__(self, folder: str | Path, generations: int = GENERATIONS):
        self.folder, self.generations = Path(folder), generations

    def save(self, step: int, content: dict[str, Any]) -> Path:
        """Write the state after `step` updates, then remove all but the newest generations.

        Raises DragFaceError when the disk is full or does not give back what was written; the older
        checkpoints then stay.
        """
        path = self.folder / f"step_{step:08d}.pt"
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
        self.prune(path)
        return path

    def prune(self, newest: Path) -> None:
        """Remove what is no longer needed once the checkpoint of the name `newest` lies here whole.

        That is older generations, later ones (damaged, and passed over when the run went on from before them), and
        what a process left behind that was killed while it wrote.
        """
        kept = [path for path in self.newest_first() if path.name <= newest.name][: self.generations]
        for path in self.newest_first():
            if path not in kept:
                path.unlink(missing_ok=True)
        for orphan in self.folder.glob("*.sha256"):
            if not orphan.with_suffix("").exists():
                orphan.unlink(missing_ok=True)
        for leftover in self.folder.glob(".*.part"):
            leftover.unlink(missing_ok=True)

    def newest(self) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest checkpoint that verifies (None where there is none yet), and a sentence for each that did not.

        Raises DragFaceError when there are checkpoints but none can be used.
        """
        damaged: list[str] = []
        for path in self.newest_first():
            try:
                if sha256_of(path) == recorded_hash(path):
                    return torch.load(path, map_location="cpu", weights_only=True), damaged
            except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
                pass
            damaged.append(f"The checkpoint {path.name} is damaged and was passed over.")
        if damaged:
            raise DragFaceError(
                f"No checkpoint in {self.folder} can be read: delete the folder to start anew, or name another run."
            )
        return None, damaged

    def newest_first(self) -> list[Path]:
        """The files, whole or not."""
        return sorted(self.folder.glob("step_*.pt"), reverse=True)


def recorded_hash(path: Path) -> str:
    """The SHA-256 that a checkpoint had when it was written. Raises OSError where none is recorded."""
    return hash_file(path).read_text(errors="replace")


def hash_file(path: Path) -> Path:
    """Where the hash of a checkpoint stands."""
    return path.with_name(path.name + ".sha256")


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
