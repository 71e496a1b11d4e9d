"""The generator of UGATIT-pytorch written out plainly, as a check on the library's own.

Nothing is shared with the library, nothing is folded together, and the parameters carry the port's names, so that
its checkpoints fit: each entry of a Sequential counts, paddings, norms and ReLUs included.
"""

from __future__ import annotations

import torch
from torch import nn


def adalin(x, rho, gamma, beta, eps=1e-5):
    """gamma * (rho * a_I + (1 - rho) * a_L) + beta with unbiased variances; rho, gamma, beta broadcast over x."""
    of_instance = (x - x.mean((2, 3), keepdim=True)) / torch.sqrt(x.var((2, 3), keepdim=True) + eps)
    of_layer = (x - x.mean((1, 2, 3), keepdim=True)) / torch.sqrt(x.var((1, 2, 3), keepdim=True) + eps)
    return gamma * (rho * of_instance + (1 - rho) * of_layer) + beta


class ResnetBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=False),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=False),
            nn.InstanceNorm2d(width),
        )

    def forward(self, x):
        return x + self.conv_block(x)


class Adaptive(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.rho = nn.Parameter(torch.full((1, width, 1, 1), 0.9))

    def forward(self, x, gamma, beta):
        return adalin(x, self.rho, gamma[:, :, None, None], beta[:, :, None, None])


class ResnetAdaLINBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.pad = nn.ReflectionPad2d(1)
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, bias=False), Adaptive(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, bias=False), Adaptive(width)

    def forward(self, x, gamma, beta):
        out = torch.relu(self.norm1(self.conv1(self.pad(x)), gamma, beta))
        return x + self.norm2(self.conv2(self.pad(out)), gamma, beta)


class LayerInstance(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.ones(1, width, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x):
        return adalin(x, self.rho, self.gamma, self.beta)


class ReferenceGenerator(nn.Module):
    """The published generator: forward returns (image, cam_logits, heat map)."""

    def __init__(self, channels=64, blocks=4, size=256, light=False):
        super().__init__()
        self.light, self.blocks, wide = light, blocks, channels * 4
        down = [nn.ReflectionPad2d(3), nn.Conv2d(3, channels, 7, bias=False), nn.InstanceNorm2d(channels), nn.ReLU()]
        for width in (channels, channels * 2):
            down += [nn.ReflectionPad2d(1), nn.Conv2d(width, width * 2, 3, 2, bias=False)]
            down += [nn.InstanceNorm2d(width * 2), nn.ReLU()]
        self.DownBlock = nn.Sequential(*down, *[ResnetBlock(wide) for _ in range(blocks)])
        self.gap_fc, self.gmp_fc = nn.Linear(wide, 1, bias=False), nn.Linear(wide, 1, bias=False)
        self.conv1x1 = nn.Conv2d(wide * 2, wide, 1)
        inputs = wide if light else (size // 4) ** 2 * wide
        self.FC = nn.Sequential(
            nn.Linear(inputs, wide, bias=False), nn.ReLU(), nn.Linear(wide, wide, bias=False), nn.ReLU()
        )
        self.gamma, self.beta = nn.Linear(wide, wide, bias=False), nn.Linear(wide, wide, bias=False)
        for n in range(blocks):
            setattr(self, f"UpBlock1_{n + 1}", ResnetAdaLINBlock(wide))
        up = []
        for width in (wide, wide // 2):
            up += [nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1)]
            up += [nn.Conv2d(width, width // 2, 3, bias=False), LayerInstance(width // 2), nn.ReLU()]
        self.UpBlock2 = nn.Sequential(*up, nn.ReflectionPad2d(3), nn.Conv2d(channels, 3, 7, bias=False), nn.Tanh())

    def forward(self, faces):
        x = self.DownBlock(faces)
        average, maximum = x.mean((2, 3)), x.flatten(2).max(dim=2).values
        logits = torch.cat([self.gap_fc(average), self.gmp_fc(maximum)], 1)
        by_average = x * self.gap_fc.weight[:, :, None, None]
        by_maximum = x * self.gmp_fc.weight[:, :, None, None]
        x = torch.relu(self.conv1x1(torch.cat([by_average, by_maximum], 1)))
        heat = x.sum(1, keepdim=True)
        style = self.FC(x.mean((2, 3)) if self.light else x.reshape(len(x), -1))
        gamma, beta = self.gamma(style), self.beta(style)
        for n in range(self.blocks):
            x = getattr(self, f"UpBlock1_{n + 1}")(x, gamma, beta)
        return self.UpBlock2(x), logits, heat


def trained_reference(seed, **architecture):
    """A reference whose weights all differ from their first values, rho included, as after some training."""
    torch.manual_seed(seed)
    network = ReferenceGenerator(**architecture).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith("rho"):
            parameter.uniform_(0, 1)
        elif "UpBlock2" in name and name.endswith(("gamma", "beta")):
            parameter.add_(torch.randn_like(parameter) * 0.3)
        else:
            parameter.mul_(1.5)
    return network
