"""DiffAugment (Zhao et al., NeurIPS 2020, arXiv:2006.10738): what discriminators see is moved and partly cut out.

Real and generated faces alike, and generators learn through it, so discriminators cannot learn a small set of
faces by heart. Of its three parts colour stays off: colour is make-up. For runs with `--diff-augment`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..model.norms import no_autocast
from .data import random_of

REACH = 1 / 8  # of the size: how far a face is moved at most
HOLE = 1 / 2  # of the size: a side of what is cut out
PURPOSES = tuple(f"{domain} {purpose}" for domain in ("drag", "selfie") for purpose in ("real", "fake", "fooling"))


def draws(seed: int, first: int, count: int) -> Float[Tensor, "purposes count 4"]:
    """Four random numbers in 0..1 for each purpose and face: how far across, how far down, the hole's left, its top.

    A pure function of seed, purpose and the number of each face (`first` is that of the first one), so that a resumed
    run sees what an uninterrupted one would have seen.
    """
    rows = [
        [torch.rand(4, generator=random_of(seed, purpose, first + n)) for n in range(count)] for purpose in PURPOSES
    ]
    return torch.stack([torch.stack(row) for row in rows])


def augmented(
    faces: Float[Tensor, "batch 3 size size"], drawn: Float[Tensor, "batch 4"]
) -> Float[Tensor, "batch 3 size size"]:
    """The faces moved by up to an eighth, zeros (grey) coming in, and with a grey square of half the size.

    drawn: in 0..1, as `draws` has them for one purpose. Differentiable.
    """
    size = faces.shape[-1]
    reach, hole = round(size * REACH), round(size * HOLE)
    drawn = drawn[:, :, None, None]  # (B, 4, 1, 1)
    across, down = ((drawn[:, n] * (2 * reach + 1)).floor() - reach for n in (0, 1))  # (B, 1, 1)
    left, top = ((drawn[:, n] * (size + 1)).floor() - hole // 2 for n in (2, 3))  # its middle lies anywhere in the face
    column = torch.arange(size, device=faces.device, dtype=drawn.dtype)
    row = column[:, None]
    # Matrices of ones and zeros that move: exact, and a GPU computes their gradients the same way each time.
    downward, sideways = column == row - down, row == column - across  # (B, size, size)
    keep = (row < top) | (row >= top + hole) | (column < left) | (column >= left + hole)
    with no_autocast(faces):
        moved = downward[:, None].to(faces.dtype) @ faces @ sideways[:, None].to(faces.dtype)
    return moved * keep[:, None]
