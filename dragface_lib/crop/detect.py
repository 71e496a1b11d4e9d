"""Propose a box for each face in a photo: YuNet when its model file can be had, the Haar cascade otherwise.

    detector = open_detector()
    boxes = detector.find(rgb)

The box only says where to look: the landmark network places the eyes, so both detectors align alike.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from .. import network
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

    score: the detector's, 0..1. points: (5, 2) pupils, tip of the nose and corners of the mouth, or None.
    """

    x: float
    y: float
    width: float
    height: float
    score: float
    points: np.ndarray | None = None

    @property
    def turned(self) -> float:
        """How far the nose lies to the right of the eyes' middle, in interocular distances; 0 without points."""
        if self.points is None:
            return 0.0
        left, right, nose = self.points[:3].astype(np.float64)
        across = right - left
        return float(np.dot(nose - (left + right) / 2, across) / max(np.dot(across, across), 1e-6))


class Detector:
    """Finds faces; many threads may use it at once.

    search: takes (H, W, 3) uint8 RGB and returns rows of x, y, width, height, five points or none, and score.
    """

    def __init__(self, search: Callable[[np.ndarray], Iterable[Sequence[float]]]):
        self._search, self._lock = search, threading.Lock()

    def find(self, rgb: np.ndarray, longest_side: int = LONGEST_SIDE, quarters: int = 0) -> list[Box]:
        """Boxes of the faces in (H, W, 3) uint8 RGB, largest first.

        longest_side: pixels to which larger photos are reduced. quarters: quarter turns counterclockwise before it is
        searched; the boxes are those of the photo as it lies.
        """
        longest = max(rgb.shape[:2])
        scale = min(max(longest, SHORTEST_LONGEST_SIDE), longest_side) / longest
        if scale != 1:
            size = [max(1, round(side * scale)) for side in rgb.shape[1::-1]]
            rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        bottom, right = (max(0, SHORTEST_SIDE - side) for side in rgb.shape[:2])
        rgb = cv2.copyMakeBorder(rgb, 0, bottom, 0, right, cv2.BORDER_CONSTANT)

        def back(places: np.ndarray) -> np.ndarray:
            for turn in range(quarters, 0, -1):  # undo the last turn first
                places = np.stack([rgb.shape[turn % 2] - places[:, 1], places[:, 0]], axis=1)
            return places / scale

        with self._lock:
            rows = self._search(np.ascontiguousarray(np.rot90(rgb, quarters)))
        boxes = []
        for *sides, score in rows:
            x, y, width, height = (float(side) for side in sides[:4])
            corners = back(np.array([[x, y], [x + width, y + height]]))
            points = back(np.array(sides[4:], np.float64).reshape(5, 2)) if sides[4:] else None
            (x, y), (width, height) = corners.min(0).tolist(), np.ptp(corners, axis=0).tolist()
            boxes.append(Box(x, y, width, height, float(score), points))
        return sorted(boxes, key=lambda box: (-box.width * box.height, box.x, box.y))


@lru_cache
def open_detector(name: str = "auto") -> Detector:
    """The face detector called `name`: "yunet", "haar", or "auto" for YuNet if it can be had, else Haar.

    YuNet's file is looked for in the folder named by DRAGFACE_MODELS, then in the user's cache folder, where it is
    fetched to once. Raises DragFaceError when the detector asked for, or any detector, is missing.
    """
    if name not in ("auto", "yunet", "haar"):
        raise DragFaceError(f"There is no face detector called {name!r}: use auto, yunet or haar.")
    if name == "haar":
        return _haar()
    try:
        return _yunet(_yunet_file())
    except DragFaceError as error:
        if name == "yunet":
            raise
        haar = _haar()
        print(f"Faces are detected by the Haar cascade: YuNet is not available ({error})", file=sys.stderr)
        return haar


def _yunet(model: Path) -> Detector:
    """OpenCV's FaceDetectorYN."""
    yunet = cv2.FaceDetectorYN.create(str(model), "", (320, 320), YUNET_SCORE, 0.3, 5000)

    def search(rgb: np.ndarray) -> np.ndarray:
        yunet.setInputSize((rgb.shape[1], rgb.shape[0]))
        _, rows = yunet.detect(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        rows = np.empty((0, 15), np.float32) if rows is None else rows
        return rows[np.isfinite(rows).all(1) & (np.abs(rows) < 4 * LONGEST_SIDE).all(1)]

    return Detector(search)


def _haar() -> Detector:
    """The frontal-face cascade of the article. It takes some folds and leaves for faces: `find_faces` drops them."""
    file = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
    if not hasattr(cv2, "CascadeClassifier") or not file.exists():  # OpenCV 5 has the file alone
        raise DragFaceError(f"This OpenCV has no Haar cascade: name a folder with {YUNET_FILE} in DRAGFACE_MODELS.")
    cascade = cv2.CascadeClassifier(str(file))

    def search(rgb: np.ndarray) -> Iterable[Sequence[float]]:
        grey = cv2.equalizeHist(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
        smallest = max(20, round(min(grey.shape) * 0.04))
        boxes, _, weights = cascade.detectMultiScale3(grey, 1.1, 5, 0, (smallest, smallest), outputRejectLevels=True)
        scores = 1 / (1 + np.exp(-np.ravel(weights).astype(float) / 4))
        return [(*box, score) for box, score in zip(boxes, scores, strict=True)]

    return Detector(search)


def _yunet_file() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "dragface")
    for folder in (os.environ.get("DRAGFACE_MODELS"), cache):
        if folder and (path := Path(folder, YUNET_FILE)).is_file() and sha256_of(path) == YUNET_SHA256:
            return path
    return network.fetch_pinned(YUNET_URL, cache / YUNET_FILE, YUNET_SHA256, 1_000_000)
