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


class ReflectionPad(nn.Module):
    """Mirrors `padding` pixels at each side: (B, C, H, W) becomes (B, C, H + 2 padding, W + 2 padding)."""

    def __init__(self, padding: int):
        super().__init__()
        self.padding = padding

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, C, H, W), in any precision, which stays."""
        return padded(features, self.padding)


def padded(features: Tensor, padding: int, mode: Literal["reflect", "replicate"] = "reflect") -> Tensor:
    """features: (B, C, H, W), in any precision, which stays. Returns (B, C, H + 2 padding, W + 2 padding).

    "reflect" mirrors at the outermost pixel, "replicate" repeats it (`padding` 1 only).
    """
    if torch.is_grad_enabled() and features.requires_grad:
        return _Padded.apply(features, padding, mode)
    return _padded(features, padding, mode)


class _Padded(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, features: Tensor, padding: int, mode: str) -> Tensor:
        context.padding, context.mode = padding, mode
        return _padded(features, padding, mode)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        padding, mode = context.padding, context.mode
        if gradient.is_cuda and torch.are_deterministic_algorithms_enabled():
            return folded(folded(gradient, padding, 2, mode), padding, 3, mode), None, None
        inside = gradient[:, :, padding:-padding, padding:-padding]  # of its input's shape and layout, in no new memory
        back = {
            "reflect": torch.ops.aten.reflection_pad2d_backward,
            "replicate": torch.ops.aten.replication_pad2d_backward,
        }
        return back[mode](gradient, inside, [padding] * 4), None, None


def _padded(features: Tensor, padding: int, mode: str) -> Tensor:
    with no_autocast(features):
        return F.pad(features, [padding] * 4, mode=mode)


def folded(gradient: Tensor, padding: int, dim: int, mode: str = "reflect") -> Tensor:
    """The gradient of a padding along one dimension: each row's copy is added to that of its original."""
    length = gradient.shape[dim] - 2 * padding
    first = 1 if mode == "reflect" else 0
    result = gradient.narrow(dim, padding, length).clone()
    result.narrow(dim, first, padding).add_(gradient.narrow(dim, 0, padding).flip(dim))
    result.narrow(dim, length - first - padding, padding).add_(
        gradient.narrow(dim, length + padding, padding).flip(dim)
    )
    return result
