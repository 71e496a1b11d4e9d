"""Real faces as tensors, for the tests of the model."""

import pytest
import torch
from skimage import data
from torchvision.transforms.v2 import functional as TF


@pytest.fixture(scope="session")
def faces():
    """Function of a size: (2, 3, size, size) in -1..1, the astronaut's face and the same shifted and mirrored."""
    photo = torch.from_numpy(data.astronaut().copy()).permute(2, 0, 1)

    def at(size):
        pictures = [photo[:, 0:224, 112:336], photo[:, 20:276, 90:346].flip(-1)]
        return torch.stack([TF.resize(picture, [size, size], antialias=True) for picture in pictures]) / 127.5 - 1

    return at
