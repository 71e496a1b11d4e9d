"""The reflection padding that U-GAT-IT puts before every convolution, without what PyTorch's own costs.

PyTorch's keeps its input for the gradient, which needs no more of it than its shape; under autocast on a CPU it works
in fp32 on features that the convolution then wants in bf16; and on a GPU its gradient is not deterministic.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .norms import as_it_is


class ReflectionPad(nn.Module):
    """Mirrors `padding` pixels at each side: (B, C, H, W) becomes (B, C, H + 2 padding, W + 2 padding)."""

    def __init__(self, padding: int):
        super().__init__()
        self.padding = padding

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, C, H, W), in any precision, which stays."""
        if torch.is_grad_enabled() and features.requires_grad:
            return _Reflection.apply(features, self.padding)
        return _reflected(features, self.padding)


class _Reflection(torch.autograd.Function):
    @staticmethod
    def forward(context, features: Tensor, padding: int) -> Tensor:
        context.padding = padding
        return _reflected(features, padding)

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None]:
        padding = context.padding
        if gradient.is_cuda and torch.are_deterministic_algorithms_enabled():
            return folded(folded(gradient, padding, 2), padding, 3), None
        inside = gradient[:, :, padding:-padding, padding:-padding]  # of its input's shape and layout, in no new memory
        return torch.ops.aten.reflection_pad2d_backward(gradient, inside, [padding] * 4), None


def _reflected(features: Tensor, padding: int) -> Tensor:
    with as_it_is(features):
        return F.pad(features, [padding] * 4, mode="reflect")


def folded(gradient: Tensor, padding: int, dim: int) -> Tensor:
    """The gradient of a reflection along one dimension: each mirrored row's is added to that of its original."""
    length = gradient.shape[dim] - 2 * padding
    result = gradient.narrow(dim, padding, length).clone()
    result.narrow(dim, 1, padding).add_(gradient.narrow(dim, 0, padding).flip(dim))
    result.narrow(dim, length - 1 - padding, padding).add_(gradient.narrow(dim, length + padding, padding).flip(dim))
    return result
