"""The looks to choose from: those of the generators that come along, and those that a training kept.

for name, path in find_looks(space.runs).items():
    print(name, path)
generator = load_look("goth")
generator = load_look("runs/mine/best.safetensors")
"""

from __future__ import annotations

from pathlib import Path

from ..devices import choose_device
from ..model import Generator, load_generator, starter_looks, starter_path


def load_look(look: str | Path) -> Generator:
    """A generator on the GPU where there is one; look: a starter's name ("classic", "goth") or a generator file.

    Raises DragFaceError when there is neither such a look nor such a file, and what `load_generator` raises.
    """
    is_file = isinstance(look, Path) or Path(look).suffix or Path(look).is_file()
    return load_generator(look if is_file else starter_path(str(look)), device=choose_device("auto"))


def find_looks(runs: str | Path | None = None) -> dict[str, Path]:
    """Names and files of the looks: the starters, then the generators of a folder of runs, the newest run first.

    Of a run: its newest generator, the best on test faces, and the milestones, latest first.
    """
    looks = {look: starter_path(look) for look in starter_looks()}
    newest = list(Path(runs).glob("*/generator.safetensors")) if runs else []
    for path in sorted(newest, key=lambda path: path.stat().st_mtime, reverse=True):
        run = path.parent
        looks[f"{run.name}, newest"] = path
        looks |= {f"{run.name}, best on test faces": best for best in run.glob("best.safetensors")}
        looks |= {f"{run.name}, step {int(kept.stem[5:]):,}": kept for kept in reversed(milestones(run))}
    return looks


def milestones(run: str | Path) -> list[Path]:
    """The generators that a run has kept at growing steps, in the order of the steps."""
    return sorted(path for path in Path(run).glob("milestones/step_*.safetensors") if path.stem[5:].isdecimal())
