"""A few real faces in two domains, and the smallest training that does everything."""

import cv2
import numpy as np
import pytest
import torch
from matplotlib import cbook
from PIL import Image
from skimage import data

from dragface_lib.images import save_photo
from dragface_lib.train import TrainConfig

SETTINGS = {"size": 64, "channels": 2, "blocks": 1, "steps": 8, "save_every": 2, "sample_every": 4}
SETTINGS |= {"log_every": 2, "milestone_every": 4, "device": "cpu"}


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """As many threads as in the processes that the tests start: sums are then taken in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """Folder of {selfie,drag}/{train,test} with 5, 2, 3 and 1 faces of 72 px; the drag ones are painted red."""
    hopper = np.asarray(Image.open(cbook.get_sample_data("grace_hopper.jpg")).convert("RGB"))
    crops = [data.astronaut()[16 * n : 16 * n + 200, 120 + 8 * n : 320 + 8 * n] for n in range(5)]
    crops += [hopper[20 * n : 20 * n + 300, 100 + 9 * n : 400 + 9 * n] for n in range(6)]
    folder = tmp_path_factory.mktemp("faces")
    places = ["selfie/train"] * 5 + ["selfie/test"] * 2 + ["drag/train"] * 3 + ["drag/test"]
    for number, (crop, place) in enumerate(zip(crops, places, strict=True)):
        face = cv2.resize(crop, (72, 72), interpolation=cv2.INTER_AREA)
        if place.startswith("drag"):
            face[44:56, 24:48, 0] = 220
        save_photo(folder / place / f"face_{number}.jpg", face)
    return folder


@pytest.fixture(scope="session")
def tiny(faces):
    """Function that makes the smallest TrainConfig for a run's folder; keyword arguments change it."""

    def make(run, **changes):
        return TrainConfig(**({"faces": str(faces), "run": str(run)} | SETTINGS | changes))

    return make


@pytest.fixture
def settings(tiny, tmp_path):
    """The same for the run's folder "run" of this test."""
    return lambda **changes: tiny(**({"run": tmp_path / "run"} | changes))
