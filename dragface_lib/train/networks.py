"""The six networks of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn

from ..model.discriminator import LOCAL_LAYERS, Discriminator, global_layers
from ..model.generator import Generator
from .config import TrainConfig


class Networks(nn.Module):
    """The six networks of a run: a generator a direction, a global and a local discriminator a domain."""

    def __init__(self, config: TrainConfig, make_generator: Callable[..., Generator] = Generator):
        super().__init__()
        architecture = config.architecture()
        self.selfie_to_drag, self.drag_to_selfie = make_generator(**architecture), make_generator(**architecture)
        depth = global_layers(config.size)
        self.drag_global, self.selfie_global = (
            Discriminator(config.channels, depth, config.discriminator_gain) for _ in range(2)
        )
        self.drag_local, self.selfie_local = (
            Discriminator(config.channels, LOCAL_LAYERS, config.discriminator_gain) for _ in range(2)
        )

    def generators(self) -> nn.ModuleList:
        """Both generators."""
        return nn.ModuleList([self.selfie_to_drag, self.drag_to_selfie])

    def discriminators(self) -> nn.ModuleList:
        """All four discriminators."""
        return nn.ModuleList([self.drag_global, self.drag_local, self.selfie_global, self.selfie_local])


@contextmanager
def frozen(networks: nn.Module) -> Iterator[None]:
    """No gradients for these weights, and no power iteration of their spectral norms."""
    networks.requires_grad_(False).eval()
    try:
        yield
    finally:
        networks.requires_grad_(True).train()
