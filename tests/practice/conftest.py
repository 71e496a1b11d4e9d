"""Two faces to paint: light skin, and the same face with dark skin."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import pytest
from detecting import DETECTOR

from dragface_lib.crop import find_faces
from dragface_lib.crop.detect import open_detector
from dragface_lib.images import open_photo


class Sitter(NamedTuple):
    photo: np.ndarray
    points: np.ndarray


@pytest.fixture(scope="session")
def astronaut(portraits) -> Sitter:
    """Light skin, an open smile."""
    photo = open_photo(portraits["astronaut"])
    return Sitter(photo, find_faces(photo, open_detector(DETECTOR))[0].points)


@pytest.fixture(scope="session")
def hopper(portraits) -> Sitter:
    """Light skin, glasses."""
    photo = open_photo(portraits["grace_hopper"])
    return Sitter(photo, find_faces(photo, open_detector(DETECTOR))[0].points)


@pytest.fixture(scope="session")
def dark_skinned(astronaut) -> Sitter:
    """The astronaut with dark skin: no portrait of a dark-skinned person comes with the installed packages."""
    lab = cv2.cvtColor(astronaut.photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    skin = np.exp(-((lab[..., 1] - 14) ** 2 + (lab[..., 2] - 14) ** 2) / 300)[..., None]
    lab += skin * (lab * [0.5, 1.0, 1.0] + [2, 0, 2] - lab)
    rgb = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    return Sitter((np.clip(rgb, 0, 1) * 255).round().astype(np.uint8), astronaut.points)


@pytest.fixture(params=["astronaut", "dark_skinned"])
def sitter(request) -> Sitter:
    """One light-skinned and one dark-skinned."""
    return request.getfixturevalue(request.param)
