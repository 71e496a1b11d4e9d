"""The gates that turn the measurements of a face into "kept" or "rejected".

    reason = fault(numbers, limits({"yaw": 20}))      "" where every gate passes

`crops.csv` holds every number of every face, so thresholds can be changed without opening a photo again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from ..errors import DragFaceError
from .measure import MEASUREMENTS

ANGLES = ("yaw", "pitch", "roll")  # in degrees; their thresholds count both ways


class Gate(NamedTuple):
    """A measurement and its threshold.

    reason: said of a face that fails, with {value} and {limit}. rejects: False for an unreliable
    measurement, which only sorts the faces until somebody sets a threshold.
    """

    name: str
    sign: Literal["at least", "at most"]
    limit: float
    reason: str
    rejects: bool = True

    @property
    def help(self) -> str:
        """What is measured."""
        return MEASUREMENTS[self.name]

    def threshold(self, changed: Mapping[str, float]) -> str:
        """The threshold in words, with these changes."""
        ranks = "" if self.rejects or self.name in changed else ", only ranks"
        return f"{self.sign} {changed.get(self.name, self.limit):g}{ranks}"

    def passes(self, value: float, limit: float) -> bool:
        """Whether a value is good enough; True also for NaN, a value that is not known."""
        if self.sign == "at least":
            return not value < limit
        return not (abs(value) if self.name in ANGLES else value) > limit

    def margin(self, value: float) -> float:
        """The ratio of value and threshold, turned so that a good face has more than 1."""
        if self.sign == "at least":
            return value / self.limit
        if not self.limit:
            return 1.0 - value
        return self.limit / abs(value) if value else math.inf


GATES = (
    Gate("eyes", "at least", 32.0, "too small: {value:.0f} pixels between the eyes, {limit:.0f} are needed"),
    Gate("cut", "at most", 0.15, "cut off: {value:.0%} of the face lies outside the photo"),
    Gate("yaw", "at most", 30.0, "turned to the side by {value:.0f} degrees"),
    Gate("pitch", "at most", 25.0, "turned up or down by {value:.0f} degrees"),
    Gate("roll", "at most", 40.0, "leans by {value:.0f} degrees"),
    Gate("faces", "at most", 1.0, "{value:.0f} faces in one crop"),
    Gate("sharpness", "at least", 0.38, "blurred: sharpness {value:.2f}, {limit:.2f} is needed"),
    Gate("resolution", "at least", 26.0, "too coarse: detail of {value:.0f} pixels between the eyes, not {limit:.0f}"),
    Gate("brightness", "at least", 90.0, "too dark: its bright parts reach {value:.0f} of 255, {limit:.0f} are needed"),
    Gate("blown", "at most", 0.3, "overexposed: {value:.0%} of the face is at its brightest"),
    Gate("contrast", "at least", 65.0, "flat: the face spans {value:.0f} of 255, {limit:.0f} are needed"),
    Gate("colour", "at least", 0.7, "greyscale"),
    Gate("glasses", "at most", 0.0, "glasses", rejects=False),
    Gate("covered", "at most", 0.65, "something before the face: {value:.0%} of it has another colour", rejects=False),
    Gate("copy", "at most", 0.5, "a copy of another photo"),
)


def limits(changed: Mapping[str, float] | None = None) -> dict[str, float]:
    """The thresholds of the gates that reject, with these changes. Raises DragFaceError for an unknown gate."""
    changed, names = changed or {}, [gate.name for gate in GATES]
    for name in changed:
        if name not in names:
            raise DragFaceError(f"There is no gate {name!r}: use one of {', '.join(names)}.")
    return {gate.name: changed.get(gate.name, gate.limit) for gate in GATES if gate.rejects or gate.name in changed}


def changed_gates(text: str = "", **fields: str) -> dict[str, float]:
    """Thresholds as a form has them: changed_gates("pitch=15 copy=1", yaw="20", eyes=""). Empty fields are left out."""
    pairs = [f"{name}={value}" for name, value in fields.items() if value] + text.split()
    try:
        changed = {name: float(value) for name, _, value in (pair.partition("=") for pair in pairs)}
    except ValueError as error:
        raise DragFaceError(f"A gate needs a number, as in yaw=20 ({error}).") from None
    limits(changed)
    return changed


def fault(numbers: Mapping[str, float], thresholds: Mapping[str, float] | None = None) -> str:
    """Why a face is not good enough to learn from, by the first gate that rejects it; empty when it is."""
    thresholds = limits() if thresholds is None else thresholds
    for gate in GATES:
        value = numbers.get(gate.name, math.nan)
        if gate.name in thresholds and not gate.passes(value, thresholds[gate.name]):
            return gate.reason.format(value=abs(value), limit=thresholds[gate.name])
    return ""


def quality(numbers: Mapping[str, float]) -> float:
    """The smallest margin of all gates, at most 2 and below 1 for a bad face: puts faces in order, worst first."""
    return min([2.0, *(gate.margin(numbers[gate.name]) for gate in GATES if gate.name in numbers)])
