"""Several processes that train one run together, a GPU each (the -- keeps torchrun from reading our options):

    torchrun --nproc-per-node=2 -m -- dragface_lib train --faces faces --run runs/first

Each process takes its share of the faces of a step, and their gradients are averaged: two processes with a batch of 1
are one process with a batch of 2. Process 0 alone writes and prints. Without torchrun there is that one alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch import distributed as dist

from ..errors import DragFaceError


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
    """How many processes train the run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def barrier() -> None:
    """Wait until every process has come here."""
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
