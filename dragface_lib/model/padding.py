"""The reflection padding that U-GAT-IT puts before every convolution, without what PyTorch's own costs.

PyTorch's keeps its input for the gradient, which needs no more of it than its shape; under autocast on a CPU it works
in fp32 on features that the convolution then wants in bf16; and on a GPU its gradient is not deterministic. The same
holds of its replication padding.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .norms import no_autocast

Mode = Literal["reflect", "replicate"]


class ReflectionPad(nn.Module):
    """Mirrors `padding` pixels at each side: (B, C, H, W) becomes (B, C, H + 2 padding, W + 2 padding)."""

    def __init__(self, padding: int):
        super().__init__()
        self.padding = padding

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, C, H, W), in any precision, which stays."""
        return padded(features, self.padding)


def padded(features: Tensor, padding: int, mode: Mode = "reflect") -> Tensor:
    """features: (B, C, H, W), in any precision, which stays. Returns (B, C, H + 2 padding, W + 2 padding).

    "reflect" mirrors at the outermost pixel, "replicate" repeats it (`padding` 1 only).
    """
    return _Padded.apply(features, padding, mode)


class _Padded(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, features: Tensor, padding: int, mode: Mode) -> Tensor:
        context.padding, context.mode = padding, mode
        with no_autocast(features):
            return F.pad(features, [padding] * 4, mode=mode)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        padding, mode = context.padding, context.mode
        if gradient.is_cuda and torch.are_deterministic_algorithms_enabled():
            return folded(folded(gradient, padding, 2, mode), padding, 3, mode), None, None
        inside = gradient[:, :, padding:-padding, padding:-padding]  # of its input's shape and layout, in no new memory
        aten = torch.ops.aten
        back = aten.reflection_pad2d_backward if mode == "reflect" else aten.replication_pad2d_backward
        return back(gradient, inside, [padding] * 4), None, None


def folded(gradient: Tensor, padding: int, dim: int, mode: Mode = "reflect") -> Tensor:
    """The gradient of a padding along one dimension: each row's copy is added to that of its original."""
    before, inside, after = gradient.split([padding, gradient.shape[dim] - 2 * padding, padding], dim)
    first = 1 if mode == "reflect" else 0
    last = inside.shape[dim] - first - padding
    result = inside.clone()
    result.narrow(dim, first, padding).add_(before.flip(dim))
    result.narrow(dim, last, padding).add_(after.flip(dim))
    return result
