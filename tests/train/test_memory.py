"""What a training step holds in memory at once: counted tensor by tensor, without computing a number."""

import torch
from benchmarks.live_memory import peak_of_published_step, peak_of_step

from dragface_lib.train import TrainConfig

GIB = 2**30


def config(**changes):
    return TrainConfig("", "", size=256, channels=64, device="cpu", discriminator_input="picture", **changes)


def test_light_at_256_pixels_stays_below_four_gigabytes_and_45_percent_of_the_published_step():
    light = peak_of_step(config(), torch.float16)
    assert 2 * GIB < light < 3.3 * GIB
    assert light < 0.45 * peak_of_published_step(256, 64)


def test_the_full_model_at_256_pixels_fits_a_t4():
    """A T4 has 14.7 GiB for torch."""
    assert 11 * GIB < peak_of_step(config(light=False), torch.float16) < 13.5 * GIB
