"""Numbers on a face, and the gates that turn them into "kept" or "rejected".

    numbers = measure(photo, found, face)         one number a gate, the columns of crops.csv
    fault(numbers)                                "" or the first gate's sentence
    fault(numbers, limits({"yaw": 20}))           with a threshold changed

Every number is written down for every face, so thresholds can be changed without opening a photo again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import DragFaceError
from .finding import FoundFace, interocular
from .pose import head_pose


@dataclass(frozen=True)
class Gate:
    """One number on a face and how much of it is right.

    name: the column. least, most: the threshold, one of them. says: the reason when it fails, with {value} and
    {limit}. help: what the number is. rejects: False for one that is right too seldom to reject by itself; its
    threshold then only serves to put the faces in order, until somebody sets another.
    """

    name: str
    least: float | None
    most: float | None
    says: str
    help: str
    rejects: bool = True

    @property
    def limit(self) -> float:
        return self.least if self.least is not None else self.most

    def margin(self, value: float, limit: float) -> float:
        """Above 1 where the gate lets the face through, the further the better; below 1 where it does not."""
        if math.isnan(value):
            return math.inf
        good, bad = (value, limit) if self.least is not None else (limit, abs(value))
        return math.inf if bad <= 0 else max(good, 0.0) / bad


GATES = (
    Gate(
        "eyes",
        32.0,
        None,
        "too small: {value:.0f} pixels between the eyes, {limit:.0f} are needed",
        "face size: pixels between the pupils in the photo; below 32 a face is enlarged more than twice",
    ),
    Gate(
        "cut",
        None,
        0.15,
        "cut off: {value:.0%} of the face lies outside the photo",
        "border cut: share of the landmarks outside the photo; where the mouth is cut off it is a quarter",
    ),
    Gate("yaw", None, 30.0, "turned to the side by {value:.0f} degrees", "degrees that the head is turned to a side"),
    Gate("pitch", None, 30.0, "turned up or down by {value:.0f} degrees", "degrees that the head is turned up or down"),
    Gate(
        "roll",
        None,
        40.0,
        "leans by {value:.0f} degrees",
        "degrees that the head leans in the photo; the crop is turned level, but shoulders and hair are not",
    ),
    Gate(
        "faces",
        None,
        1.0,
        "{value:.0f} faces in one crop",
        "more than one face: how many faces look out of the crop",
    ),
    Gate(
        "sharpness",
        0.3,
        None,
        "blurred: sharpness {value:.2f}, {limit:.2f} is needed",
        "how much the face loses when it is blurred, 0..1; relative to its own contrast, so soft light is not blur",
    ),
    Gate(
        "brightness",
        60.0,
        None,
        "too dark: its bright parts reach {value:.0f} of 255, {limit:.0f} are needed",
        "exposure: the 95th percentile of the face's luma, 0..255, so that dark skin in light is not darkness",
    ),
    Gate(
        "blown",
        None,
        0.25,
        "overexposed: {value:.0%} of the face is white",
        "exposure: share of the face whose red is at its end",
    ),
    Gate(
        "contrast",
        40.0,
        None,
        "flat: the face spans {value:.0f} of 255, {limit:.0f} are needed",
        "contrast: from the 2nd to the 98th percentile of the face's luma, 0..255",
    ),
    Gate("colour", 2.0, None, "greyscale", "how far the crop's colours spread (LAB units); 0 when grey or toned"),
    Gate(
        "copy", None, 0.0, "a copy of another photo", "near-duplicate: 1 for all but the best of photos that are copies"
    ),
)
NAMES = tuple(gate.name for gate in GATES)


def limits(changed: Mapping[str, float] | None = None) -> dict[str, float]:
    """The thresholds of the gates that reject, with some changed. Raises DragFaceError for a gate there is not."""
    changed = {name: float(value) for name, value in (changed or {}).items() if value is not None}
    for name in changed:
        if name not in NAMES:
            raise DragFaceError(f"There is no gate {name!r}: use one of {', '.join(NAMES)}.")
    return {gate.name: changed.get(gate.name, gate.limit) for gate in GATES if gate.rejects or gate.name in changed}


def fault(numbers: Mapping[str, float], thresholds: Mapping[str, float] | None = None) -> str:
    """Why a face is not good enough to learn from, by the first gate that rejects it; empty when it is."""
    thresholds = limits() if thresholds is None else thresholds
    for gate in GATES:
        value = numbers.get(gate.name, math.nan)
        if gate.name in thresholds and gate.margin(value, thresholds[gate.name]) < 1:
            return gate.says.format(value=abs(value), limit=thresholds[gate.name])
    return ""


def quality(numbers: Mapping[str, float]) -> float:
    """One number to put faces in order by, worst first: the smallest margin of all gates, those that only rank too."""
    return min(2.0, *(gate.margin(numbers.get(gate.name, math.nan), gate.limit) for gate in GATES))


def measure(
    photo: np.ndarray, found: FoundFace, face: np.ndarray, matrix: np.ndarray, others: Sequence[FoundFace] = ()
) -> dict[str, float]:
    """All numbers of one face. photo: (H, W, 3) uint8 RGB; face: its (256, 256, 3) crop, made with `matrix`."""
    size = face.shape[0]
    points = np.asarray(found.points, np.float64)
    on_crop = points @ matrix[:, :2].T + matrix[:, 2]
    outside = ((points < 0) | (points >= photo.shape[1::-1])).any(axis=1)
    region = cv2.fillConvexPoly(
        np.zeros(face.shape[:2], np.uint8), cv2.convexHull(on_crop.round().astype(np.int32)), 1
    ).astype(bool)
    if not region.any():
        region[:] = True
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    luma = grey[region]
    yaw, pitch, roll = head_pose(found)
    noses = [(one.points[:2].mean(0) @ matrix[:, :2].T + matrix[:, 2]) for one in others]
    low, high = np.percentile(luma, [2, 98])
    return {
        "eyes": interocular(points),
        # An eye outside the photo counts as all of it: nothing is known of where the face lies.
        "cut": 1.0 if outside[:2].any() else float(outside.mean()),
        "yaw": yaw,
        "pitch": pitch,
        "roll": roll,
        "faces": 1.0 + sum(bool(((nose >= 0) & (nose < size)).all()) for nose in noses),
        "sharpness": sharpness(grey),
        "brightness": float(np.percentile(luma, 95)),
        "blown": float((face[region][:, 0] >= 254).mean()),
        "contrast": float(high - low),
        "colour": colour(face),
        "copy": 0.0,  # one photo cannot tell
    }


def sharpness(grey: np.ndarray) -> float:
    """1 less Crété's perceptual blur (SPIE 6492, 2007) of eyes, nose and mouth on a (S, S) uint8 crop, 0..1.

    How much of the differences between neighbours goes when the picture is blurred: a ratio, so contrast drops out.
    """
    size = grey.shape[0]
    part = grey[int(0.36 * size) : int(0.84 * size), int(0.26 * size) : int(0.74 * size)].astype(np.float32)
    blur = []
    for axis, kernel in ((0, (1, 9)), (1, (9, 1))):
        before = np.abs(np.diff(part, axis=axis))
        after = np.abs(np.diff(cv2.blur(part, kernel), axis=axis))
        blur.append(1 - np.maximum(0, before - after).sum() / max(before.sum(), 1e-6))
    return float(1 - max(blur))


def colour(face: np.ndarray) -> float:
    """How far the colours of (S, S, 3) uint8 RGB spread: a toned picture has one hue, a grey one none."""
    lab = cv2.cvtColor(face[::2, ::2], cv2.COLOR_RGB2LAB).reshape(-1, 3)[:, 1:].astype(np.float32)
    return float(np.sqrt(lab.var(axis=0).sum()))
