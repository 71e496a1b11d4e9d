"""How fast a training step is on this machine, and what it costs: `python -m dragface_lib bench`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..devices import choose_device, choose_precision
from .config import TrainConfig, choose_kernels
from .data import DOMAINS, Batch, FaceSet, Sampler, prefetched
from .loop import peak_memory_mb
from .step import Trainer, memory_explained

WARM_UP = 3  # steps: a compiled network is compiled in the first, and CUDA graphs are recorded in the second
FACES = 16  # random ones, in each domain
PARTS = ("data", "generators", "discriminators", "optimiser")


def bench(config: TrainConfig, steps: int) -> dict[str, Any]:
    """Time `steps` updates on random faces, after a warm-up; then where the time goes, and operations.

    Returns the settings, `seconds_per_step` (median), `peak_memory_mb` (MiB: the GPU's, the process's on a CPU),
    `gflop_per_step` (convolutions and matrix products; a multiply-add counts as two), `gflop_per_second`,
    `matrix_gflop_per_second` (what a large matrix product reaches here, in this precision or fp32),
    `share_of_matrix_rate`, and `seconds_by_part`: `data` (waiting for faces), `generators` (with the gradients that
    come to them through the discriminators), `discriminators`, `optimiser` (both, and the average). The parts are timed
    in steps of their own, one after the other, so on a GPU they come to more than a step.
    """
    with memory_explained(config), choose_kernels(config.deterministic):
        return _bench(config, steps)


def _bench(config: TrainConfig, steps: int) -> dict[str, Any]:
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    trainer = Trainer(config, device, precision)
    samplers = [Sampler(_random_faces(config, domain), config.size, config.seed) for domain in DOMAINS]

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def draw(step: int) -> list[Batch]:
        return [sampler.batch(step, config.batch) for sampler in samplers]

    with closing(prefetched(draw, 0)) as batches:
        number = 0

        def update() -> float:
            nonlocal number
            started = time.perf_counter()
            faces = next(batches)
            trainer.lap("data")
            trainer.step(number, *faces)
            wait()
            number += 1
            return time.perf_counter() - started

        for _ in range(WARM_UP):
            update()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        seconds = statistics.median(update() for _ in range(steps))
        memory = peak_memory_mb(device)
        parts = _by_part(trainer, update, wait, steps)
        with FlopCounterMode(display=False) as counter:
            update()
    gflop = counter.get_total_flops() / 1e9
    rate = max(matrix_rate(device, kind) for kind in {precision, torch.float32})  # fp16 on a CPU is slower than fp32
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
        "matrix_gflop_per_second": round(rate, 1),
        "share_of_matrix_rate": round(gflop / seconds / rate, 3),
        "seconds_by_part": {name: round(value, 5) for name, value in parts.items()},
    }


def _random_faces(config: TrainConfig, domain: str) -> FaceSet:
    faces = FaceSet("", domain, "train", config.size)  # there are none in this folder
    random = torch.Generator().manual_seed(config.seed)
    channels = 4 if config.discriminator_input == "face" else 3
    pixels = torch.randint(0, 256, (FACES, channels, config.size, config.size), generator=random, dtype=torch.uint8)
    faces.images, faces.masks = pixels[:, :3], pixels[:, 3:] if channels == 4 else None
    return faces


def _by_part(trainer: Trainer, update: Callable[[], float], wait: Callable[[], None], steps: int) -> dict[str, float]:
    """Seconds a step spends in each part, the median of `steps` steps."""
    rounds: list[dict[str, float]] = []
    started = 0.0

    def lap(part: str) -> None:
        nonlocal started
        wait()
        now = time.perf_counter()
        rounds[-1][part] += now - started
        started = now

    trainer.lap = lap
    for _ in range(steps):
        rounds.append(dict.fromkeys(PARTS, 0.0))
        started = time.perf_counter()
        update()
    trainer.lap = lambda part: None
    return {part: statistics.median(found[part] for found in rounds) for part in PARTS}


def matrix_rate(device: torch.device, precision: torch.dtype, rounds: int = 5) -> float:
    """GFLOP/s of a product of two square matrices, the best of several: what this device can do at most."""
    side = 8192 if device.type == "cuda" else 1024
    one, other = (torch.randn(side, side, device=device, dtype=precision) for _ in range(2))
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        product = one @ other
        product[0, 0].item()  # waits for the device
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds[1:]) / 1e9
