"""Pictures as tensors in -1..1, which the networks take and give, and back."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor


def to_unit(images: Tensor) -> Float[Tensor, "batch channels height width"]:
    """uint8 0..255 to float -1..1."""
    return images.float() / 127.5 - 1


def to_bytes(faces: Float[Tensor, "batch 3 height width"]) -> np.ndarray:
    """Float -1..1 to (batch, height, width, 3) uint8 RGB."""
    return ((faces.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
