"""AdaLIN and LIN: the normalisations that mix instance and layer statistics (U-GAT-IT, section 2.1.1).

    a_I = (a - mu_I) / sqrt(sigma_I^2 + eps)        per channel of each picture
    a_L = (a - mu_L) / sqrt(sigma_L^2 + eps)        over all channels of each picture
    AdaLIN(a, gamma, beta) = gamma * (rho * a_I + (1 - rho) * a_L) + beta,   rho in 0..1

Both are affine in `a`, so they are computed as one multiply-add whose scale and shift come from one pass of
statistics: the layer's mean and variance follow from those of its channels.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-5
FEW_POSITIONS = 64  # of a spectrally normalised convolution's output, where a matrix product is faster on a CPU


def mixed_affine(
    features: Float[Tensor, "batch channels height width"],
    rho: Float[Tensor, " channels"],
    gamma: Float[Tensor, "#batch channels"],
    beta: Float[Tensor, "#batch channels"],
) -> tuple[Float[Tensor, "batch channels"], Float[Tensor, "batch channels"]]:
    """Scale and shift with which AdaLIN(features) == features * scale + shift, in fp32.

    Variances are the unbiased ones of the PyTorch port. The layer's variance is put together from the
    channels': (sum_c (n-1) var_c + n (mu_c - mu_L)^2) / (C n - 1), with n positions and C channels.
    """
    channels, positions = features.shape[1], features.shape[2] * features.shape[3]
    variance, mean = _Moments.apply(features)  # (B, C) each
    layer_mean = mean.mean(dim=1, keepdim=True)  # (B, 1)
    spread = (positions - 1) * variance + positions * (mean - layer_mean).square()
    layer_variance = spread.sum(dim=1, keepdim=True) / (channels * positions - 1)
    instance_scale = rho.float() * torch.rsqrt(variance + EPSILON)  # (B, C)
    layer_scale = (1 - rho.float()) * torch.rsqrt(layer_variance + EPSILON)  # (B, C)
    scale = gamma.float() * (instance_scale + layer_scale)
    shift = beta.float() - gamma.float() * (instance_scale * mean + layer_scale * layer_mean)
    return scale, shift


def no_autocast(tensor: Tensor) -> AbstractContextManager:
    """Where autocast leaves the precision of tensors alone."""
    device = tensor.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


class _Moments(torch.autograd.Function):
    """Unbiased variance and mean over the positions, (B, C) in fp32, of features in any precision.

    For the gradient the features are kept as they are, where autograd would keep their copy in fp32 beside them;
    it is a multiply-add as well: (2 (a - mean) dvar / (n - 1) + dmean / n), written (features * scale + shift).
    """

    @staticmethod
    def forward(context: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        variance, mean = _moments(features.float())
        context.save_for_backward(features, mean)
        return variance, mean

    @staticmethod
    def backward(context: Any, of_variance: Tensor, of_mean: Tensor) -> Tensor:
        features, mean = context.saved_tensors
        positions = features.shape[2] * features.shape[3]
        scale = of_variance * (2 / (positions - 1))
        return _multiply_add(features, scale, of_mean / positions - scale * mean)


def instance_norm(features: Float[Tensor, "batch channels height width"]) -> Tensor:
    """Instance normalisation without parameters, as F.instance_norm has it (biased variance), of any precision.

    That one rearranges channels_last features, and under autocast computes in fp32 what the next convolution wants
    in half precision. Here scale and shift are rounded to the features' precision, as AdaLIN's are: its epsilon times
    |mean| / deviation is what the result may be off by.
    """
    positions = features.shape[2] * features.shape[3]
    variance, mean = _Moments.apply(features)  # (B, C) each
    scale = torch.rsqrt(variance * ((positions - 1) / positions) + EPSILON)
    return _multiply_add(features, scale, -mean * scale)


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    if features.device.type != "cpu":
        return torch.var_mean(features, dim=(2, 3))
    # On a CPU that is 15 times slower over channels_last features than two plain passes.
    mean = features.mean(dim=(2, 3), keepdim=True)
    variance = (features - mean).square_().sum(dim=(2, 3)) / (features.shape[2] * features.shape[3] - 1)
    return variance, mean.flatten(1)


def _multiply_add(features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    scale, shift = scale[:, :, None, None].to(features.dtype), shift[:, :, None, None].to(features.dtype)
    return torch.addcmul(shift, features, scale)


class AdaLIN(nn.Module):
    """Adaptive layer-instance normalisation: gamma and beta come from the attention features."""

    def __init__(self, channels: int):
        super().__init__()
        self.rho = nn.Parameter(torch.full((channels,), 0.9))

    def forward(self, features: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """features: (B, C, H, W); gamma, beta: (B, C). Returns (B, C, H, W)."""
        return _multiply_add(features, *mixed_affine(features, self.rho, gamma, beta))


class LIN(nn.Module):
    """Layer-instance normalisation with learned gamma and beta, for the decoder's upsampling layers."""

    def __init__(self, channels: int):
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(channels))
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, C, H, W). Returns (B, C, H, W)."""
        return _multiply_add(features, *mixed_affine(features, self.rho, self.gamma[None], self.beta[None]))


@torch.no_grad()
def clip_rho(network: nn.Module) -> None:
    """Clip every rho of the network to 0..1, as the paper does after each update of the generators."""
    rhos: list[Tensor] = [module.rho for module in network.modules() if isinstance(module, (AdaLIN, LIN))]
    torch._foreach_clamp_min_(rhos, 0.0)
    torch._foreach_clamp_max_(rhos, 1.0)


class SpectralNorm(nn.Module):
    """Sigma of a weight seen as a matrix (outputs, everything else), by power iteration (Miyato et al., 2018).

    One iteration runs at each call in training mode and none in evaluation mode. The arithmetic stays in fp32
    under autocast: in half precision sigma would drift. v is in the order in which the weight lies in memory.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor):
        super().__init__()
        rows = weight.flatten(1)
        self.register_buffer("u", F.normalize(torch.randn(rows.shape[0]), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(rows.shape[1]), dim=0))

    def forward(self, weight: Tensor) -> tuple[Tensor, Float[Tensor, ""]]:
        """The weight, to be used once where it is divided by sigma, and sigma = u . W v."""
        with no_autocast(weight):
            rows = _as_matrix(weight.detach(), _axes(weight))
            u, v = self.u.clone(), self.v.clone()  # a later power iteration must not change what backward needs
            if self.training:
                v = F.normalize(rows.t().mv(u), dim=0, eps=1e-12)
            product = rows.mv(v)
            if self.training:
                u = F.normalize(product, dim=0, eps=1e-12)
                self.u.copy_(u)
                self.v.copy_(v)
            return _WithSigma.apply(weight, u, v, torch.dot(u, product))


class _WithSigma(torch.autograd.Function):
    """Joins a weight and its sigma, so that sigma's gradient (u v^T) is added to that of the weight where it lies."""

    @staticmethod
    def forward(context: Any, weight: Tensor, u: Tensor, v: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        context.save_for_backward(u, v)
        context.axes = _axes(weight)
        return torch.ops.aten.alias(weight), torch.ops.aten.alias(sigma)  # these, and not inputs, keep their strides

    @staticmethod
    def backward(context: Any, of_weight: Tensor, of_sigma: Tensor) -> tuple[Tensor, None, None, None]:
        (u, v), axes = context.saved_tensors, context.axes
        rows = _as_matrix(of_weight, axes)
        # In place: a convolution or a matrix product made this gradient for the weight's one use, nobody else has it.
        # (An expanded one, of a sum, cannot be written to.)
        add = rows.addr if torch.compiler.is_compiling() or 0 in rows.stride() else rows.addr_
        in_order = add(u * of_sigma, v).view([of_weight.shape[axis] for axis in axes])
        return in_order.permute([axes.index(axis) for axis in range(len(axes))]), None, None, None


def _axes(weight: Tensor) -> list[int]:
    """The axes of a weight in the order in which they lie in memory: the channels of a channels_last kernel last."""
    return [0, 2, 3, 1] if weight.dim() == 4 and not weight.is_contiguous() else list(range(weight.dim()))


def _as_matrix(weight: Tensor, axes: list[int]) -> Tensor:
    """(outputs, everything else in the order of these axes): no copy where it lies in that order."""
    return weight.permute(axes).flatten(1)


class SpectralConv2d(nn.Conv2d):
    """A convolution with its kernel divided by sigma and multiplied by `gain`. What it returns is scaled instead of the
    kernel: that is the same, and the kernel of a discriminator has many times more numbers than its features.
    """

    def __init__(self, *arguments: Any, gain: float = 1.0, **options: Any):
        super().__init__(*arguments, **options)
        self.gain = gain
        self.sigma = SpectralNorm(self.weight)

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, C, H, W)."""
        weight, sigma = self.sigma(self.weight)
        normalised = self._convolve(features, weight) / (sigma / self.gain)
        return normalised if self.bias is None else normalised + self.bias[:, None, None].to(normalised.dtype)

    def _convolve(self, features: Tensor, weight: Tensor) -> Tensor:
        (height, width), step = self.kernel_size, self.stride
        patches = features.unfold(2, height, step[0]).unfold(3, width, step[1])  # (B, C, H, W, height, width), a view
        batch, _, rows, columns = patches.shape[:4]
        if batch * rows * columns > FEW_POSITIONS:
            return self._conv_forward(features, weight, None)
        # A matrix product with a kernel that has far more numbers than its input and output: its gradient is born in
        # the layout of the kernel, where a convolution's is rearranged.
        axes = _axes(weight)
        of_kernel = [{1: 1, 2: 4, 3: 5}[axis] for axis in axes[1:]]
        patches = patches.permute(0, 2, 3, *of_kernel).reshape(batch * rows * columns, -1)
        product = F.linear(patches, _as_matrix(weight, axes))
        return product.view(batch, rows, columns, -1).permute(0, 3, 1, 2)


class SpectralLinear(nn.Linear):
    """A linear layer without bias, with its weight divided by sigma and multiplied by `gain`."""

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0):
        super().__init__(inputs, outputs, bias=False)
        self.gain = gain
        self.sigma = SpectralNorm(self.weight)

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, inputs)."""
        weight, sigma = self.sigma(self.weight)
        return F.linear(features, weight) / (sigma / self.gain)
