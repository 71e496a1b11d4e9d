"""A run on the disk: what is written when, how it survives, and the copy of it that outlives the session.

config.json, journal.jsonl, losses.png, samples/, progression.jpg, checkpoints/, milestones/ (generators in half
precision, for the progression of any face), generator.safetensors (the averaged selfie_to_drag generator) and
best.safetensors (the one with the highest score on test faces).

A checkpoint is written beside itself, read back, and only then moved into place. Two generations are kept. One that is
damaged is passed over for the one before it; one that cannot be read now, or not by this version of torch, is not.

`mirror.py` keeps a copy of a run on Google Drive.
"""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ..archives import DAMAGES
from ..errors import DragFaceError
from ..files import DiskFull, numbered, open_to_read, replace_atomically, retry
from .config import TrainConfig
from .step import Trainer

GENERATIONS = 2
GIB = 2**30
# Files of a run that its copy needs before a checkpoint, and pictures, without which the checkpoint is copied too.
NEEDED = re.compile(r"config\.json|journal\.jsonl|(best|generator)\.safetensors")
PICTURES = re.compile(r"losses\.png|progression\.jpg|samples/step_\d{8,}\.jpg|milestones/step_\d{8,}\.safetensors")
CHECKPOINT = re.compile(r"checkpoints/step_\d{8,}\.pt")
NAMES = rf"owner\.json|{NEEDED.pattern}|losses\.png|progression\.jpg|step_\d{{8,}}\.\w+"
LEFTOVER = re.compile(rf"\.({NAMES})\.[0-9a-f]+\.part")  # temporary file of a killed process


def save_checkpoint(folder: Path, step: int, content: dict[str, Any]) -> None:
    """Write the state after `step` updates, then remove all but the newest generations up to it.

    Raises DragFaceError when the disk is full or does not give back what was written; the older checkpoints then stay.
    """
    path = folder / f"step_{step:08d}.pt"
    with replace_atomically(path) as temporary:
        try:
            torch.save(content | {"step": step}, temporary)
        except RuntimeError as error:  # torch does not give the reason of a failed write
            if "inline_container" not in str(error):
                raise
            raise DiskFull(f"The disk is full, so {path} was not written: free some space and run it again.") from error
        if not is_whole(temporary):
            raise DragFaceError(f"{path} did not arrive on the disk as it was written: check the disk.")
    remove_old(path for number, path in numbered(folder, ".pt").items() if number <= step)
    remove_leftovers(folder.iterdir())


def load_checkpoint(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest whole checkpoint (None without any), and a sentence for each damaged checkpoint.

    Raises Unavailable when one cannot be read now, DragFaceError when torch refuses a whole one, or all are damaged.
    """
    notes: list[str] = []
    for path in checkpoints(folder):
        content = retry(lambda path=path: _read_checkpoint(path), path)  # type: ignore[misc]
        if content is not None:
            return content, notes
        notes.append(f"The checkpoint {path.name} is damaged and was passed over.")
    if notes:
        raise all_damaged(folder)
    return None, notes


def _read_checkpoint(path: Path) -> dict[str, Any] | None:
    """The content; None where it is damaged or belongs to another step than its name."""
    if not is_whole(path):
        return None
    try:
        with open_to_read(path) as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
        return content if path.name == f"step_{content['step']:08d}.pt" else None
    except (OSError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).split(". ")[0][:200]
        raise DragFaceError(
            f"No checkpoint was loaded: {path} is whole, but torch {torch.__version__} does not read it ({reason}): "
            "go on with the versions of torch and DragFace that wrote it, or newer ones."
        ) from error


def all_damaged(folder: Path) -> DragFaceError:
    """The sentence for a run whose checkpoints are all damaged."""
    return DragFaceError(
        f"No checkpoint in {folder} can be read, as all are damaged: delete the run to start anew, or name another."
    )


def checkpoints(folder: Path) -> list[Path]:
    """The files, newest first, whole or not."""
    return list(retry(lambda: numbered(folder, ".pt"), folder).values())[::-1]


def is_whole(path: Path) -> bool:
    """Whether every part of a checkpoint has the checksum that it had when it was written. Raises OSError."""
    with open_to_read(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return archive.testzip() is None
        except DAMAGES:
            if file.raw.failure:
                raise
            return False


def remove_old(paths: Iterable[Path]) -> None:
    """Remove all but the newest generations of checkpoints, which are in the order of their steps."""
    for path in list(paths)[:-GENERATIONS]:
        path.unlink(missing_ok=True)


def names_in(folder: Path) -> list[str]:
    """What lies in a run's folder and the folders of a run below it, such as "samples/step_00000004.jpg"."""
    names = os.listdir(folder)
    for below in ("samples", "milestones", "checkpoints"):
        with suppress(FileNotFoundError):
            names += [f"{below}/{name}" for name in os.listdir(folder / below)]
    return names


def is_of_a_run(name: str) -> bool:
    """Whether a name belongs to a run's own files; only these are copied and removed."""
    return any(pattern.fullmatch(name) for pattern in (NEEDED, PICTURES, CHECKPOINT))


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove the temporary files of a process that was killed while it wrote."""
    for path in paths:
        if LEFTOVER.fullmatch(path.name):
            path.unlink(missing_ok=True)


def require_room(folder: Path, trainer: Trainer) -> None:
    """Raises DiskFull where a folder has no room for the kept generations and one more."""
    trained, averaged = (sum(p.numel() for p in network.parameters()) for network in (trainer.networks, trainer.ema))
    needed = (GENERATIONS + 1) * 4 * (3 * trained + averaged)  # weights, two moments of Adam, and the average
    free = retry(lambda: shutil.disk_usage(folder).free, folder)
    free += sum(retry(path.stat, path).st_size for path in checkpoints(folder / "checkpoints"))
    if free < needed:
        raise DiskFull(
            f"The checkpoints take {needed / GIB:.2f} GiB and {folder} has {free / GIB:.2f} GiB free: free some space, "
            "or train a smaller model (--light, --channels)."
        )


def has_arrived(config: TrainConfig) -> bool:
    """Whether the newest checkpoint of a run lies whole in its folder."""
    newest = checkpoints(config.run_folder / "checkpoints")[:1]
    with suppress(OSError):
        return any(is_whole(Path(config.run) / "checkpoints" / path.name) for path in newest)
    return False
