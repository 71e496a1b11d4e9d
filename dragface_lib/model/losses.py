"""The losses of U-GAT-IT (section 2.2 of the paper), each a small function of what the networks returned.

total = 1 * adversarial + 10 * cycle + 10 * identity + 1000 * CAM    (CAM_WEIGHTS of train/config.py has the last)
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from .discriminator import Judgement

# The background's loss keeps hair and background where the discriminators see faces alone.
GENERATOR_WEIGHTS = {"fool_drag": 1.0, "fool_selfie": 1.0, "cycle": 10.0, "identity": 10.0, "background": 10.0}


def least_squares(logits: Tensor, target: float) -> Float[Tensor, ""]:
    """mean((logits - target)^2), the least-squares GAN objective."""
    logits = logits.float()
    return F.mse_loss(logits, torch.full_like(logits, target))


def adversarial_loss(judged: Judgement, target: float) -> Float[Tensor, ""]:
    """Least squares of the discriminator's logits and of its CAM logits toward target (1 real, 0 fake)."""
    return least_squares(judged.logits, target) + least_squares(judged.cam_logits, target)


def discriminator_loss(judged: Judgement) -> Float[Tensor, ""]:
    """Adversarial loss of one batch whose first half is real and whose second half is generated."""
    halves = zip(*(part.float().chunk(2) for part in judged), strict=True)
    real, fake = (Judgement(*parts) for parts in halves)
    return adversarial_loss(real, 1) + adversarial_loss(fake, 0)


def reconstruction_loss(image: Tensor, original: Tensor) -> Float[Tensor, ""]:
    """mean(|image - original|): the cycle loss of a face sent there and back, the identity loss of one kept."""
    return F.l1_loss(image.float(), original.float())


def background_loss(
    image: Float[Tensor, "batch 3 height width"],
    original: Float[Tensor, "batch 3 height width"],
    mask: Float[Tensor, "batch 1 height width"],
) -> Float[Tensor, ""]:
    """mean((1 - mask) * |image - original|): what was changed outside the face, whose mask is 1 (not in the paper)."""
    return ((1 - mask.float()) * (image.float() - original.float()).abs()).mean()


def cam_loss(translated: Float[Tensor, "batch 2"], kept: Float[Tensor, "batch 2"]) -> Float[Tensor, ""]:
    """The generator's CAM classifier: faces to translate are 1, faces already in the target domain 0.

    translated: its logits for source faces; kept: its logits for target faces.
    """
    return F.binary_cross_entropy_with_logits(
        translated.float(), torch.ones_like(translated, dtype=torch.float32)
    ) + F.binary_cross_entropy_with_logits(kept.float(), torch.zeros_like(kept, dtype=torch.float32))
