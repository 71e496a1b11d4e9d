"""Propose a box for each face in a photo: YuNet when its model file can be had, the Haar cascade otherwise.

    detector = open_detector()
    faces = detector.find(rgb)

The box only says where to look: the landmark network places the eyes, so both detectors align alike.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from ..errors import DragFaceError
from ..files import sha256_of
from ..workspace import Workspace

YUNET_FILE = "face_detection_yunet_2023mar.onnx"
YUNET_URL = (
    "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/"
    "0047ac24afb1a50a0c6105001c89d1b5b805dbf1/onnx/yunet_s_640_640.onnx"
)
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
YUNET_SCORE = 0.8  # with a longest side of 640 px: every face of the test photos, nothing false
LONGEST_SIDE = 640
SHORTEST_LONGEST_SIDE = 160  # smaller pictures are enlarged: both detectors know faces from about 20 px on


class Face(NamedTuple):
    """A box around a face, in pixels of the photo; `score` is the detector's own, 0..1.

    turned: how far the tip of the nose lies from between the eyes, in interocular distances, to the right of the
    picture where positive; 0 where the detector does not say. points: (5, 2) pupils, tip of the nose and corners of
    the mouth, from left to right; None where the detector does not say.
    """

    x: float
    y: float
    width: float
    height: float
    score: float
    turned: float = 0.0
    points: np.ndarray | None = None


class Detector(Protocol):
    """What `open_detector` returns: a name and a way to find faces."""

    name: str

    def find(self, rgb: np.ndarray) -> list[Face]:
        """Faces in (H, W, 3) uint8 RGB, largest first."""


class YuNet:
    """OpenCV's FaceDetectorYN, at a longest side of 640 px."""

    name = "yunet"

    def __init__(self, model: Path):
        try:
            self._network = cv2.FaceDetectorYN.create(str(model), "", (320, 320), YUNET_SCORE, 0.3, 5000)
        except cv2.error as error:
            raise DragFaceError(f"{model} cannot be used by OpenCV {cv2.__version__}: delete it.") from error

    def find(self, rgb: np.ndarray) -> list[Face]:
        """Faces in (H, W, 3) uint8 RGB, largest first."""
        small, scale = at_detection_size(rgb)
        self._network.setInputSize((small.shape[1], small.shape[0]))
        _, found = self._network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        rows = [] if found is None else found
        return _largest_first(
            Face(
                *_box(row[:4], scale),
                float(row[14]),
                _turned(row[4:10].reshape(3, 2)),
                row[4:14].reshape(5, 2) / scale,
            )
            for row in rows
        )


def _turned(points: np.ndarray) -> float:
    """See `Face.turned`; points: (3, 2), the eyes from left to right and the tip of the nose."""
    left, right, nose = points.astype(np.float64)
    across = right - left
    return float(np.dot(nose - (left + right) / 2, across) / max(np.dot(across, across), 1e-6))


class Haar:
    """The frontal-face cascade of the article. It takes some folds and leaves for faces: `find_faces` drops them."""

    name = "haar"

    def __init__(self) -> None:
        folder = Path(getattr(getattr(cv2, "data", None), "haarcascades", ""))
        self._faces = cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_default.xml"))
        if self._faces.empty():
            raise DragFaceError("OpenCV has no Haar cascade files: pip install opencv-python.")

    def find(self, rgb: np.ndarray) -> list[Face]:
        """Faces in (H, W, 3) uint8 RGB, largest first."""
        small, scale = at_detection_size(rgb)
        grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
        smallest = max(20, round(min(grey.shape) * 0.04))
        boxes, _, weights = self._faces.detectMultiScale3(
            grey, 1.1, 5, minSize=(smallest, smallest), outputRejectLevels=True
        )
        return _largest_first(
            Face(*_box(box, scale), float(1 / (1 + np.exp(-float(weight) / 4))))
            for box, weight in zip(boxes, np.ravel(weights), strict=True)
        )


def open_detector(name: str = "auto", models: Path | None = None) -> Detector:
    """The face detector called `name`: "yunet", "haar", or "auto" for YuNet if it can be had, else Haar.

    models: the folder in which YuNet's file is kept (default: the workspace's); the folder named by
    DRAGFACE_MODELS is looked at first. Raises DragFaceError when the one asked for, or any, is missing.
    """
    if name not in ("auto", "yunet", "haar"):
        raise DragFaceError(f"There is no face detector called {name!r}: use auto, yunet or haar.")
    return _open(name, models, os.environ.get("DRAGFACE_MODELS", ""))


@lru_cache(maxsize=4)
def _open(name: str, models: Path | None, first: str) -> Detector:
    reason = "it was not asked for"
    if name in ("auto", "yunet"):
        try:
            return YuNet(_yunet_file(models, first))
        except DragFaceError as error:
            reason = str(error)
            if name == "yunet":
                raise
    if not hasattr(cv2, "CascadeClassifier"):  # OpenCV 5 has none, whatever XML files lie about
        raise DragFaceError(
            f"No face detector can be used: this OpenCV ({cv2.__version__}) has no Haar cascade, and not YuNet "
            f"either ({reason.rstrip('.')}). Put {YUNET_FILE} into a folder and name it in DRAGFACE_MODELS."
        )
    if name == "auto":
        print(f"Faces are detected by the Haar cascade: YuNet is not available ({reason})", file=sys.stderr)
    return Haar()


def _yunet_file(models: Path | None, first: str) -> Path:
    if not hasattr(cv2, "FaceDetectorYN"):
        raise DragFaceError(f"OpenCV {cv2.__version__} has no FaceDetectorYN: install OpenCV 4.8 or newer.")
    at_hand = Path(first) / YUNET_FILE
    if first and _is_yunet(at_hand):
        return at_hand
    path = (models or Workspace.open().models) / YUNET_FILE
    if _is_yunet(path):
        return path
    from ..network import fetch_pinned  # here, because with the file at hand nothing of it is needed

    return fetch_pinned(YUNET_URL, path, YUNET_SHA256, 1_000_000)


def _is_yunet(path: Path) -> bool:
    return path.is_file() and sha256_of(path) == YUNET_SHA256


def at_detection_size(rgb: np.ndarray) -> tuple[np.ndarray, float]:
    """The (H, W, 3) photo as detectors look at it, and by how much it was scaled; twice is the same as once."""
    longest = max(rgb.shape[:2])
    scale = min(max(longest, SHORTEST_LONGEST_SIDE), LONGEST_SIDE) / longest
    if scale == 1.0:
        return rgb, scale
    size = [max(1, round(side * scale)) for side in rgb.shape[1::-1]]
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), scale


def _box(numbers: Iterable[float], scale: float) -> tuple[float, float, float, float]:
    x, y, width, height = (float(number) / scale for number in numbers)
    return x, y, width, height


def _largest_first(faces: Iterable[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: (-face.width * face.height, face.x, face.y))
