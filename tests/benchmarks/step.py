"""The library's training step against the published one, in one process: one command prints the whole table.

    python tests/benchmarks/step.py                                        128 px, 32 channels, fp32 and bf16
    python tests/benchmarks/step.py --size 256 --channels 64 \\
        --precision fp32 bf16 fp16                                         what to run on a GPU

One row each: seconds a step (median), how many times faster than published, operations and GFLOP a step, the share of
the rate that this device's matrix products reach, and the peak of memory. On a CPU the steps take turns, round by
round, so that the ratio holds while other programs come and go, and the peak is counted tensor by tensor. On a GPU
each precision has two rows, eager and replayed as a CUDA graph; each row has the device for itself, and the peak is
what was allocated.
"""

# ruff: noqa: E402
from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]  # run as a script, from anywhere
from benchmarks.live_memory import peak_of_published_step, peak_of_step
from benchmarks.published_step import PublishedStep

from dragface_lib.devices import choose_device, choose_precision
from dragface_lib.model.discriminator import global_layers
from dragface_lib.train import graph
from dragface_lib.train.bench import CountOperations
from dragface_lib.train.config import TrainConfig
from dragface_lib.train.data import Batch
from dragface_lib.train.step import Trainer

WARM_UP = 3
Step = Callable[[int], object]


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--full", action="store_true", help="without the published step, which needs 14 GiB for it")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true", help="not the clock's: for a CPU that others use as well")
    options = parser.parse_args()
    clock = time.process_time if options.cpu_time else time.perf_counter
    device = choose_device(options.device)
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    faces = torch.rand(2, 1, 3, options.size, options.size) * 2 - 1

    def config(replayed: bool = False) -> TrainConfig:
        architecture = {"size": options.size, "channels": options.channels, "light": not options.full}
        return TrainConfig("", "", discriminator_input="picture", graph=replayed, **architecture)

    def published() -> Step:
        step = PublishedStep(options.size, options.channels, True, global_layers(options.size), device).step
        return lambda number: step(*faces.to(device))

    def ours(precision: str, replayed: bool) -> Step:
        trainer = Trainer(config(replayed), device, choose_precision(precision, device))
        return lambda number: trainer.step(number, Batch(faces[0]), Batch(faces[1]))

    ways = {} if options.full else {"published, fp32": published}
    kinds = {}
    for precision in options.precision:
        for replayed in (False, True) if device.type == "cuda" else (False,):
            name = f"{precision}, replayed" if replayed else precision
            ways[name] = lambda precision=precision, replayed=replayed: ours(precision, replayed)
            kinds[name] = choose_precision(precision, device)

    measured, memory, gflop, operations = {}, {}, {}, {}
    together = device.type == "cpu"
    warm_up = WARM_UP if together else WARM_UP + graph.WARM_UP
    steps = {name: make() for name, make in ways.items()} if together else {}
    for group in [list(ways)] if together else [[name] for name in ways]:
        if not together:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
            steps = {name: ways[name]() for name in group}
        rounds = range(warm_up + options.rounds)
        seconds = [[timed(steps[name], number, device, clock) for name in group] for number in rounds]
        for name, column in zip(group, zip(*seconds, strict=True), strict=True):
            measured[name] = column[warm_up:]
            memory[name] = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
            with FlopCounterMode(display=False) as flops, CountOperations() as counter:
                steps[name](warm_up + options.rounds)
            eager = name.removesuffix(", replayed")  # a replay shows neither
            gflop[name] = gflop.get(eager, flops.get_total_flops() / 1e9)
            operations[name] = operations.get(eager, counter.count)
        steps = {}
        gc.collect()
    if together:
        memory = {
            name: peak_of_step(config(), kinds[name])
            if name in kinds
            else peak_of_published_step(options.size, options.channels)
            for name in ways
        }

    rates = {kind: matrix_rate(device, kind) for kind in {torch.float32, *kinds.values()}}
    found = {}
    for name in ways:
        seconds = statistics.median(measured[name])
        first = next(iter(found.values()), None)
        found[name] = {
            "seconds a step": round(seconds, 4),
            "times faster": 1.0 if first is None else round(first["seconds a step"] / seconds, 2),
            "operations": operations[name],
            "GFLOP a step": round(gflop[name], 1),
            "GFLOP/s": round(gflop[name] / seconds, 1),
            "share of matrix rate": round(gflop[name] / seconds / rates[kinds.get(name, torch.float32)], 3),
            "peak MiB": round(memory[name] / 2**20),
            "memory, share": 1.0 if first is None else round(memory[name] / 2**20 / first["peak MiB"], 3),
        }
    print("| | " + " | ".join(next(iter(found.values()))) + " |")
    print("|---" * (1 + len(next(iter(found.values())))) + "|")
    for name, row in found.items():
        print(f"| {name} | " + " | ".join(f"{value:,}" for value in row.values()) + " |")
    about = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    matrix = {str(kind).removeprefix("torch."): round(rate, 1) for kind, rate in rates.items()}
    print(json.dumps({"device": about, "torch": str(torch.__version__), "matrix GFLOP/s": matrix, **vars(options)}))


def matrix_rate(device: torch.device, precision: torch.dtype) -> float:
    """GFLOP/s of a product of two square matrices, the best of five: what this device can do at most."""
    side = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device, dtype=precision) for _ in range(2))
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        product = left @ right
        product[0, 0].item()  # waits for the device
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds[1:]) / 1e9


def timed(step: Step, number: int, device: torch.device, clock: Callable[[], float]) -> float:
    """Seconds that a step takes."""
    started = clock()
    step(number)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started


if __name__ == "__main__":
    main()
