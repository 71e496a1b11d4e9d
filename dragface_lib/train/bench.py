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
from torch.utils.flop_counter import FlopCounterMode

from ..devices import choose_device, choose_precision
from . import graph
from .config import TrainConfig, choose_kernels
from .data import Batch
from .memory import memory_explained, peak_memory_mb
from .step import Trainer

WARM_UP = 3  # steps before the measurement, besides those before a CUDA graph is recorded
ALLOCATIONS = ("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided")


def bench(config: TrainConfig, steps: int) -> dict[str, Any]:
    """Time `steps` updates on random faces, after a warm-up; then count operations.

    Returns the settings, `seconds_per_step` (median), `peak_memory_mb` (MiB: the GPU's, the process's on a CPU),
    `operations_per_step` (of torch, besides views: each costs Python some time unless a CUDA graph is replayed),
    `gflop_per_step` (convolutions and matrix products; a multiply-add counts as two), `gflop_per_second`,
    `matrix_gflop_per_second` (what a large matrix product reaches here, in this precision or fp32) and
    `share_of_matrix_rate`. On a GPU besides: `seconds_per_step_eager` and `seconds_per_step_replayed` (the latter only
    where the step was recorded as a CUDA graph, and `seconds_per_step` is the same then), `kernels_per_step` and
    `device_busy_seconds` (their sum in one step).
    """
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    choose_kernels(config.deterministic)
    with memory_explained(config):
        trainer = Trainer(replace(config, graph=False), device, precision)
        step = stepper(trainer)
        seconds = median_seconds(step, steps, WARM_UP)
        memory = peak_memory_mb(device)
        with CountOperations() as operations, FlopCounterMode(display=False) as flops:
            step()
        result: dict[str, Any] = {"seconds_per_step": round(seconds, 5), "peak_memory_mb": memory}
        if device.type == "cuda":
            result["seconds_per_step_eager"] = result["seconds_per_step"]
            del trainer, step
            trainer = Trainer(config, device, precision)
            result |= _on_gpu(trainer, steps)
        # In fp32 too, since fp16 is slower than that on a CPU.
        rate = max(matrix_rate(device, kind) for kind in {precision, torch.float32})
    gflop, seconds = flops.get_total_flops() / 1e9, result["seconds_per_step"]
    return {
        "size": config.size,
        "channels": config.channels,
        "light": config.light,
        "form": config.form,
        "batch": config.batch,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "precision": str(precision).removeprefix("torch."),
        "torch": str(torch.__version__),
        "steps": steps,
        **result,
        "operations_per_step": operations.count,
        "gflop_per_step": round(gflop, 2),
        "gflop_per_second": round(gflop / seconds, 1),
        "matrix_gflop_per_second": round(rate, 1),
        "share_of_matrix_rate": round(gflop / seconds / rate, 3),
    }


def _on_gpu(trainer: Trainer, steps: int) -> dict[str, Any]:
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(trainer.device)
    step = stepper(trainer)
    seconds = round(median_seconds(step, steps, WARM_UP + graph.WARM_UP), 5)
    kernels = kernel_seconds(step)
    result: dict[str, Any] = {"kernels_per_step": len(kernels), "device_busy_seconds": round(sum(kernels), 5)}
    if trainer.graphed is not None and trainer.graphed.replays:
        memory = peak_memory_mb(trainer.device)
        result |= {"seconds_per_step": seconds, "seconds_per_step_replayed": seconds, "peak_memory_mb": memory}
    return result


def stepper(trainer: Trainer) -> Callable[[], None]:
    """A function that trains by one step on random faces and waits for the device."""
    config, device = trainer.config, trainer.device
    shape = config.batch, 3, config.size, config.size
    masks = torch.ones(config.batch, 1, config.size, config.size) if config.discriminator_input == "face" else None
    selfies, drags = (Batch(torch.rand(shape) * 2 - 1, masks) for _ in range(2))
    if device.type == "cuda":
        selfies, drags = selfies.pin_memory(), drags.pin_memory()
    number = 0

    def step() -> None:
        nonlocal number
        trainer.step(number, selfies, drags)
        number += 1
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step


def median_seconds(step: Callable[[], object], steps: int, warm_up: int) -> float:
    """The median of `steps` calls, after `warm_up` others."""
    measured = []
    for _ in range(warm_up + steps):
        started = time.perf_counter()
        step()
        measured.append(time.perf_counter() - started)
    return statistics.median(measured[warm_up:])


def kernel_seconds(step: Callable[[], object]) -> list[float]:
    """How long each kernel and copy of one call keeps a CUDA device busy."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        step()
    events = [event for event in profile.events() or [] if event.device_type == DeviceType.CUDA]
    return [event.time_range.elapsed_us() / 1e6 for event in events]


class CountOperations(TorchDispatchMode):
    """count: the operations inside the block that compute something, so neither views nor allocations."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        self.count += not function.is_view and function.overloadpacket.__name__ not in ALLOCATIONS
        return function(*arguments, **(options or {}))


def matrix_rate(device: torch.device, precision: torch.dtype, rounds: int = 5) -> float:
    """GFLOP/s of a product of two square matrices, the best of several: what this device can do at most."""
    side = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device, dtype=precision) for _ in range(2))
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        product = left @ right
        product[0, 0].item()  # waits for the device
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds[1:]) / 1e9
