"""The training step of UGATIT-pytorch written out plainly: what the library's step is measured against.

As published: fakes are made twice and not detached, every network runs on one picture at a time, the discriminators
collect gradients that nobody uses, spectral norm iterates at each of their three passes, everything in fp32 with
contiguous memory, and each loss is read back at once. Nothing is shared with the library.
"""

from __future__ import annotations

import itertools

import torch
from model.reference_generator import ReferenceGenerator
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import spectral_norm


class Discriminator(nn.Module):
    def __init__(self, width: int, layers: int):
        super().__init__()
        stack = [nn.ReflectionPad2d(1), spectral_norm(nn.Conv2d(3, width, 4, 2)), nn.LeakyReLU(0.2, True)]
        for stride in [2] * (layers - 3) + [1]:
            stack += [nn.ReflectionPad2d(1), spectral_norm(nn.Conv2d(width, 2 * width, 4, stride))]
            stack += [nn.LeakyReLU(0.2, True)]
            width *= 2
        self.model = nn.Sequential(*stack)
        self.gap_fc = spectral_norm(nn.Linear(width, 1, bias=False))
        self.gmp_fc = spectral_norm(nn.Linear(width, 1, bias=False))
        self.conv1x1 = nn.Conv2d(2 * width, width, 1)
        self.pad = nn.ReflectionPad2d(1)
        self.conv = spectral_norm(nn.Conv2d(width, 1, 4, bias=False))

    def forward(self, x):
        x = self.model(x)
        averages, maxima = F.adaptive_avg_pool2d(x, 1).flatten(1), F.adaptive_max_pool2d(x, 1).flatten(1)
        cam_logits = torch.cat([self.gap_fc(averages), self.gmp_fc(maxima)], 1)
        by_average = x * next(self.gap_fc.parameters())[:, :, None, None]
        by_maximum = x * next(self.gmp_fc.parameters())[:, :, None, None]
        x = F.leaky_relu(self.conv1x1(torch.cat([by_average, by_maximum], 1)), 0.2)
        return self.conv(self.pad(x)), cam_logits


class PublishedStep:
    """Six networks, two optimisers, and `step(selfie, drag)` as UGATIT-pytorch has it."""

    def __init__(self, size: int, channels: int, light: bool, global_layers: int, device: torch.device):
        def generator():
            return ReferenceGenerator(channels, 4, size, light).to(device)

        self.to_drag, self.to_selfie = generator(), generator()
        self.judges = {
            (domain, layers): Discriminator(channels, layers).to(device)
            for domain in ("drag", "selfie")
            for layers in (global_layers, 5)
        }
        generators = itertools.chain(self.to_drag.parameters(), self.to_selfie.parameters())
        judges = itertools.chain(*(judge.parameters() for judge in self.judges.values()))
        self.generator_optimiser, self.judge_optimiser = (
            torch.optim.Adam(parameters, lr=1e-4, betas=(0.5, 0.999), weight_decay=1e-4)
            for parameters in (generators, judges)
        )

    def step(self, selfie: torch.Tensor, drag: torch.Tensor) -> tuple[float, float]:
        """One update of discriminators and generators. Returns their losses."""
        reals = {"drag": drag, "selfie": selfie}

        self.judge_optimiser.zero_grad()
        fakes = {"drag": self.to_drag(selfie)[0], "selfie": self.to_selfie(drag)[0]}
        judge_loss = 0
        for (domain, _), judge in self.judges.items():
            for target, picture in ((1.0, reals[domain]), (0.0, fakes[domain])):
                for logits in judge(picture):
                    judge_loss = judge_loss + F.mse_loss(logits, torch.full_like(logits, target))
        judge_loss.backward()
        self.judge_optimiser.step()

        self.generator_optimiser.zero_grad()
        fake_drag, drag_cam = self.to_drag(selfie)[:2]
        fake_selfie, selfie_cam = self.to_selfie(drag)[:2]
        cycle = F.l1_loss(self.to_selfie(fake_drag)[0], selfie) + F.l1_loss(self.to_drag(fake_selfie)[0], drag)
        kept_drag, kept_drag_cam = self.to_drag(drag)[:2]
        kept_selfie, kept_selfie_cam = self.to_selfie(selfie)[:2]
        identity = F.l1_loss(kept_drag, drag) + F.l1_loss(kept_selfie, selfie)
        cam = sum(
            F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
            for logits, target in ((drag_cam, 1.0), (selfie_cam, 1.0), (kept_drag_cam, 0.0), (kept_selfie_cam, 0.0))
        )
        fooled = 0
        fakes = {"drag": fake_drag, "selfie": fake_selfie}
        for (domain, _), judge in self.judges.items():
            for logits in judge(fakes[domain]):
                fooled = fooled + F.mse_loss(logits, torch.ones_like(logits))
        generator_loss = fooled + 10 * cycle + 10 * identity + 1000 * cam
        generator_loss.backward()
        self.generator_optimiser.step()
        with torch.no_grad():
            for network in (self.to_drag, self.to_selfie):
                for name, parameter in network.named_parameters():
                    if name.endswith("rho"):
                        parameter.clamp_(0, 1)
        return judge_loss.item(), generator_loss.item()
