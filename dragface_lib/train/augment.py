"""DiffAugment (Zhao et al., NeurIPS 2020, arXiv:2006.10738): what discriminators see is moved and partly cut out.

Real and generated faces alike, and generators learn through it, so discriminators cannot learn a small set of
faces by heart. Of its three parts colour stays off: colour is make-up. For runs with `--diff-augment`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from .data import random_of

REACH = 1 / 8  # of the size: how far a face is moved at most
HOLE = 1 / 2  # of the size: a side of what is cut out


def augmented(
    faces: Float[Tensor, "batch 3 size size"], seed: int, purpose: str, first: int
) -> Float[Tensor, "batch 3 size size"]:
    """The faces moved by up to an eighth, zeros (grey) coming in, and with a grey square of half the size.

    A pure function of faces, seed, purpose and the number of each face (`first` is that of the first one), so
    that a resumed run sees what an uninterrupted one would have seen. Differentiable.
    """
    return torch.cat([_augmented(face, seed, purpose, first + n) for n, face in enumerate(faces.split(1))])


def _augmented(face: Tensor, seed: int, purpose: str, number: int) -> Tensor:
    size = face.shape[-1]
    reach, hole = round(size * REACH), round(size * HOLE)
    across, down, left, top = torch.rand(4, generator=random_of(seed, purpose, number)).tolist()
    across, down = (int(place * (2 * reach + 1)) - reach for place in (across, down))
    left, top = (int(place * (size + 1)) - hole // 2 for place in (left, top))  # its middle lies anywhere in the face
    moved = F.pad(face, [across, -across, down, -down])
    keep = torch.ones(1, 1, size, size)
    keep[..., max(top, 0) : top + hole, max(left, 0) : left + hole] = 0
    return moved * keep.to(face.device, face.dtype, non_blocking=True)
