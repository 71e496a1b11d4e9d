"""The looks there are to choose from: the starter's, and every generator that a training kept.

for look in find_looks(space.runs):
    print(look.name, look.path)
generator = load_look(look.path)
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..devices import choose_device
from ..model import Generator, load_generator, starter_path


class Look(NamedTuple):
    """One generator file, and what people call it."""

    name: str
    path: Path


def find_looks(runs: str | Path) -> list[Look]:
    """The runs in a folder of runs, newest first, each with what it kept; the starter at the end.

    Of a run: its newest generator, the one that did best on test faces, and the milestones, latest first.
    """
    folders = sorted(Path(runs).glob("*/generator.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
    looks = [look for path in folders for look in _of_run(path.parent)]
    taken = any(look.name == "starter" for look in looks)
    return [*looks, Look("the starter that comes along" if taken else "starter", starter_path())]


def _of_run(run: Path) -> list[Look]:
    looks = [Look(run.name, run / "generator.safetensors")]
    if (run / "best.safetensors").exists():
        looks.append(Look(f"{run.name}, best on test faces", run / "best.safetensors"))
    for path in sorted((run / "milestones").glob("step_*[0-9].safetensors"), reverse=True):
        if not path.stem.removeprefix("step_").isdecimal():
            continue
        looks.append(Look(f"{run.name}, step {int(path.stem.removeprefix('step_')):,}", path))
    return looks


def load_look(path: str | Path) -> Generator:
    """`load_generator` onto the GPU where there is one."""
    return load_generator(path, device=choose_device("auto"))
