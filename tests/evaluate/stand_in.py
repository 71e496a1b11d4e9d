"""A generator whose answers are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn


class Drawn(NamedTuple):
    image: torch.Tensor


class StandIn(nn.Module):
    """A generator that returns what a function of (number of the face, its bytes (S, S, 3)) makes of each face."""

    def __init__(self, make, size=256):
        super().__init__()
        self.make, self.seen, self.size, self.metadata = make, 0, size, {"look": "known", "steps": "0"}

    def forward(self, faces):
        drawn = []
        for face in faces:
            rgb = ((face + 1) * 127.5).round().permute(1, 2, 0).numpy()
            drawn.append(torch.from_numpy(np.clip(self.make(self.seen, rgb), 0, 255) / 127.5 - 1).permute(2, 0, 1))
            self.seen += 1
        return Drawn(torch.stack(drawn).float())
