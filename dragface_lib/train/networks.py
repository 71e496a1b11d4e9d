"""The six networks of a run, their optimisers, and the augmentation of the discriminators' input.

With `--diff-augment`, for small sets of faces, discriminators see faces moved and partly cut out (DiffAugment, Zhao et
al., NeurIPS 2020, arXiv:2006.10738). Real and generated faces alike, and generators learn through it, so discriminators
cannot learn the set by heart. Of its three parts colour stays off: colour is make-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..model.discriminator import LOCAL_LAYERS, Discriminator, global_layers
from ..model.generator import Generator
from ..model.norms import no_autocast
from .config import TrainConfig
from .data import random_of

REACH = 1 / 8  # largest shift of a face, as a share of its size
HOLE = 1 / 2  # side of the square that is cut out, as a share of the size
PURPOSES = tuple(f"{domain} {purpose}" for domain in ("drag", "selfie") for purpose in ("real", "fake", "fooling"))


class Networks(nn.Module):
    """The six networks of a run: a generator for each direction, a global and a local discriminator for each domain."""

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


def optimiser_of(networks: nn.Module, config: TrainConfig, device: torch.device) -> torch.optim.Adam:
    """Adam for these networks on their device."""
    return torch.optim.Adam(
        networks.parameters(),
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        fused=device.type in ("cuda", "cpu"),
        capturable=device.type == "cuda",
    )


def load_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load the moments into each parameter's layout; settings stay those of this run."""
    groups = [group | optimiser.defaults for group in state["param_groups"]]
    optimiser.load_state_dict(state | {"param_groups": groups})
    for parameter, moments in optimiser.state.items():
        for name in ("exp_avg", "exp_avg_sq"):
            moments[name] = torch.empty_like(parameter, requires_grad=False).copy_(moments[name])


def draws(seed: int, first: int, count: int) -> Float[Tensor, "purposes count 4"]:
    """Four random numbers in 0..1 for each purpose and face: how far across, how far down, the hole's left, its top.

    A pure function of seed, purpose and the number of each face (`first`: the first face's), so that a resumed run sees
    the same as an uninterrupted run.
    """
    rows = [
        [torch.rand(4, generator=random_of(seed, purpose, first + n)) for n in range(count)] for purpose in PURPOSES
    ]
    return torch.stack([torch.stack(row) for row in rows])


def augmented(
    faces: Float[Tensor, "batch 3 size size"], drawn: Float[Tensor, "batch 4"]
) -> Float[Tensor, "batch 3 size size"]:
    """The faces, shifted by up to an eighth over grey (zeros), and with a grey square of half the size.

    drawn: numbers in 0..1, see `draws`. Differentiable.
    """
    size = faces.shape[-1]
    reach, hole = round(size * REACH), round(size * HOLE)
    drawn = drawn[:, :, None, None]  # (B, 4, 1, 1)
    across, down = ((drawn[:, n] * (2 * reach + 1)).floor() - reach for n in (0, 1))  # (B, 1, 1)
    left, top = (
        (drawn[:, n] * (size + 1)).floor() - hole // 2 for n in (2, 3)
    )  # the hole's middle lies anywhere in the face
    column = torch.arange(size, device=faces.device, dtype=drawn.dtype)
    row = column[:, None]
    # Products with shift matrices of ones and zeros are exact, and their gradients on a GPU are deterministic.
    downward, sideways = column == row - down, row == column - across  # (B, size, size)
    keep = (row < top) | (row >= top + hole) | (column < left) | (column >= left + hole)
    with no_autocast(faces):
        moved = downward[:, None].to(faces.dtype) @ faces @ sideways[:, None].to(faces.dtype)
    return moved * keep[:, None]
