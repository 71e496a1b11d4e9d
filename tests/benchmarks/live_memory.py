"""How much memory tensors hold at once: counted on any device, also for networks that are never computed.

    peak_of_step(TrainConfig("", "", size=256), torch.float16)   # bytes

Counts every storage from its creation to its end; what an allocator rounds up and what kernels need for
themselves (workspaces of cuDNN) is not in it.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from benchmarks.published_step import PublishedStep
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from dragface_lib.model.discriminator import global_layers
from dragface_lib.train.config import TrainConfig
from dragface_lib.train.data import Batch
from dragface_lib.train.step import Trainer


class LiveMemory(TorchDispatchMode):
    """live and peak: bytes in storages that an operation inside the block returned first."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self._known: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        found = function(*arguments, **(options or {}))
        for tensor in pytree.tree_leaves(found):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return found

    def _count(self, storage: torch.UntypedStorage) -> None:
        place = storage._cdata
        if place in self._known:
            return
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)

        def ended(_: object) -> None:
            self.live -= size
            del self._known[place]

        self._known[place] = weakref.ref(storage, ended)


@contextmanager
def imagined() -> Iterator[LiveMemory]:
    """Networks made inside are computed in shapes alone: a full model's step takes seconds and no memory."""

    def to(module: nn.Module, device=None, memory_format=torch.preserve_format) -> nn.Module:
        for part in module.modules():  # PyTorch's own cannot move what is only imagined
            for name, weight in part._parameters.items():
                if weight is not None:
                    layout = memory_format if weight.dim() == 4 else torch.preserve_format
                    part._parameters[name] = nn.Parameter(weight.detach().clone(memory_format=layout))
        return module

    original = nn.Module.to
    nn.Module.to = to
    try:
        with FakeTensorMode() as mode, LiveMemory() as memory:
            mode.__deepcopy__ = lambda _: mode  # copies of networks stay in it
            yield memory
    finally:
        nn.Module.to = original


def peak_of_step(config: TrainConfig, precision: torch.dtype) -> int:
    """Bytes that this project's training holds at most, weights and optimisers included."""
    with imagined() as memory:
        trainer = Trainer(config, torch.device("cpu"), precision)
        faces = [Batch(faces) for faces in torch.rand(2, config.batch, 3, config.size, config.size)]
        for step in range(2):  # in the first the optimisers get their moments
            trainer.step(step, *faces)
    return memory.peak


def peak_of_published_step(size: int, channels: int) -> int:
    """The same of UGATIT-pytorch's step, light, batch 1, in fp32."""
    with imagined() as memory:
        published = PublishedStep(size, channels, True, global_layers(size), torch.device("cpu"))
        for _ in range(2):
            with suppress(DataDependentOutputException):  # it ends by reading losses, which are only imagined
                published.step(*torch.rand(2, 1, 3, size, size))
    return memory.peak
