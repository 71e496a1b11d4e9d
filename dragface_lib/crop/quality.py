"""Numbers on a face, and the gates that turn them into "kept" or "rejected".

    numbers = measure(photo, face, crop)          one number a gate, the columns of crops.csv
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
from .align import apply, interocular, similarity
from .detect_glasses import glasses_score
from .find import Face
from .landmarks import CONTOURS, HAIRLINE
from .pose import head_pose

CROP_EYES = 64  # pixels between the pupils on a crop of 256
LOST = 0.06  # of the contrast: what a face may lose when its pixels become fewer, see `resolution`
GRID = np.linspace(0, 1, 9)  # where a crop is asked whether it lies outside the photo


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
        """The threshold, unless somebody changed it."""
        return max(bound for bound in (self.least, self.most) if bound is not None)

    def threshold(self, changed: Mapping[str, float]) -> str:
        """The threshold in words, with some changed."""
        sign = "at least" if self.least is not None else "at most"
        ranks = "" if self.rejects or self.name in changed else ", only ranks"
        return f"{sign} {changed.get(self.name, self.limit):g}{ranks}"

    def margin(self, value: float) -> float:
        """The value in parts of the threshold, or the other way round where less is better: above 1 is good."""
        if self.least is not None:
            return value / self.least
        if not self.most:  # 0 and below is good
            return 1.0 - value
        return self.most / abs(value) if value else math.inf

    def passes(self, value: float, limit: float) -> bool:
        """True also for a value that is not known."""
        return not (value < limit if self.least is not None else (abs(value) if limit else value) > limit)


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
    Gate("pitch", None, 25.0, "turned up or down by {value:.0f} degrees", "degrees that the head is turned up or down"),
    Gate(
        "roll",
        None,
        40.0,
        "leans by {value:.0f} degrees",
        "degrees that the head leans in the photo; the crop is turned level, but shoulders and hair are not",
    ),
    Gate("faces", None, 1.0, "{value:.0f} faces in one crop", "more than one face: how many look out of the crop"),
    Gate(
        "sharpness",
        0.38,
        None,
        "blurred: sharpness {value:.2f}, {limit:.2f} is needed",
        "what the face loses when it is blurred, 0..1; relative to its own contrast and pixels: soft light is no blur",
    ),
    Gate(
        "resolution",
        26.0,
        None,
        "too coarse: detail for {value:.0f} pixels between the eyes, {limit:.0f} are needed",
        "what the detail on the face is worth, in pixels between the pupils, up to 64; low where a photo was enlarged",
    ),
    Gate(
        "brightness",
        90.0,
        None,
        "too dark: its bright parts reach {value:.0f} of 255, {limit:.0f} are needed",
        "exposure: the 95th percentile of the face's luma, 0..255, so that dark skin in light is not darkness",
    ),
    Gate(
        "blown",
        None,
        0.3,
        "overexposed: {value:.0%} of the face is at its brightest",
        "exposure: share of the face where a colour is at its end",
    ),
    Gate(
        "contrast",
        65.0,
        None,
        "flat: the face spans {value:.0f} of 255, {limit:.0f} are needed",
        "contrast: from the 2nd to the 98th percentile of the face's luma, 0..255",
    ),
    Gate("colour", 0.7, None, "greyscale", "how far the crop's colours spread (LAB units); near 0 when grey or toned"),
    Gate(
        "glasses",
        None,
        0.0,
        "glasses",
        "glasses: how much the edges around the eyes are those of frames; about -0.5 on a bare face",
        rejects=False,
    ),
    Gate(
        "covered",
        None,
        0.65,
        "something before the face: {value:.0%} of it has another colour",
        "something before the face: share of nose, mouth and cheeks that has not the forehead's hue; hands have it",
        rejects=False,
    ),
    Gate(
        "copy", None, 0.5, "a copy of another photo", "near-duplicate: 1 for all but the best of photos that are copies"
    ),
)
# Numbers that no gate looks at, but in which two domains may differ.
FACTS = {
    "light": "median luma of the face, 0..255",
    "skin_tone": "individual typology angle of the cheeks in degrees: below 10 dark, above 41 light",
    "background": "median luma of the upper corners, 0..255",
    "hair": "share of the places beside jaw and neck that have the colour above the forehead, 0..1: hair worn long",
    "mirrored": "share of the crop that lies outside the photo and shows its mirror image",
}
NAMES = tuple(gate.name for gate in GATES) + tuple(FACTS)  # the columns of crops.csv


def limits(changed: Mapping[str, float] | None = None) -> dict[str, float]:
    """The thresholds of the gates that reject, with some changed. Raises DragFaceError for a gate there is not."""
    changed = {name: float(value) for name, value in (changed or {}).items() if value is not None}
    for name in changed:
        if name not in {gate.name for gate in GATES}:
            raise DragFaceError(f"There is no gate {name!r}: use one of {', '.join(gate.name for gate in GATES)}.")
        if math.isnan(changed[name]):
            raise DragFaceError(f"The gate {name!r} needs a number, as in {name}=20.")
    return {gate.name: changed.get(gate.name, gate.limit) for gate in GATES if gate.rejects or gate.name in changed}


def fault(numbers: Mapping[str, float], thresholds: Mapping[str, float] | None = None) -> str:
    """Why a face is not good enough to learn from, by the first gate that rejects it; empty when it is."""
    thresholds = limits() if thresholds is None else thresholds
    for gate in GATES:
        value = numbers.get(gate.name, math.nan)
        if gate.name in thresholds and not gate.passes(value, thresholds[gate.name]):
            return gate.says.format(value=abs(value), limit=thresholds[gate.name])
    return ""


def quality(numbers: Mapping[str, float]) -> float:
    """One number to put faces in order by, worst first: how far the worst of all gates, also of those that only rank,
    is from its threshold; below 1 on its wrong side, at most 2.
    """
    return min([2.0, *(gate.margin(numbers[gate.name]) for gate in GATES if gate.name in numbers)])


def measure(photo: np.ndarray, face: Face, crop: np.ndarray, others: Sequence[Face] = ()) -> dict[str, float]:
    """All numbers of one face. photo: (H, W, 3) uint8 RGB; crop: its aligned face, (256, 256, 3).

    others: the other faces in the photo.
    """
    size = crop.shape[0]
    points = np.asarray(face.points, np.float64)
    matrix = similarity(points, size)
    outside = np.any((points < 0) | (points >= photo.shape[1::-1]), axis=1)
    hull = cv2.convexHull(apply(matrix, points).round().astype(np.int32))
    region = cv2.fillConvexPoly(np.zeros(crop.shape[:2], np.uint8), hull, 1).astype(bool)
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    lab = cv2.cvtColor(crop.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    luma = grey[region]
    low, middle, bright, high = np.percentile(luma, [2, 50, 95, 98])
    yaw, pitch, roll = head_pose(face)
    noses = [apply(matrix, other.points[:2].mean(0)) for other in others]
    eyes = interocular(points)
    corners = apply(cv2.invertAffineTransform(matrix), np.array([[x, y] for x in GRID for y in GRID]) * size - 0.5)
    return {
        "eyes": eyes,
        "resolution": resolution(grey, eyes),
        # An eye outside the photo counts as all of it: nothing is known of where the face lies.
        "cut": 1.0 if outside[:2].any() else float(outside.mean()),
        "yaw": yaw,
        "pitch": pitch,
        "roll": roll,
        "faces": 1.0 + sum(bool(((nose >= 0) & (nose < size)).all()) for nose in noses),
        "sharpness": sharpness(grey, eyes),
        "brightness": float(bright),
        "blown": float((crop[region].max(axis=1) >= 254).mean()),
        "contrast": float(high - low),
        "colour": colour(lab),
        "glasses": glasses_score(crop),
        "covered": covered(lab, region),
        "copy": 0.0,  # one photo cannot tell
        "light": float(middle),
        "skin_tone": skin_tone(lab),
        "background": float(np.median(np.concatenate([grey[:40, :40], grey[:40, -40:]]))),
        "hair": hair(lab, apply(matrix, points)),
        "mirrored": float(((corners < 0) | (corners >= photo.shape[1::-1])).any(axis=1).mean()),
    }


def sharpness(grey: np.ndarray, eyes: float) -> float:
    """1 less Crété's perceptual blur (SPIE 6492, 2007) of eyes, nose and mouth on a (S, S) uint8 crop, 0..1.

    How much of the differences between neighbours goes when the picture is blurred: a ratio, so contrast drops out.
    A face of less than 64 pixels between the eyes was enlarged: it is judged at the size it had.
    """
    part = _middle(grey).astype(np.float32)
    if eyes < CROP_EYES:
        part = cv2.resize(part, None, fx=eyes / CROP_EYES, fy=eyes / CROP_EYES, interpolation=cv2.INTER_AREA)
    blur = []
    for axis, kernel in ((0, (1, 9)), (1, (9, 1))):
        before = np.abs(np.diff(part, axis=axis))
        after = np.abs(np.diff(cv2.blur(part, kernel), axis=axis))
        blur.append(1 - np.maximum(0, before - after).sum() / max(before.sum(), 1e-6))
    return float(1 - max(blur))


def resolution(grey: np.ndarray, eyes: float) -> float:
    """Pixels between the pupils at which the (256, 256) uint8 crop would lose less than 6 % of its contrast, 12..64."""
    part = _middle(grey).astype(np.float32)
    deviation, side, before = max(part.std(), 1.0), part.shape[0], None
    for pixels in (12, 16, 20, 24, 28, 32, 40, 48):
        small = cv2.resize(part, [round(side * pixels / CROP_EYES)] * 2, interpolation=cv2.INTER_AREA)
        lost = np.sqrt(np.mean((cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC) - part) ** 2))
        lost = float(lost / deviation)
        if lost < LOST:
            reached = pixels if before is None else np.interp(-LOST, [-before[1], -lost], [before[0], pixels])
            return float(min(reached, eyes))
        before = pixels, lost
    return float(min(CROP_EYES, eyes))


def colour(lab: np.ndarray) -> float:
    """How far the colours of (256, 256, 3) float32 spread beside the one line of a toned picture."""
    spread = np.cov(lab[::4, ::4, 1:].reshape(-1, 2).T)
    return float(np.sqrt(max(np.linalg.eigvalsh(spread)[0], 0.0)))


def covered(lab: np.ndarray, region: np.ndarray) -> float:
    """Share of the lower face whose hue is not that of forehead and nose; lab: (256, 256, 3) float32.

    Lips and blush are redder than skin, and that is no cover. A hand has the colour of a face: it is not seen.
    """
    skin = np.concatenate([lab[82:100, 96:160].reshape(-1, 3), lab[124:146, 118:138].reshape(-1, 3)])
    away = (lab[140:212][region[140:212]] - np.median(skin, axis=0))[:, 1:]
    away[:, 0] = np.where(away[:, 0] > 0, away[:, 0] / 4, away[:, 0])
    return float((np.hypot(*away.T) > 10).mean()) if len(away) else 0.0


def hair(lab: np.ndarray, points: np.ndarray) -> float:
    """How much of what lies beside jaw and neck has the colour that lies above the forehead, 0..1.

    lab: (S, S, 3) CIELAB crop; points: (189, 2) landmarks on it. Near 0 for hair that is short, tied back or gone; a
    scarf or a wig counts as hair. It puts faces in order and is right for many of them, not for each one.
    """
    size = len(lab)
    lab = cv2.GaussianBlur(lab, (0, 0), size / 128)
    line, jaw = points[list(HAIRLINE)], points[list(CONTOURS["jaw"])]
    x, y = np.arange(size), np.arange(size)[:, None]
    line = line[np.argsort(line[:, 0])]
    up = np.interp(x, line[:, 0], line[:, 1]) - y  # pixels above the forehead
    left, right = line[:, 0].min(), line[:, 0].max()
    inner = abs(x - (left + right) / 2) < 0.35 * (right - left)
    above = (up > 0.03 * size) & (up < 0.1 * size) & inner
    outline = cv2.convexHull(np.concatenate([jaw, line]).round().astype(np.int32))
    beyond = cv2.distanceTransform(cv2.fillConvexPoly(np.ones((size, size), np.uint8), outline, 0), cv2.DIST_L2, 5)
    eyes, chin = points[:2].mean(axis=0), jaw[:, 1].max()
    low = y > eyes[1] + 0.7 * (chin - eyes[1])
    beside = (beyond > 0.02 * size) & (beyond < 0.2 * size) & low & (abs(x - eyes[0]) > 0.14 * size)
    if not above.any() or not beside.any():
        return 0.0
    apart = (lab[beside] - np.median(lab[above], axis=0)) * (0.6, 1, 1)  # lightness counts less: hair has shades
    return float((np.linalg.norm(apart, axis=1) < 11).mean())


def skin_tone(lab: np.ndarray) -> float:
    """Individual typology angle (Chardon 1991) of both cheeks, degrees; lab: (256, 256, 3) float32."""
    cheeks = np.concatenate([lab[150:168, 82:98].reshape(-1, 3), lab[150:168, 158:174].reshape(-1, 3)])
    lightness, _, yellow = np.median(cheeks, axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def _middle(picture: np.ndarray) -> np.ndarray:
    """Eyes, nose and mouth of a crop."""
    return picture[96:216, 68:188]
