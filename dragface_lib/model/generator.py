"""The U-GAT-IT generator (Kim et al., ICLR 2020, arXiv:1907.10830, figure 1).

Encoder, class activation map (CAM), a small MLP that turns the attention features into gamma and beta,
residual blocks with AdaLIN, and a decoder with LIN. Where the TensorFlow original and the PyTorch port
(znxlwm/UGATIT-pytorch) differ, this follows the port, so that its checkpoints load:

    ==========================  =======================  ==========================
                                TensorFlow original      PyTorch port, and here
    ==========================  =======================  ==========================
    rho at the start            1.0 less 0.1 smoothing   0.9 (AdaLIN), 0.0 (LIN)
    variance in AdaLIN, LIN     biased                   unbiased
    CAM layer                   one for both poolings    one for each pooling
    instance norm               affine                   not affine
    bias of the convolutions    yes                      no (CAM's 1x1: yes)
    initial weights             normal(0, 0.02)          PyTorch's default
    weight decay                kernels only             every parameter
    CAM weights in the          spectrally normalised    before the normalisation
    discriminator's features
    ==========================  =======================  ==========================

Two forms share the network. The *published* form draws the whole picture anew, through a tanh. The
*residual* form adds its output to the selfie: person and background stay sharp from the first step, and
what the network learns is the make-up alone.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import DragFaceError
from .norms import LIN, AdaLIN, ReflectionPad, instance_norm, no_autocast, padded

Form = Literal["residual", "published"]
SIZES = range(64, 513, 4)  # pixels a side; two halvings must come out whole
START_OF_CHANGE = 0.01  # scale of the last convolution's first weights in the residual form


class Translation(NamedTuple):
    """What a generator returns for a batch of faces."""

    image: Float[Tensor, "batch 3 height width"]  # -1..1
    cam_logits: Float[Tensor, "batch 2"]  # average pool, max pool: is this face of the source domain?
    attention: Float[Tensor, "batch 1 quarter_height quarter_width"]  # CAM heat map, 0 or more


def to_unit(images: Tensor) -> Float[Tensor, "batch channels height width"]:
    """Pictures as the networks take them: uint8 0..255 to float -1..1."""
    return images.float() / 127.5 - 1


def to_bytes(faces: Float[Tensor, "batch 3 height width"]) -> np.ndarray:
    """The reverse: float -1..1 to (batch, height, width, 3) uint8 RGB."""
    return ((faces.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def weighted_by_cam(features: Tensor, average: Tensor, maximum: Tensor, mix: nn.Conv2d) -> Tensor:
    """The CAM features: mix(concat(features * average, features * maximum)), in one product.

    features: (B, C, H, W); average, maximum: (1, C), the weights of the two CAM classifiers; mix: the 1x1
    convolution from 2C to C channels. Scaling a channel and then mixing it is mixing with scaled weights.
    """
    batch, channels, height, width = features.shape
    if batch * height * width < channels:  # fewer features than weights: these are scaled
        positions = features.flatten(2).transpose(1, 2)  # (B, H W, C)
        scaled = torch.cat([positions * average, positions * maximum], dim=2)
        return F.linear(scaled, mix.weight.flatten(1), mix.bias).transpose(1, 2).unflatten(2, (height, width))
    by_average, by_maximum = mix.weight.split(channels, dim=1)
    weight = by_average * average[:, :, None, None] + by_maximum * maximum[:, :, None, None]
    return F.conv2d(features, weight, mix.bias)


def cam_logits(features: Tensor, average: nn.Linear, maximum: nn.Linear) -> Tensor:
    """Logits of the two CAM classifiers, (B, 2), from features (B, C, H, W)."""
    return torch.cat([average(features.mean(dim=(2, 3))), maximum(features.amax(dim=(2, 3)))], dim=1)


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = False) -> nn.Sequential:
    """A convolution behind the reflection padding that U-GAT-IT uses everywhere."""
    padding = {7: 3, 4: 1, 3: 1}[kernel]
    return nn.Sequential(ReflectionPad(padding), nn.Conv2d(inputs, outputs, kernel, stride, bias=bias))


class EncoderBlock(nn.Module):
    """Residual block with instance normalisation: x + IN(conv(ReLU(IN(conv(x)))))."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = convolution(channels, channels, 3)
        self.second = convolution(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W). Returns the same shape."""
        out = F.relu(instance_norm(self.first(x)))
        return x + instance_norm(self.second(out))


class DecoderBlock(nn.Module):
    """Residual block with AdaLIN: x + AdaLIN(conv(ReLU(AdaLIN(conv(x)))))."""

    def __init__(self, channels: int):
        super().__init__()
        self.first, self.first_norm = convolution(channels, channels, 3), AdaLIN(channels)
        self.second, self.second_norm = convolution(channels, channels, 3), AdaLIN(channels)

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """x: (B, C, H, W); gamma, beta: (B, C). Returns the shape of x."""
        out = F.relu(self.first_norm(self.first(x), gamma, beta))
        return x + self.second_norm(self.second(out), gamma, beta)


class Upsampling(nn.Module):
    """Nearest-neighbour doubling, convolution, LIN, ReLU.

    The first two are one transposed convolution of the small map. Of the doubled map a 3x3 kernel sees no more than
    2x2 different pixels: 4 products a pixel instead of 9, and the doubled map is never made.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.convolution = convolution(channels, channels // 2, 3)
        self.norm = LIN(channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W). Returns (B, C/2, 2H, 2W)."""
        return F.relu(self.norm(convolved_when_doubled(x, self.convolution.get_parameter("1.weight"))))


def convolved_when_doubled(x: Tensor, kernel: Tensor) -> Tensor:
    """What a 3x3 convolution makes of x doubled by nearest neighbour, with reflection padding of 1.

    x: (B, C, H, W); kernel: (outputs, C, 3, 3). Returns (B, outputs, 2H, 2W).
    """
    # A pixel gives itself to 2x2 places and each of these to the 3x3 around it: 4x4 places in all, two apart from the
    # next pixel's. The doubled map's reflection is the small map's border repeated.
    spread = F.pad(kernel.flip(2, 3).transpose(0, 1), [1, 1, 1, 1])
    spread = 4 * F.avg_pool2d(spread, 2, stride=1)  # sums of 2x2: (C, outputs, 4, 4)
    return F.conv_transpose2d(padded(x, 1, "replicate"), spread, stride=2, padding=3)


class Generator(nn.Module):
    """Translates faces of one domain into the other.

    size: pixels a side, 64 to 512, a multiple of 4 (a light generator accepts other such sizes as well).
    channels: width of the first layer (64 in the paper). blocks: residual blocks each side of the CAM.
    light: gamma and beta from pooled features (10.6 M parameters at 64 channels) instead of from the whole
    feature map (279 M at 256 px). form: "residual" or "published", see above.
    Raises DragFaceError for values outside these ranges.
    """

    def __init__(
        self, size: int = 256, channels: int = 64, blocks: int = 4, light: bool = True, form: Form = "residual"
    ):
        super().__init__()
        if size not in SIZES:
            raise DragFaceError(f"The image size {size} is not a multiple of 4 from 64 to 512: choose one, e.g. 256.")
        if not (1 <= channels <= 256 and 1 <= blocks <= 16):
            raise DragFaceError(
                f"{channels} channels and {blocks} blocks are out of range: use 1 to 256 channels, 1 to 16 blocks."
            )
        if form not in get_args(Form):
            raise DragFaceError(f"The form {form!r} is unknown: choose residual or published.")
        self.size, self.channels, self.blocks, self.light, self.form = size, channels, blocks, light, form
        self.metadata: dict[str, str] = {}
        wide = channels * 4
        self.stem = convolution(3, channels, 7)
        self.down = nn.ModuleList([convolution(channels * n, channels * n * 2, 3, stride=2) for n in (1, 2)])
        self.encoder = nn.Sequential(*[EncoderBlock(wide) for _ in range(blocks)])
        self.cam_average = nn.Linear(wide, 1, bias=False)
        self.cam_maximum = nn.Linear(wide, 1, bias=False)
        self.cam_mix = nn.Conv2d(wide * 2, wide, 1)
        pooled = wide if light else wide * (size // 4) ** 2
        self.style = nn.Sequential(
            nn.Linear(pooled, wide, bias=False), nn.ReLU(), nn.Linear(wide, wide, bias=False), nn.ReLU()
        )
        self.gamma = nn.Linear(wide, wide, bias=False)
        self.beta = nn.Linear(wide, wide, bias=False)
        self.decoder = nn.ModuleList([DecoderBlock(wide) for _ in range(blocks)])
        self.up = nn.Sequential(Upsampling(wide), Upsampling(channels * 2))
        self.to_rgb = convolution(channels, 3, 7)
        if form == "residual":
            with torch.no_grad():
                self.to_rgb.get_parameter("1.weight").mul_(START_OF_CHANGE)

    def forward(self, faces: Float[Tensor, "batch 3 height width"]) -> Translation:
        """Translate faces in -1..1, at this generator's size."""
        x = F.relu(instance_norm(self.stem(faces)))  # (B, C, H, W)
        for down in self.down:
            x = F.relu(instance_norm(down(x)))  # (B, 2C, H/2, W/2), (B, 4C, H/4, W/4)
        x = self.encoder(x)
        logits = cam_logits(x, self.cam_average, self.cam_maximum)  # (B, 2)
        x = F.relu(weighted_by_cam(x, self.cam_average.weight, self.cam_maximum.weight, self.cam_mix))
        attention = x.sum(dim=1, keepdim=True)  # (B, 1, H/4, W/4)
        with no_autocast(x):  # full: a copy of this weight in fp16 would be 0.5 GiB
            style = self.style((x.mean(dim=(2, 3)) if self.light else x.flatten(1)).float())  # (B, 4C)
            gamma, beta = self.gamma(style), self.beta(style)
        for block in self.decoder:
            x = block(x, gamma, beta)
        drawn = self.to_rgb(self.up(x))  # (B, 3, H, W)
        image = torch.tanh(drawn) if self.form == "published" else (faces + drawn).clamp(-1, 1)
        return Translation(image, logits, attention)
