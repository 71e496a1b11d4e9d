"""DiffAugment moves faces and cuts a hole in them: a pure function of the step, and gradients go through it."""

import torch

from dragface_lib.train.data import Batch
from dragface_lib.train.networks import PURPOSES, augmented, draws
from dragface_lib.train.step import Trainer


def augmented_as(faces, seed, purpose, first):
    return augmented(faces, draws(seed, first, len(faces))[PURPOSES.index(purpose)])


def test_a_face_is_moved_by_up_to_an_eighth_and_has_a_hole_of_half_its_size():
    ramp = torch.arange(1.0, 65).expand(1, 3, 64, 64)
    shifts, holes = set(), []
    for number in range(80):
        face = augmented_as(ramp, 0, "drag real", number)[0, 0]
        shift = {int(column - value.item()) for row in face for column, value in enumerate(row, 1) if value > 0}
        assert len(shift) == 1
        shifts |= shift
        holes.append((face == 0).sum().item())
    assert min(shifts) < -5
    assert max(shifts) > 5
    assert shifts <= set(range(-8, 9))
    assert 16 * 16 <= max(holes) <= 32 * 32 + 2 * 8 * 64


def test_the_same_number_is_augmented_the_same_way_and_no_random_state_is_used():
    faces = torch.rand(3, 3, 32, 32)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    together = augmented_as(faces, 5, "drag real", 10)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(
        together, torch.cat([augmented_as(face[None], 5, "drag real", 10 + n) for n, face in enumerate(faces)])
    )
    for other in (
        augmented_as(faces, *key) for key in ((6, "drag real", 10), (5, "drag fake", 10), (5, "drag real", 13))
    ):
        assert not torch.equal(together, other)


def test_gradients_reach_what_is_still_to_be_seen():
    faces = torch.ones(1, 3, 32, 32, requires_grad=True)
    seen = augmented_as(faces, 0, "selfie fake", 0)
    seen.sum().backward()
    assert faces.grad.sum() == (seen != 0).sum()
    assert 0 < faces.grad.mean() < 1


def test_only_what_discriminators_see_is_augmented(settings):
    selfie, drag = map(Batch, torch.rand(2, 1, 3, 64, 64) * 2 - 1)
    losses = []
    for on in (False, True):
        found = Trainer(settings(diff_augment=on), torch.device("cpu"), torch.float32).step(0, selfie, drag)
        losses.append({name: loss.item() for name, loss in found.items()})
    for name in ("cycle", "identity", "cam"):
        assert losses[0][name] == losses[1][name]
    for name in ("drag_global", "selfie_local", "fool_drag"):
        assert losses[0][name] != losses[1][name]
