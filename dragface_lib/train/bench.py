"""The time and the memory of a training step on this machine: `python -m dragface_lib bench`."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..devices import choose_device, choose_precision, peak_memory_mb
from . import graph
from .config import TrainConfig, choose_kernels, memory_explained
from .data import Batch
from .step import Trainer

WARM_UP = 3  # steps before the measurement, besides those before a CUDA graph is recorded
ALLOCATIONS = ("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided")


def bench(config: TrainConfig, steps: int) -> dict[str, Any]:
    """Time `steps` updates on random faces, after a warm-up; then count operations.

    Returns the settings, `seconds_per_step` (median), `peak_memory_mb` (MiB: the GPU's, the process's on a CPU),
    `replayed` (whether the step was a CUDA graph) and, where it was not, `operations_per_step` (of torch, besides
    views: each costs Python some time).
    """
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    result: dict[str, Any] = {name: getattr(config, name) for name in ("size", "channels", "light", "form", "batch")}
    result |= {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "precision": str(precision).removeprefix("torch."),
        "torch": str(torch.__version__),
        "steps": steps,
    }
    choose_kernels(config.deterministic)
    with memory_explained(config):
        trainer = Trainer(config, device, precision)
        faces = torch.rand(2, config.batch, 3, config.size, config.size) * 2 - 1
        masks = torch.ones_like(faces[0, :, :1]) if config.discriminator_input == "face" else None
        selfies, drags = Batch(faces[0], masks), Batch(faces[1], masks)
        if device.type == "cuda":
            selfies, drags = selfies.pin_memory(), drags.pin_memory()

        def step() -> None:
            trainer.step(0, selfies, drags)
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        seconds = []
        for _ in range(WARM_UP + graph.WARM_UP * (trainer.graphed is not None) + steps):
            started = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - started)
        result |= {"seconds_per_step": round(statistics.median(seconds[-steps:]), 5)}
        result["peak_memory_mb"] = peak_memory_mb(device)
        result["replayed"] = trainer.graphed is not None and trainer.graphed.replays > 0
        if not result["replayed"]:
            with CountOperations() as operations:
                step()
            result["operations_per_step"] = operations.count
    return result


class CountOperations(TorchDispatchMode):
    """count: the operations inside the block that compute; views and allocations do not count."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        self.count += not function.is_view and function.overloadpacket.__name__ not in ALLOCATIONS
        return function(*arguments, **(options or {}))
