"""Whether a run that goes on is still the one that was begun: what an exact resume depends on besides the saved state.

The facts stand in every checkpoint; what has changed since is refused, or noted down in the run's journal.
"""

from __future__ import annotations

import platform
from typing import Any

import torch

from ..errors import DragFaceError
from ..model.weights import ARCHITECTURE
from .config import TrainConfig
from .data import FaceSet
from .distributed import world_size

# Settings that may change between two parts of a run without changing what is learned.
INCONSEQUENTIAL = {"faces", "run", "scratch", "save_every", "save_minutes", "session_minutes", "sample_every"}
INCONSEQUENTIAL |= {"log_every", "validate_every", "milestone_every", "look", "licence"}


def facts_of(
    config: TrainConfig,
    sets: dict[tuple[str, str], FaceSet],
    device: torch.device,
    precision: torch.dtype,
) -> dict[str, Any]:
    """What an exact resume depends on besides the saved state."""
    return {
        "config": {name: value for name, value in config.as_dict().items() if name not in INCONSEQUENTIAL},
        "faces": {f"{domain}/{split}": sets[domain, split].digest for domain, split in sets if split == "train"},
        "device": device.type,
        "processes": world_size(),
        "precision": str(precision),
        "threads": torch.get_num_threads() if device.type == "cpu" else 0,
        "torch": str(torch.__version__),  # its own type is refused by weights_only
        "python": platform.python_version(),
    }


def require_same_architecture(config: TrainConfig, saved: dict[str, Any]) -> None:
    """Raises DragFaceError where the run's folder holds networks of another shape. saved: `facts_of` back then."""
    for name in ARCHITECTURE:
        if saved["config"].get(name) != getattr(config, name):
            raise DragFaceError(
                f"The run {config.run} was trained with {name} {saved['config'].get(name)}, not "
                f"{getattr(config, name)}: use that setting, or name another run."
            )


def changes_since(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A sentence for each difference that makes the resumed run another than an uninterrupted one."""
    sentences = []
    for name, value in now.items():
        was = before.get(name, value)
        if isinstance(value, dict):
            for key, part in value.items():
                if was.get(key, part) != part:
                    sentences.append(
                        f"The faces in {key} have changed since the run began."
                        if name == "faces"
                        else f"{key} was {was[key]} and is now {part}."
                    )
        elif was != value:
            sentences.append(f"{name} was {was} and is now {value}.")
    return sentences
