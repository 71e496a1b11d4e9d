"""AdaLIN and LIN, which mix instance and layer statistics (U-GAT-IT, section 2.1.1), and reflection padding.

    a_I = (a - mu_I) / sqrt(sigma_I^2 + eps)        per channel of each picture
    a_L = (a - mu_L) / sqrt(sigma_L^2 + eps)        over all channels of each picture
    AdaLIN(a, gamma, beta) = gamma * (rho * a_I + (1 - rho) * a_L) + beta,   rho in 0..1

Both norms are affine in `a`, so they are computed as one multiply-add. Its scale and shift come from one pass of
statistics: the layer's mean and variance follow from those of its channels. The gradient of `a` is affine in `a` too.
Forward and backward are written out here: autograd would take five times as many operations and keep copies in fp32.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-5

Features = Float[Tensor, "batch channels height width"]


def no_autocast(tensor: Tensor) -> AbstractContextManager:
    """A context in which autocast changes no precision."""
    device = tensor.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def instance_norm(features: Features) -> Features:
    """Instance normalisation without parameters: F.instance_norm (biased variance) in the features' own precision.

    F.instance_norm rearranges channels_last features, and under autocast it computes in fp32. Here scale and shift are
    rounded to the features' precision. Error at most eps * |mean| / std.
    """
    return _InstanceNorm.apply(features)


class _InstanceNorm(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, features: Features) -> Features:
        variance, mean = _moments(features)  # (B, C) each
        affine = features.new_empty(2, *mean.shape)
        variance = variance + EPSILON
        scale = torch.rsqrt(variance, out=affine[0])
        torch.mul(mean, scale, out=affine[1]).neg_()
        context.save_for_backward(features, mean, variance, scale)
        return _affine(features, *affine)

    @staticmethod
    def backward(context: Any, gradient: Features) -> Features:
        """scale * (g - mean(g) - a * mean(g * a)), with the normalised a = (features - mean) * scale."""
        features, mean, variance, scale = context.saved_tensors
        of_shift = gradient.mean((2, 3), dtype=torch.float32)
        of_scale = (gradient * features).mean((2, 3), dtype=torch.float32)
        affine = features.new_empty(2, *mean.shape)
        covariance = torch.addcmul(of_scale, mean, of_shift, value=-1)  # mean(g * (features - mean))
        slope = torch.mul(covariance.div_(variance), scale, out=affine[0])
        torch.addcmul(slope * mean, scale, of_shift, value=-1, out=affine[1])
        return _gradient(gradient, scale, features, affine)


class _AdaLIN(torch.autograd.Function):
    """Statistics and their gradients are (2, B, C): of a_I and of a_L."""

    @staticmethod
    def forward(context: Any, features: Features, rho: Tensor, gamma: Tensor, beta: Tensor) -> Features:
        positions = features.shape[2] * features.shape[3]
        count = features.shape[1] * positions
        variance, mean = _moments(features)  # (B, C) each
        # The layer's variance is the mean of those of its channels and the variance of their means.
        spread, layer_mean = torch.var_mean(mean, dim=1, correction=0, keepdim=True)  # (B, 1) each
        layer_variance = variance.mean(dim=1, keepdim=True) + spread
        means = torch.stack([mean, layer_mean.expand_as(mean)])
        scales = torch.empty_like(means)
        torch.mul(variance, positions / (positions - 1), out=scales[0])  # unbiased
        torch.mul(layer_variance.expand_as(mean), count / (count - 1), out=scales[1])
        scales.add_(EPSILON).rsqrt_()
        # How much a_I and a_L count: gamma * rho / sigma_I and gamma * (1 - rho) / sigma_L.
        weights = scales * gamma
        weights[0].mul_(rho)
        weights[1].addcmul_(weights[1], rho, value=-1)
        affine = torch.empty_like(means, dtype=features.dtype)
        torch.add(*weights, out=affine[0])
        shift = torch.addcmul(beta, weights[0], mean, value=-1)
        torch.addcmul(shift, weights[1], layer_mean, value=-1, out=affine[1])
        context.save_for_backward(features, rho, gamma, means, scales, weights, affine[0])
        context.shape_of_beta = beta.shape
        return _affine(features, *affine)

    @staticmethod
    def backward(context: Any, gradient: Features) -> tuple[Features, Tensor, Tensor, Tensor]:
        """Each of the two norms' own gradient, as in _InstanceNorm but for the unbiased variance, added up."""
        features, rho, gamma, means, scales, weights, rounded_scale = context.saved_tensors
        positions = features.shape[2] * features.shape[3]
        count = features.shape[1] * positions
        of_shift = gradient.sum((2, 3), dtype=torch.float32)
        of_scale = (gradient * features).sum((2, 3), dtype=torch.float32)
        of_weights = torch.addcmul(of_scale, means, of_shift, value=-1).mul_(scales)  # sums of g * a_I, g * a_L
        of_gamma = torch.lerp(of_weights[1], of_weights[0], rho)
        of_rho = (of_weights[0] - of_weights[1]).mul_(gamma)

        affine = features.new_empty(2, *of_shift.shape)
        slopes, shifts = (of_weights * weights).mul_(scales), weights * of_shift
        layer_slope = slopes[1].sum(1, keepdim=True).mul_(1 / (count - 1))  # (B, 1)
        layer_shift = torch.sub(layer_slope * means[1, :, :1], shifts[1].sum(1, keepdim=True), alpha=1 / count)
        torch.add(layer_slope, slopes[0], alpha=1 / (positions - 1), out=affine[0])
        shift = torch.addcmul(layer_shift, slopes[0], means[0], value=1 / (positions - 1))
        torch.sub(shift, shifts[0], alpha=1 / positions, out=affine[1])
        of_features = _gradient(gradient, rounded_scale, features, affine)
        return (
            of_features,
            of_rho.sum(0),
            of_gamma.sum_to_size(gamma.shape),
            of_shift.sum_to_size(context.shape_of_beta),
        )


def _moments(features: Features) -> tuple[Tensor, Tensor]:
    """Biased variance and mean over the positions, (B, C) each, in fp32."""
    if features.device.type != "cpu":
        return torch.var_mean(features.float(), dim=(2, 3), correction=0)
    # On a CPU that is 15 times slower over channels_last features than two plain passes.
    mean = features.mean(dim=(2, 3), keepdim=True, dtype=torch.float32)
    return (features - mean).square_().mean(dim=(2, 3)), mean.flatten(1)


def _affine(features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return torch.addcmul(shift[:, :, None, None], features, scale[:, :, None, None])


def _gradient(gradient: Tensor, scale: Tensor, features: Tensor, affine: Tensor) -> Tensor:
    """gradient * scale - features * slope + shift, where affine is (slope, shift) in the features' precision."""
    slope, shift = affine[..., None, None]
    return torch.addcmul(torch.addcmul(shift, features, slope, value=-1), gradient, scale[:, :, None, None])


class AdaLIN(nn.Module):
    """Adaptive layer-instance normalisation: gamma and beta come from the attention features."""

    def __init__(self, channels: int):
        super().__init__()
        self.rho = nn.Parameter(torch.full((channels,), 0.9))

    def forward(self, features: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """features: (B, C, H, W); gamma, beta: (B, C). Returns (B, C, H, W)."""
        return _AdaLIN.apply(features, self.rho, gamma, beta)


class LIN(nn.Module):
    """Layer-instance normalisation with learned gamma and beta, for the decoder's upsampling layers."""

    def __init__(self, channels: int):
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(channels))
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, C, H, W). Returns (B, C, H, W)."""
        return _AdaLIN.apply(features, self.rho, self.gamma[None], self.beta[None])


@torch.no_grad()
def clip_rho(network: nn.Module) -> None:
    """Clip every rho of the network to 0..1, as the paper does after each update of the generators."""
    rhos: list[Tensor] = [module.rho for module in network.modules() if isinstance(module, (AdaLIN, LIN))]
    torch._foreach_clamp_min_(rhos, 0.0)
    torch._foreach_clamp_max_(rhos, 1.0)


class ReflectionPad(nn.Module):
    """Mirrors `padding` pixels at each side, see `padded`."""

    def __init__(self, padding: int):
        super().__init__()
        self.padding = padding

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, C, H, W). Returns (B, C, H + 2 padding, W + 2 padding)."""
        return padded(features, self.padding)


def padded(features: Tensor, padding: int, mode: str = "reflect") -> Tensor:
    """features: (B, C, H, W). Returns (B, C, H + 2 padding, W + 2 padding) in the same precision.

    mode: "reflect" mirrors at the outermost pixel, "replicate" repeats it (`padding` 1 only).
    PyTorch's own padding keeps its input for the gradient, and under autocast on a CPU it works in fp32. Its gradient
    on a GPU is not deterministic.
    """
    return _Padded.apply(features, padding, mode)


class _Padded(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, features: Tensor, padding: int, mode: str) -> Tensor:
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


def folded(gradient: Tensor, padding: int, dim: int, mode: str) -> Tensor:
    """The gradient of a padding along one dimension: each row's copy is added to that of its original."""
    before, inside, after = gradient.split([padding, gradient.shape[dim] - 2 * padding, padding], dim)
    first = 1 if mode == "reflect" else 0
    last = inside.shape[dim] - first - padding
    result = inside.clone()
    result.narrow(dim, first, padding).add_(before.flip(dim))
    result.narrow(dim, last, padding).add_(after.flip(dim))
    return result
