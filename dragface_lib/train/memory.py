"""How much memory a training takes, and what to change where it does not suffice."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import DragFaceError
from .config import TrainConfig


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory so far, in MiB: the GPU's as torch reserved it, the process's own on a CPU."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_reserved(device) / 2**20, 1)
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


@contextmanager
def memory_explained(config: TrainConfig) -> Iterator[None]:
    """Turns running out of memory into a sentence with what to change, in order."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's OutOfMemoryError is a RuntimeError
        if isinstance(error, RuntimeError) and not re.search("out of memory|can't allocate memory", str(error)):
            raise
        smaller = [f"--batch {config.batch // 2}"] if config.batch > 1 else []
        smaller += [] if config.light else ["--light"]
        smaller += [f"--size {config.size // 8 * 4}"] if config.size >= 128 else []
        smaller += [f"--channels {config.channels // 2}"] if config.channels > 1 else []
        raise DragFaceError(
            f"The memory does not suffice for batch {config.batch}, size {config.size}, channels {config.channels}, "
            f"{'light' if config.light else 'full'}: try {', then '.join(smaller)}."
        ) from error
