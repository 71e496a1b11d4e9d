"""How fast a training step is on this machine, and what it costs: `python -m dragface_lib bench`."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from .config import TrainConfig, choose_device, choose_precision
from .loop import peak_memory_mb
from .step import Trainer, memory_explained

WARM_UP = 2


def bench(config: TrainConfig, steps: int) -> dict[str, Any]:
    """Time `steps` updates on random faces, after a warm-up and one more that counts operations.

    Returns the settings, `seconds_per_step` (median), `peak_memory_mb` (MiB: the GPU's, the process's on a CPU),
    `gflop_per_step` (convolutions and matrix products; a multiply-add counts as two) and `gflop_per_second`.
    """
    with memory_explained(config):
        return _bench(config, steps)


def _bench(config: TrainConfig, steps: int) -> dict[str, Any]:
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    torch.backends.cudnn.benchmark = True
    trainer = Trainer(config, device, precision)
    random = torch.Generator().manual_seed(config.seed)
    shape = (config.batch, 3, config.size, config.size)
    selfie, drag = (torch.rand(shape, generator=random) * 2 - 1 for _ in range(2))

    def update(number: int) -> float:
        started = time.perf_counter()
        trainer.step(number, selfie, drag)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - started

    for number in range(WARM_UP):
        update(number)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = statistics.median(update(number) for number in range(WARM_UP, WARM_UP + steps))
    memory = peak_memory_mb(device)
    with FlopCounterMode(display=False) as counter:
        update(WARM_UP + steps)
    gflop = counter.get_total_flops() / 1e9
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
        "seconds_per_step": round(seconds, 5),
        "peak_memory_mb": memory,
        "gflop_per_step": round(gflop, 2),
        "gflop_per_second": round(gflop / seconds, 1),
    }
