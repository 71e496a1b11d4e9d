"""Two real portraits and a small generator that visibly paints, for the tests of the showcase."""

import numpy as np
import pytest
import torch
from matplotlib.cbook import get_sample_data
from skimage import data

from dragface_lib.images import open_photo
from dragface_lib.model import Generator


@pytest.fixture(autouse=True)
def no_detector_from_afar(monkeypatch):
    """Without DRAGFACE_MODELS the download of YuNet fails at once, and Haar finds the faces."""
    monkeypatch.setenv("DRAGFACE_MIRROR", "http://127.0.0.1:9")


@pytest.fixture(scope="session")
def astronaut():
    """(512, 512, 3) uint8: a face in the middle of the upper half."""
    return np.ascontiguousarray(data.astronaut())


@pytest.fixture(scope="session")
def hopper():
    """(600, 512, 3) uint8: a face with glasses."""
    return open_photo(get_sample_data("grace_hopper.jpg", asfileobj=False))


def _painter(**settings) -> Generator:
    torch.manual_seed(0)
    generator = Generator(size=64, channels=4, blocks=1, **settings).eval().requires_grad_(False)
    if generator.form == "residual":
        generator.to_rgb[1].weight.mul_(60)  # untrained it would hardly change anything
    return generator


@pytest.fixture(scope="session")
def generator():
    """An untrained residual generator of 64 px that changes every face visibly."""
    return _painter()


@pytest.fixture(scope="session")
def published():
    """An untrained generator that draws the picture anew."""
    return _painter(form="published")
