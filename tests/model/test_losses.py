"""The losses, with values worked out by hand, and their weights."""

import math

import pytest
import torch

from dragface_lib.model import losses
from dragface_lib.model.discriminator import Judgement
from dragface_lib.train.config import CAM_WEIGHTS


def test_the_weights_are_the_papers():
    weights = losses.GENERATOR_WEIGHTS
    assert [weights[name] for name in ("fool_drag", "fool_selfie", "cycle", "identity")] == [1, 1, 10, 10]
    assert CAM_WEIGHTS["published"] == 1000


def test_least_squares():
    assert losses.least_squares(torch.tensor([1.0, 3.0]), 1).item() == 2
    assert losses.least_squares(torch.tensor([1.0, 3.0]), 0).item() == 5


def test_adversarial_loss_adds_the_cam_logits_with_weight_one():
    judged = Judgement(torch.full((1, 1, 3, 3), 0.5), torch.tensor([[2.0, 0.0]]), torch.zeros(1, 1, 3, 3))
    assert losses.adversarial_loss(judged, 1).item() == pytest.approx(0.25 + 1)
    assert losses.adversarial_loss(judged, 0).item() == pytest.approx(0.25 + 2)


def test_reconstruction_loss_is_the_mean_absolute_difference():
    assert losses.reconstruction_loss(torch.tensor([1.0, -1.0]), torch.tensor([0.0, 1.0])).item() == 1.5


def test_cam_loss_wants_one_for_faces_to_translate_and_zero_for_faces_kept():
    undecided = torch.zeros(1, 2)
    assert losses.cam_loss(undecided, undecided).item() == pytest.approx(2 * math.log(2))
    sure = torch.full((1, 2), 20.0)
    assert losses.cam_loss(sure, -sure).item() < 1e-6
    assert losses.cam_loss(-sure, sure).item() == pytest.approx(40, abs=1e-3)


def test_losses_of_half_precision_outputs_are_taken_in_full_precision():
    half = torch.full((1, 2), 400.0, dtype=torch.float16)  # its square is beyond what half precision can hold
    assert losses.least_squares(half, 0).item() == 160_000
    assert losses.cam_loss(half, half).dtype == torch.float32
