"""How fast a training step is on this machine, and what it costs: `python -m dragface_lib bench`."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.autograd import DeviceType
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

    Returns the settings, `seconds_per_step` (median), `peak_memory_mb` (MiB: the GPU's, the process's on a CPU) and
    `operations_per_step` (of torch, besides views: each costs Python some time unless a CUDA graph is replayed). On a
    GPU besides: `seconds_per_step_eager`, `device_busy_seconds` (the sum of the kernels of one step) and, where the
    step was recorded as a CUDA graph, `seconds_per_step_replayed`, which `seconds_per_step` then is.
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
        step = _stepper(Trainer(replace(config, graph=False), device, precision))
        seconds = _median_seconds(step, steps, WARM_UP)
        result |= {"seconds_per_step": seconds, "peak_memory_mb": peak_memory_mb(device)}
        with CountOperations() as operations:
            step()
        result["operations_per_step"] = operations.count
        if device.type == "cuda":
            result["seconds_per_step_eager"] = seconds
            del step
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
            trainer = Trainer(config, device, precision)
            step = _stepper(trainer)
            seconds = _median_seconds(step, steps, WARM_UP + graph.WARM_UP)
            result["device_busy_seconds"] = _busy_seconds(step)
            if trainer.graphed is not None and trainer.graphed.replays:
                result |= {"seconds_per_step": seconds, "seconds_per_step_replayed": seconds}
                result["peak_memory_mb"] = peak_memory_mb(device)
    return result


def _stepper(trainer: Trainer) -> Callable[[], None]:
    """A function that trains by one step on random faces and waits for the device."""
    config, device = trainer.config, trainer.device
    shape = config.batch, 3, config.size, config.size
    masks = torch.ones(config.batch, 1, config.size, config.size) if config.discriminator_input == "face" else None
    selfies, drags = (Batch(torch.rand(shape) * 2 - 1, masks) for _ in range(2))
    if device.type == "cuda":
        selfies, drags = selfies.pin_memory(), drags.pin_memory()

    def step() -> None:
        trainer.step(0, selfies, drags)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step


def _median_seconds(step: Callable[[], object], steps: int, warm_up: int) -> float:
    measured = []
    for _ in range(warm_up + steps):
        started = time.perf_counter()
        step()
        measured.append(time.perf_counter() - started)
    return round(statistics.median(measured[warm_up:]), 5)


def _busy_seconds(step: Callable[[], object]) -> float:
    """How long the kernels and copies of one call keep a CUDA device busy."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        step()
    events = [event for event in profile.events() or [] if event.device_type == DeviceType.CUDA]
    return round(sum(event.time_range.elapsed_us() for event in events) / 1e6, 5)


class CountOperations(TorchDispatchMode):
    """count: the operations inside the block that compute something, so neither views nor allocations."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        self.count += not function.is_view and function.overloadpacket.__name__ not in ALLOCATIONS
        return function(*arguments, **(options or {}))
