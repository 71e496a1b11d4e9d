"""The device of a run, its precision, and several processes with a GPU each.

    torchrun --nproc-per-node=2 -m -- dragface_lib train --faces faces --run runs/first

(The -- keeps torchrun from reading our options.) Each process takes its share of the faces of a step, and their
gradients are averaged: two processes with a batch of 1 are one process with a batch of 2. Process 0 alone writes and
prints. Without torchrun there is only process 0.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor
from torch import distributed as dist

from .errors import DragFaceError

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def choose_device(name: str) -> torch.device:
    """The device to compute on; "auto" takes CUDA, then Apple's MPS, then the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if not re.fullmatch(r"(cuda|mps|cpu)(:\d{1,2})?", name):
        raise DragFaceError(f"The device {name!r} is unknown: use auto, cuda, mps or cpu.")
    device = torch.device(name)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DragFaceError("There is no Apple GPU here: use --device cpu.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DragFaceError(
            "There is no CUDA GPU here: use --device cpu, or switch the GPU on in Colab's Runtime menu."
        )
    return device


def choose_precision(name: Precision, device: torch.device) -> torch.dtype:
    """The dtype of autocast. "auto": bf16 where the GPU has it (not emulated), else fp16; fp32 on a CPU."""
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


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
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that torchrun started; yields the device of this one. Raises DragFaceError without enough."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    if device.type == "cuda":
        device, gpus = torch.device("cuda", int(os.environ["LOCAL_RANK"])), torch.cuda.device_count()
        if device.index >= gpus:
            raise DragFaceError(f"There are more processes than GPUs ({gpus}): use --nproc-per-node={gpus}.")
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """The number of processes that train the run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def barrier() -> None:
    """Wait until every process reaches this line."""
    if world_size() > 1:
        dist.barrier()


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of each value over all processes. Waits for them."""
    if world_size() > 1:
        dist.all_reduce(values)
    return values / world_size()


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set in any process. Waits for all of them."""
    return flag if world_size() == 1 else mean_over_processes(torch.tensor(float(flag), device=device)).item() > 0
