"""The library's training step against the published one, side by side in one process, in alternating rounds.

    python tests/benchmarks/step.py [--size 128] [--channels 32] [--precision fp32 bf16] [--rounds 5]

Prints a line a contestant: seconds a step (median), how many times faster than published, GFLOP a step, and on a
GPU the peak memory. Run by hand, on a machine that does nothing else.
"""

# ruff: noqa: E402
from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]  # run as a script, from anywhere
from benchmarks.published_step import PublishedStep

from dragface_lib.model.discriminator import global_layers
from dragface_lib.train.config import TrainConfig, choose_device, choose_precision
from dragface_lib.train.step import Trainer


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    device = choose_device(options.device)
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    selfie, drag = (torch.rand(1, 3, options.size, options.size) * 2 - 1 for _ in range(2))

    contestants = {}
    depth = global_layers(options.size)
    published = PublishedStep(options.size, options.channels, not options.full, depth, device)
    contestants["published"] = lambda number: published.step(selfie.to(device), drag.to(device))
    for precision in options.precision:
        config = TrainConfig("", "", size=options.size, channels=options.channels, light=not options.full)
        trainer = Trainer(config, device, choose_precision(precision, device))
        contestants[precision] = lambda number, trainer=trainer: trainer.step(number, selfie, drag)

    def timed(name: str, number: int) -> tuple[float, float]:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
        started = time.perf_counter()
        contestants[name](number)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - started
        # Above what all contestants hold: the weights of the others are no part of this one's step.
        return seconds, (torch.cuda.max_memory_allocated(device) - held) / 2**20 if device.type == "cuda" else 0.0

    measured = {name: [] for name in contestants}
    for number in range(options.rounds + 2):
        for name in contestants:
            measured[name].append(timed(name, number))
    found = {}
    for name, rounds in measured.items():
        with FlopCounterMode(display=False) as counter:
            contestants[name](options.rounds + 2)
        seconds = statistics.median(seconds for seconds, _ in rounds[2:])
        found[name] = {
            "seconds_per_step": round(seconds, 4),
            "gflop_per_step": round(counter.get_total_flops() / 1e9, 1),
            "transient_memory_mb": round(max(memory for _, memory in rounds[2:]), 1),
        }
    for name, row in found.items():
        row["times_faster"] = round(found["published"]["seconds_per_step"] / row["seconds_per_step"], 2)
        print(f"{name:>10}  " + "  ".join(f"{key.replace('_', ' ')} {value}" for key, value in row.items()))
    about = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    print(json.dumps({"device": about, "torch": str(torch.__version__), **vars(options), "found": found}))


if __name__ == "__main__":
    main()
