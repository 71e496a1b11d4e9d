"""Spectral normalisation (Miyato et al., 2018): a weight is divided by its largest singular value, sigma.

The power iterations of all layers of a network run together, since each is a few operations on short vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .norms import Features, no_autocast


class SpectralNorm(nn.Module):
    """u and v of a weight W seen as a matrix (outputs, everything else): sigma = u . W v (Miyato et al., 2018).

    v is in the order in which the weight lies in memory.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor):
        super().__init__()
        rows = weight.flatten(1)
        self.register_buffer("u", F.normalize(torch.randn(rows.shape[0]), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(rows.shape[1]), dim=0))


class SpectralConv2d(nn.Conv2d):
    """A convolution whose features are scaled by gain / sigma instead of its kernel.

    That is the same, and a discriminator's kernel has many times more numbers than its features.
    """

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.sigma = SpectralNorm(self.weight)

    def forward(self, features: Tensor, factor: Tensor, weight: Tensor) -> Tensor:  # type: ignore[override]
        """features: (B, C, H, W). factor, weight: see `spectral_factors`."""
        return _ScaleAndShift.apply(self._conv_forward(features, weight, None), factor, self.bias)


class SpectralLinear(nn.Linear):
    """The same for a linear layer without bias."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, bias=False)
        self.sigma = SpectralNorm(self.weight)

    def forward(self, features: Tensor, factor: Tensor, weight: Tensor) -> Tensor:  # type: ignore[override]
        """features: (B, inputs). factor, weight: see `spectral_factors`."""
        return F.linear(features, weight) * factor


def spectral_factors(layers: Sequence[SpectralConv2d | SpectralLinear], gain: float) -> list[tuple[Tensor, Tensor]]:
    """gain / sigma of each layer, and its weight in the precision of autocast.

    In training mode sigma follows one power iteration, in fp32 even under autocast: in half precision it would drift.
    """
    weights: list[Tensor] = [layer.weight for layer in layers]
    device = weights[0].device.type
    halved = torch.is_autocast_enabled(device)
    with no_autocast(weights[0]):
        factors, *rounded = _Factors.apply(layers, gain, torch.get_autocast_dtype(device) if halved else None, *weights)
    return list(zip(factors.unbind(), rounded or weights, strict=True))


class _Factors(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any,
        layers: Sequence[SpectralConv2d | SpectralLinear],
        gain: float,
        precision: torch.dtype | None,
        *weights: Tensor,
    ) -> tuple[Tensor, ...]:
        u, v = [layer.sigma.u for layer in layers], [layer.sigma.v for layer in layers]
        # (outputs, everything else in the order in which it lies in memory), which needs no copy.
        shapes = [(len(weight), weight[0].numel()) for weight in weights]
        matrices = [weight.as_strided(shape, (shape[1], 1)) for weight, shape in zip(weights, shapes, strict=True)]
        if layers[0].training:
            previous = u, v
            v, _ = _normalised([matrix.t().mv(vector) for matrix, vector in zip(matrices, u, strict=True)])
            u, sigmas = _normalised([matrix.mv(vector) for matrix, vector in zip(matrices, v, strict=True)])
            torch._foreach_copy_(previous[0] + previous[1], u + v)
        else:
            sigmas = [torch.dot(left, matrix.mv(right)) for left, matrix, right in zip(u, matrices, v, strict=True)]
        factors = gain / torch.stack(sigmas)
        context.gain, context.layouts = gain, [(weight.shape, weight.stride()) for weight in weights]
        context.save_for_backward(factors, *u, *v)
        if precision is None:
            return (factors,)
        rounded = [torch.empty_like(weight, dtype=precision) for weight in weights]
        torch._foreach_copy_(rounded, weights)
        return factors, *rounded

    @staticmethod
    def backward(context: Any, gradient: Tensor, *of_rounded: Tensor) -> tuple[Tensor | None, ...]:
        """Sigma's gradient is u v^T; that of the rounded weights is added to it."""
        factors, *vectors = context.saved_tensors
        count = len(factors)
        of_sigmas = (gradient * factors).mul_(factors).mul_(-1 / context.gain)
        scaled = torch._foreach_mul(vectors[:count], list(of_sigmas.unbind()))
        outer = [torch.outer(*pair) for pair in zip(scaled, vectors[count:], strict=True)]
        of_weights = [matrix.as_strided(*layout) for matrix, layout in zip(outer, context.layouts, strict=True)]
        if of_rounded:
            exact = [torch.empty_like(weight) for weight in of_weights]
            torch._foreach_copy_(exact, of_rounded)
            torch._foreach_add_(of_weights, exact)
        return None, None, None, *of_weights


def _normalised(vectors: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """The vectors with length 1, and the lengths that they had."""
    lengths = list(torch._foreach_norm(vectors))
    return list(torch._foreach_div(vectors, list(torch._foreach_clamp_min(lengths, 1e-12)))), lengths


class _ScaleAndShift(torch.autograd.Function):
    """features * factor + bias, in the features' precision."""

    @staticmethod
    def forward(context: Any, features: Features, factor: Float[Tensor, ""], bias: Tensor | None) -> Features:
        context.save_for_backward(features, factor)
        with no_autocast(features):
            if bias is None:
                return features * factor
            return torch.addcmul(bias[:, None, None].to(features.dtype), features, factor)

    @staticmethod
    def backward(context: Any, gradient: Features) -> tuple[Features, Tensor | None, Tensor | None]:
        features, factor = context.saved_tensors
        _, wants_factor, wants_bias = context.needs_input_grad
        of_factor = (gradient * features).sum(dtype=torch.float32) if wants_factor else None
        return gradient * factor, of_factor, gradient.sum((0, 2, 3), dtype=torch.float32) if wants_bias else None
