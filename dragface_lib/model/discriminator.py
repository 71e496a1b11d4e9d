"""U-GAT-IT's discriminators: a global one that sees the whole face and a local one that sees patches.

Both are spectrally normalised stacks of 4x4 convolutions with a class activation map of their own
(section 2.1.2 of the paper). The global one has 7 layers at 256 px, the local one 5.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .generator import weighted_by_cam
from .norms import ReflectionPad
from .spectral import SpectralConv2d, SpectralLinear, spectral_factors

LOCAL_LAYERS = 5
GLOBAL_LAYERS = 7


class Judgement(NamedTuple):
    """What a discriminator returns: 1 stands for real, 0 for generated."""

    logits: Float[Tensor, "batch 1 height width"]
    cam_logits: Float[Tensor, "batch 2"]
    attention: Float[Tensor, "batch 1 height width"]


def global_layers(size: int) -> int:
    """Depth of the global discriminator: 7 as published, fewer where its last map would vanish.

    `layers - 2` convolutions halve the map; the two after them need at least 3 pixels a side.
    """
    return max(n for n in range(LOCAL_LAYERS, GLOBAL_LAYERS + 1) if n == LOCAL_LAYERS or size >> (n - 2) >= 3)


def _convolution(inputs: int, outputs: int, stride: int = 1, bias: bool = False) -> nn.Sequential:
    return nn.Sequential(ReflectionPad(1), SpectralConv2d(inputs, outputs, 4, stride, bias=bias))


class Discriminator(nn.Module):
    """Tells real faces of one domain from generated ones. channels: width of the first layer.

    gain: factor of every spectrally normalised layer; 1 as published. A larger one lets a discriminator answer more
    steeply; see GAINS in train/config.py.
    """

    def __init__(self, channels: int = 64, layers: int = LOCAL_LAYERS, gain: float = 1.0):
        super().__init__()
        self.gain = gain
        widths = [3, *(channels * 2**n for n in range(layers - 1))]
        strides = [2] * (layers - 2) + [1]
        self.layers = nn.ModuleList(
            _convolution(inputs, outputs, stride, bias=True)
            for inputs, outputs, stride in zip(widths[:-1], widths[1:], strides, strict=True)
        )
        wide = widths[-1]
        self.cam_average = SpectralLinear(wide, 1)
        self.cam_maximum = SpectralLinear(wide, 1)
        self.cam_mix = nn.Conv2d(wide * 2, wide, 1)
        self.head = _convolution(wide, 1)

    def forward(self, faces: Float[Tensor, "batch 3 height width"]) -> Judgement:
        """Judge faces in -1..1."""
        convolutions = [(layer[0], layer[1]) for layer in (*self.layers, self.head)]
        linears = [self.cam_average, self.cam_maximum]
        *factors, head, average, maximum = spectral_factors([layer for _, layer in convolutions] + linears, self.gain)
        x = faces
        for (pad, layer), factor in zip(convolutions, factors, strict=False):
            x = F.leaky_relu(layer(pad(x), *factor), 0.2)
        average_logit = self.cam_average(x.mean((2, 3)), *average)
        maximum_logit = self.cam_maximum(x.amax((2, 3)), *maximum)
        # As in the port, the features are weighted by the CAM weights before their spectral normalisation.
        x = F.leaky_relu(weighted_by_cam(x, self.cam_average.weight, self.cam_maximum.weight, self.cam_mix), 0.2)
        logits = self.head[1](self.head[0](x), *head)
        return Judgement(logits, torch.cat([average_logit, maximum_logit], dim=1), x.sum(dim=1, keepdim=True))
