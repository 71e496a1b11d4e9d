"""Several processes that train one run together, a GPU each (the -- keeps torchrun from reading our options):

    torchrun --nproc-per-node=2 -m -- dragface_lib train --faces faces --run runs/first

Each takes its share of the faces of a step, their gradients are averaged, and all end the step with the same
weights: two processes with a batch of 1 are one process with a batch of 2. The first leads: it alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from ..errors import DragFaceError


@dataclass(frozen=True)
class Team:
    """One of `count` processes; rank 0 leads."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes. Waits for them."""
        if self.count > 1:
            dist.all_reduce(values)
        return values / self.count

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set in any process. Waits for them."""
        return flag if self.count == 1 else self.mean(torch.tensor(float(flag), device=device)).item() > 0

    def wait(self) -> None:
        """Until every process has come here."""
        if self.count > 1:
            dist.barrier()


ALONE = Team()


@contextmanager
def gathered(device: torch.device) -> Iterator[tuple[Team, torch.device]]:
    """This process's team, as torchrun's environment describes it, and its own device.

    Raises DragFaceError where there are more processes than GPUs.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE, device
        return
    if device.type == "cuda":
        place, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= gpus:
            raise DragFaceError(f"There are more processes than GPUs ({gpus}): use --nproc-per-node={gpus}.")
        device = torch.device("cuda", place)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Team(dist.get_rank(), count), device
    finally:
        dist.destroy_process_group()
