"""Propose a box for each face in a photo: YuNet when its model file can be had, the Haar cascade otherwise.

    detector = open_detector()
    boxes = detector.find(rgb)

The box only says where to look: the landmark network places the eyes, so both detectors align alike.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from ..errors import DragFaceError
from ..files import sha256_of

YUNET_FILE = "face_detection_yunet_2023mar.onnx"
YUNET_URL = (
    "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/"
    "0047ac24afb1a50a0c6105001c89d1b5b805dbf1/onnx/yunet_s_640_640.onnx"
)
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
YUNET_SCORE = 0.8  # minimum score: at 640 px it keeps every face of the test photos, and nothing else
LONGEST_SIDE = 640
SHORTEST_LONGEST_SIDE = 160  # smaller pictures are enlarged: both detectors know faces from about 20 px on
SHORTEST_SIDE = 64  # narrower pictures are padded: at 32 px or less YuNet returns uninitialised numbers


class Box(NamedTuple):
    """A box around a face, in pixels of the photo.

    score: the detector's own, 0..1. points: (5, 2) pupils, tip of the nose and corners of the mouth, from left to
    right; None where the detector gives none.
    """

    x: float
    y: float
    width: float
    height: float
    score: float
    points: np.ndarray | None = None

    @property
    def turned(self) -> float:
        """How far the tip of the nose lies to the right of the middle between the eyes, in interocular distances.

        0 where the detector gives no points.
        """
        if self.points is None:
            return 0.0
        left, right, nose = self.points[:3].astype(np.float64)
        across = right - left
        return float(np.dot(nose - (left + right) / 2, across) / max(np.dot(across, across), 1e-6))


class Detector(Protocol):
    """A name, and a way to find faces that many threads may use at once."""

    name: str

    def find(self, rgb: np.ndarray) -> list[Box]:
        """Boxes of the faces in (H, W, 3) uint8 RGB, largest first."""


class YuNet:
    """OpenCV's FaceDetectorYN, at a longest side of 640 px."""

    name = "yunet"

    def __init__(self, model: Path):
        try:
            self._network = cv2.FaceDetectorYN.create(str(model), "", (320, 320), YUNET_SCORE, 0.3, 5000)
        except cv2.error as error:
            raise DragFaceError(f"{model} cannot be used by OpenCV {cv2.__version__}: delete it.") from error
        self._lock = threading.Lock()

    def find(self, rgb: np.ndarray) -> list[Box]:
        """Boxes of the faces in (H, W, 3) uint8 RGB, largest first."""
        small, scale = at_detection_size(rgb)
        with self._lock:
            self._network.setInputSize((small.shape[1], small.shape[0]))
            _, rows = self._network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        rows = np.empty((0, 15), np.float32) if rows is None else rows
        rows = rows[np.isfinite(rows).all(1) & (np.abs(rows) < 4 * LONGEST_SIDE).all(1)]
        return _largest_first(_box(row[:4], scale, row[14], row[4:14].reshape(5, 2) / scale) for row in rows)


class Haar:
    """The frontal-face cascade of the article. It takes some folds and leaves for faces: `find_faces` drops them."""

    name = "haar"

    def __init__(self) -> None:
        folder = Path(getattr(getattr(cv2, "data", None), "haarcascades", ""))
        self._cascade = cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_default.xml"))
        if self._cascade.empty():
            raise DragFaceError("OpenCV has no Haar cascade files: pip install opencv-python.")
        self._lock = threading.Lock()

    def find(self, rgb: np.ndarray) -> list[Box]:
        """Boxes of the faces in (H, W, 3) uint8 RGB, largest first."""
        small, scale = at_detection_size(rgb)
        grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
        smallest = max(20, round(min(grey.shape) * 0.04))
        with self._lock:
            boxes, _, weights = self._cascade.detectMultiScale3(
                grey, 1.1, 5, minSize=(smallest, smallest), outputRejectLevels=True
            )
        scores = 1 / (1 + np.exp(-np.ravel(weights).astype(float) / 4))
        return _largest_first(_box(box, scale, score) for box, score in zip(boxes, scores, strict=True))


def open_detector(name: str = "auto") -> Detector:
    """The face detector called `name`: "yunet", "haar", or "auto" for YuNet if it can be had, else Haar.

    YuNet's file is looked for in the folder named by DRAGFACE_MODELS, then in the user's cache folder, where it is
    fetched to once. Raises DragFaceError when the detector asked for, or any detector, is missing.
    """
    if name not in ("auto", "yunet", "haar"):
        raise DragFaceError(f"There is no face detector called {name!r}: use auto, yunet or haar.")
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return _open(name, os.environ.get("DRAGFACE_MODELS"), Path(cache, "dragface"))


@lru_cache(maxsize=4)
def _open(name: str, models: str | None, cache: Path) -> Detector:
    reason = "it was not asked for"
    if name != "haar":
        try:
            return YuNet(_yunet_file(models, cache))
        except DragFaceError as error:
            reason = str(error)
            if name == "yunet":
                raise
    if not hasattr(cv2, "CascadeClassifier"):  # OpenCV 5 has none, though its XML files may be there
        raise DragFaceError(
            f"No face detector can be used: this OpenCV ({cv2.__version__}) has no Haar cascade, and not YuNet "
            f"either ({reason.rstrip('.')}). Put {YUNET_FILE} into a folder and name it in DRAGFACE_MODELS."
        )
    if name == "auto":
        print(f"Faces are detected by the Haar cascade: YuNet is not available ({reason})", file=sys.stderr)
    return Haar()


def _yunet_file(models: str | None, cache: Path) -> Path:
    if not hasattr(cv2, "FaceDetectorYN"):
        raise DragFaceError(f"OpenCV {cv2.__version__} has no FaceDetectorYN: install OpenCV 4.8 or newer.")
    for folder in (models, cache):
        if folder and (path := Path(folder, YUNET_FILE)).is_file() and sha256_of(path) == YUNET_SHA256:
            return path
    from ..network import fetch_pinned  # imported late: with the file at hand nothing of it is needed

    return fetch_pinned(YUNET_URL, cache / YUNET_FILE, YUNET_SHA256, 1_000_000)


def at_detection_size(rgb: np.ndarray, longest_side: int = LONGEST_SIDE) -> tuple[np.ndarray, float]:
    """The (H, W, 3) photo as detectors see it, and by how much it was scaled; twice is the same as once."""
    longest = max(rgb.shape[:2])
    scale = min(max(longest, SHORTEST_LONGEST_SIDE), longest_side) / longest
    if scale != 1:
        size = [max(1, round(side * scale)) for side in rgb.shape[1::-1]]
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    bottom, right = (max(0, SHORTEST_SIDE - side) for side in rgb.shape[:2])
    return (cv2.copyMakeBorder(rgb, 0, bottom, 0, right, cv2.BORDER_CONSTANT) if bottom or right else rgb), scale


def _box(sides: Iterable[float], scale: float, score: float, points: np.ndarray | None = None) -> Box:
    x, y, width, height = (float(side) / scale for side in sides)
    return Box(x, y, width, height, float(score), points)


def _largest_first(boxes: Iterable[Box]) -> list[Box]:
    return sorted(boxes, key=lambda box: (-box.width * box.height, box.x, box.y))
