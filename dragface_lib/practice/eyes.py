"""Eyes and brows: natural brows covered, high ones drawn, cut-crease shadow, liner with a wing, lashes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator

from ..crop.masks import smoothstep
from .canvas import Canvas, ribbon, smooth_curve
from .looks import Makeup
from .skin import Skin, pigment

CLOSED = 0.14  # height of the opening over its width, below which an eye is shut
# Numbers of the landmarks of each eye, from the nose outwards.
UPPER = {-1: (22, 21, 20, 19, 18), 1: (23, 24, 25, 26, 27)}
LOWER = {-1: (22, 30, 29, 28, 18), 1: (23, 31, 32, 33, 27)}
CREASE = {-1: (38, 37, 36, 35, 34), 1: (39, 40, 41, 42, 43)}
BROW_TOP = {-1: (76, 75, 74, 73, 72, 71), 1: (77, 78, 79, 80, 81, 82)}
BROW_BOTTOM = {-1: (76, 84, 83, 71), 1: (77, 85, 86, 82)}


@dataclass(frozen=True)
class Eye:
    """One eye in face coordinates whose x runs outwards from the nose, so that both are alike.

    side: -1 for the one at the left of the picture. The curves run from the nose outwards.
    brow: (N, 2) the middle line of the brow that is drawn, and brow_width (N,) its width. room: for wing and tail of
    the brow beyond the outer corner; less than 1 on the far side of a turned head.
    """

    side: int
    upper: np.ndarray
    lower: np.ndarray
    crease: np.ndarray
    brow: np.ndarray
    brow_width: np.ndarray
    room: float = 1.0

    @property
    def inner(self) -> np.ndarray:
        """The corner beside the nose."""
        return self.upper[0]

    @property
    def outer(self) -> np.ndarray:
        """The other corner."""
        return self.upper[-1]

    @property
    def width(self) -> float:
        """From corner to corner, in interocular distances."""
        return float(np.linalg.norm(self.outer - self.inner))

    @property
    def closed(self) -> bool:
        """Whether the lids are together, or nearly so."""
        return float(np.max(self.lower[:, 1] - self.upper[:, 1])) < CLOSED * self.width

    def outside(self, curve: np.ndarray) -> np.ndarray:
        """The curve in face coordinates again."""
        return np.asarray(curve) * [self.side, 1]


def study_eyes(canvas: Canvas, makeup: Makeup) -> list[Eye]:
    """Both eyes, with the brows that suit them: as alike as the face allows."""
    p = canvas.points
    shapes = []
    for side in (-1, 1):
        top, bottom = p[list(BROW_TOP[side])] * [side, 1], p[list(BROW_BOTTOM[side])] * [side, 1]
        upper = p[list(UPPER[side])] * [side, 1]
        level = (upper[0, 1] + upper[-1, 1]) / 2
        start = level - (top[:2, 1].mean() + bottom[:2, 1].mean()) / 2
        shapes.append((start, level - top[:, 1].min(), level - (top[-1, 1] + bottom[-1, 1]) / 2))
    mean = np.mean(shapes, axis=0)
    eyes = []
    for side, shape in zip((-1, 1), shapes, strict=True):
        upper, lower, crease = (p[list(numbers[side])] * [side, 1] for numbers in (UPPER, LOWER, CREASE))
        start, peak, end = 0.25 * np.asarray(shape) + 0.75 * mean
        level, first, last = (upper[0, 1] + upper[-1, 1]) / 2, upper[0, 0], upper[-1, 0]
        width = last - first
        hairline = level - p[[137, 138, 139, 140, 141], 1].max() - 0.12
        start = np.clip(start, 0.24, 0.45) + 0.75 * makeup.brow_lift
        peak = min(np.clip(peak, 0.34, 0.62) + makeup.brow_lift, max(hairline, 0.42))
        end = max(np.clip(end, 0.18, 0.42) + 0.6 * makeup.brow_lift, peak - 0.26)
        rise = peak - start
        heights = [start, start + 0.22 * rise, start + 0.62 * rise, start + 0.93 * rise, peak, peak - 0.045, end]
        at = np.array([-0.14, 0.08, 0.36, 0.62, 0.84, 1.10, 1.50])
        far = side * canvas.turned > 0
        room = 1 - float(np.clip(2.2 * (abs(canvas.turned) - 0.06), 0, 0.7)) if far else 1.0
        at = np.where(at > 1, 1 + (at - 1) * room, at)
        line = smooth_curve(np.stack([first + at * width, level - np.array(heights)], 1), 64)
        t = np.linspace(0, 1, 64)
        widths = PchipInterpolator([0, 0.06, 0.25, 0.5, 0.66, 0.85, 1], [0.62, 0.85, 1.0, 0.88, 0.66, 0.34, 0.04])(t)
        lids = smooth_curve(upper), smooth_curve(lower)
        eyes.append(Eye(side, *lids, smooth_curve(crease), line, widths * makeup.brow_thickness, room))
    return eyes


def cover_brows(canvas: Canvas, skin: Skin, rng: np.random.Generator) -> None:
    """Lay skin over the natural brows: glue, powder and foundation, with pores but without hairs."""
    p = canvas.points
    cover = np.zeros(canvas.shape, np.float32)
    for side in (-1, 1):
        top, bottom = smooth_curve(p[list(BROW_TOP[side])], 32), smooth_curve(p[list(BROW_BOTTOM[side])], 32)
        middle, half = (top + bottom) / 2, np.linalg.norm(top - bottom, axis=1) / 2
        ends = middle[0] - 1.5 * (middle[2] - middle[0]), middle[-1] + 2.0 * (middle[-1] - middle[-3])
        middle = np.concatenate([[ends[0]], middle, [ends[1]]])
        half = np.concatenate([half[:1], half, half[-1:]])
        cover = np.maximum(cover, canvas.fill([ribbon(middle, 2 * (half + 0.07))]))
    cover = np.minimum(1, 1.6 * canvas.blur(cover, 0.028)) * skin.oval * skin.free
    cover *= 1 - cv2.dilate(skin.openings, np.ones((5, 5), np.uint8))
    grain = cv2.GaussianBlur(rng.standard_normal(canvas.shape, np.float32), (0, 0), max(0.5, 0.004 * canvas.unit))
    fill = skin.base.copy()
    fill[..., 0] += grain / max(float(grain.std()), 1e-6) * _grain_of(canvas, skin)
    canvas.lab[...] += cover[..., None] * (fill - canvas.lab)


def _grain_of(canvas: Canvas, skin: Skin) -> float:
    """How grainy the cheeks are, in units of lightness."""
    fine = canvas.lab[..., 0] - canvas.blur(canvas.lab[..., 0], 0.008)
    cheeks = (skin.worn > 0.9) & (canvas.y > 0.25) & (canvas.y < 0.6) & (np.abs(canvas.x) > 0.3)
    return float(np.clip(np.median(np.abs(fine[cheeks])) * 1.48, 0, 2)) if cheeks.sum() > 30 else 0.5


def paint_eyes(canvas: Canvas, skin: Skin, makeup: Makeup, rng: np.random.Generator) -> None:
    """Everything about the eyes, from the shadow to the lashes, and the brows."""
    eyes = study_eyes(canvas, makeup)
    where = skin.free * skin.oval
    for eye in eyes:
        _shadow(canvas, skin, makeup, eye, (1 - skin.openings) * where, rng)
    for eye in eyes:
        _liner(canvas, makeup, eye, where)
        _lashes(canvas, makeup, eye, where, np.random.default_rng(rng.integers(2**32)))
        _brow(canvas, skin, makeup, eye, where, rng)


def _shadow(canvas: Canvas, skin: Skin, makeup: Makeup, eye: Eye, where: np.ndarray, rng: np.random.Generator) -> None:
    x, y = canvas.x * eye.side, canvas.y
    first, last = eye.inner, eye.outer
    t = (x - first[0]) / (last[0] - first[0])  # 0 at the inner corner of the eye, 1 at the outer
    tail = eye.brow[-1] + [0.0, 0.05]
    # Below: the lash line, and beyond the corner a straight line up to the tail of the brow.
    bottom = np.interp(x, [first[0] - 0.35, *eye.upper[:, 0], tail[0]], [first[1] - 0.06, *eye.upper[:, 1], tail[1]])
    low_edge = eye.brow[:, 1] + 0.5 * eye.brow_width + 0.012
    top = np.interp(x, eye.brow[:, 0], low_edge)
    reach = np.maximum(bottom - top, 0.02)
    v = np.clip((bottom - y) / reach, -1, 2).astype(np.float32)  # 0 at the lashes, 1 below the brow
    above = bottom - y

    lids = np.interp(eye.crease[:, 0], eye.upper[:, 0], eye.upper[:, 1]) - eye.crease[:, 1]
    natural = float(np.clip(np.median(lids[10:-10]), 0.04, 0.3))
    arch = PchipInterpolator([-0.4, -0.1, 0.12, 0.45, 0.75, 1.0, 1.4], [0.15, 0.35, 0.72, 1.0, 0.98, 0.80, 0.7])
    # The cut crease lies above the natural one.
    cut = np.minimum((0.075 + natural) * arch(np.clip(t, -0.4, 1.4)), 0.56 * reach)

    lid = smoothstep(0.008, -0.008, above - cut) * smoothstep(0.94, 0.66, t) * smoothstep(-0.16, 0.06, t)
    over = (above - cut) / np.maximum(reach - cut, 0.02)  # 0 on the cut crease, 1 below the brow
    deep = smoothstep(0.66, 0.10, over) * smoothstep(-0.26, 0.22, t)
    corner = smoothstep(0.55, 0.90, t) * smoothstep(0.86, 0.35, v)
    deep = np.maximum(deep, corner) * (1 - lid)
    glow = smoothstep(0.74, 0.98, over) * smoothstep(0.15, 0.6, t) * smoothstep(1.5, 1.1, t)

    colour = np.empty_like(canvas.lab)
    colour[...] = makeup.transition
    colour += deep[..., None] * (np.asarray(makeup.crease, np.float32) - colour)
    lid_colour = np.asarray(makeup.lid, np.float32) + np.zeros_like(colour)
    # The lid is brightest towards the nose, as if light fell on a metal.
    lid_colour[..., 0] += 5 * smoothstep(0.45, 0.1, t) - 9 * smoothstep(0.45, 0.9, t)
    colour += lid[..., None] * (lid_colour - colour)
    colour += 0.8 * glow[..., None] * (np.asarray(makeup.glow, np.float32) * [0.94, 1, 1] - colour)

    cover = smoothstep(1.06, 0.84, v) * 0.72 + smoothstep(0.95, 0.5, v) * 0.28
    cover = np.maximum(cover, 0.62 * glow * smoothstep(1.04, 0.98, v))
    cover = np.maximum(cover, lid)
    edge = np.where(t > 0.97, smoothstep(-0.005, 0.05, above), smoothstep(-0.03, 0.0, above))
    cover = cover * edge * smoothstep(-0.34, 0.08, t) * smoothstep(1.74, 1.34, t + 0.25 * (1 - v))
    pigment(canvas, skin, colour, (cover * makeup.shadow * where).astype(np.float32))

    lower = np.interp(x, eye.lower[:, 0], eye.lower[:, 1])
    below = y - lower
    depth = PchipInterpolator([-0.2, 0.1, 0.6, 1.0, 1.3], [0.03, 0.045, 0.085, 0.105, 0.05])(np.clip(t, -0.2, 1.3))
    smoke = smoothstep(1.0, 0.1, below / depth) * smoothstep(-0.02, 0.0, below)
    smoke *= smoothstep(-0.05, 0.3, t) * smoothstep(1.22, 1.0, t)
    pigment(canvas, skin, np.asarray(makeup.lower), (0.8 * smoke * where).astype(np.float32))
    spark = canvas.airbrush(eye.outside(np.array([first + [-0.03, 0.005]])), 0.035, 0.9)
    pigment(canvas, skin, np.asarray(makeup.glow), (spark * where).astype(np.float32))
    if makeup.glitter:
        _glitter(canvas, makeup, np.maximum(lid * edge, 0.25 * cover) * where, rng)


def _glitter(canvas: Canvas, makeup: Makeup, cover: np.ndarray, rng: np.random.Generator) -> None:
    """Specks that catch the light, the same size on every face."""
    specks = np.zeros(canvas.shape, np.float32)
    count = int(900 * makeup.glitter)
    box = np.argwhere(cover > 0.1)
    if not len(box):
        return
    places = box[rng.integers(len(box), size=count)]
    strong = rng.uniform(0.3, 1.0, count).astype(np.float32) ** 2
    np.maximum.at(specks, tuple(places.T), strong)
    size = max(0.55, 0.006 * canvas.unit)
    specks = cv2.GaussianBlur(specks, (0, 0), size) * (size * size * 2 * np.pi)
    specks = np.clip(specks, 0, 1.2) * cover
    canvas.lab[..., 0] += np.clip(46 * specks, 0, np.maximum(99 - canvas.lab[..., 0], 0))
    canvas.lab[..., 1:] *= (1 - 0.35 * specks)[..., None]


def _liner(canvas: Canvas, makeup: Makeup, eye: Eye, where: np.ndarray) -> None:
    first, last, width = eye.inner, eye.outer, eye.width
    t = np.linspace(0, 1, len(eye.upper))
    thick = PchipInterpolator([0, 0.15, 0.5, 0.85, 1], [0.010, 0.020, 0.038, 0.058, 0.070])(t)
    edge = eye.upper - np.stack([0 * t, thick], 1)
    tip = last + np.array([0.82, -0.57]) * makeup.wing * min(1.0, width / 0.42) * eye.room
    inner = first + [-0.035, 0.018]
    lower_back = eye.lower[-3]
    above = smooth_curve(np.array([edge[-1], (edge[-1] * 0.5 + tip * 0.5) + [0.0, 0.014], tip]), 16)
    below = smooth_curve(np.array([tip, last * 0.55 + tip * 0.45 + [0.0, 0.022], lower_back + [0.0, 0.008]]), 16)
    shape = np.concatenate([[inner], edge, above, below, eye.upper[-3::-1] + [0, 0.006]])
    cover = canvas.fill([eye.outside(shape)])
    if not eye.closed:
        line = eye.lower[20:] + [0, 0.010]
        widths = PchipInterpolator([0, 0.5, 1], [0.004, 0.014, 0.024])(np.linspace(0, 1, len(line)))
        cover = np.maximum(cover, canvas.fill([eye.outside(ribbon(line, widths))]) * 0.9)
        # The waterline: a pale stroke on the rim of the lower lid makes the eye larger.
        rim = eye.lower[6:-5] - [0, 0.004]
        pale = canvas.fill([eye.outside(ribbon(rim, np.full(len(rim), 0.016)))]) * 0.7 * where
        canvas.lab[...] += pale[..., None] * (np.array([88, 3, 2], np.float32) - canvas.lab)
    canvas.lab[...] += (0.96 * cover * where)[..., None] * (np.asarray(makeup.liner, np.float32) - canvas.lab)


def _lashes(canvas: Canvas, makeup: Makeup, eye: Eye, where: np.ndarray, rng: np.random.Generator) -> None:
    """Strip lashes: clusters along the lid, longest towards the outer corner; they hang down from a closed eye."""
    strokes = []
    lash_line = eye.lower if eye.closed else eye.upper
    down = 1.0 if eye.closed else -1.0
    length = PchipInterpolator([0, 0.2, 0.55, 0.85, 1], [0.34, 0.50, 0.74, 1.0, 0.98])
    for number, t in enumerate(np.linspace(0.10, 1.0, 26)):
        root = _on(lash_line, t)
        size = float(length(t)) * makeup.lashes * rng.uniform(0.88, 1.04) * (0.8 if eye.closed else 1.0)
        size *= 1.0 if number % 2 else 0.72
        lean = -0.20 + 1.20 * t + rng.normal(0, 0.05)
        way = np.array([np.sin(lean), down * np.cos(lean)])
        # It first grows outwards over the lid and then curls up.
        bend = root + size * 0.5 * np.array([way[0] + 0.30, way[1] * 0.72])
        end = root + size * np.array([way[0] * 1.0 + 0.10, way[1]])
        strokes += _stroke(eye, root, bend, end, 0.020)
    if not eye.closed:
        for t in np.linspace(0.28, 1.0, 12):
            root = _on(eye.lower, t) + [0.0, 0.006]
            size = (0.035 + 0.035 * t) * rng.uniform(0.85, 1.1) * makeup.lashes / 0.17
            lean = -0.25 + 1.0 * t
            end = root + size * np.array([np.sin(lean), np.cos(lean)])
            strokes += _stroke(eye, root, (root + end) / 2 + [-0.004, 0.002], end, 0.014)
    cover = canvas.fill(strokes) * where * 0.93
    canvas.lab[...] += cover[..., None] * (np.asarray(makeup.liner, np.float32) - canvas.lab)


def _on(curve: np.ndarray, t: float) -> np.ndarray:
    at = t * (len(curve) - 1)
    low = min(int(at), len(curve) - 2)
    return curve[low] + (at - low) * (curve[low + 1] - curve[low])


def _stroke(eye: Eye, root: np.ndarray, bend: np.ndarray, end: np.ndarray, width: float) -> list[np.ndarray]:
    t = np.linspace(0, 1, 12)[:, None]
    line = (1 - t) ** 2 * root + 2 * t * (1 - t) * bend + t**2 * end
    return [eye.outside(ribbon(line, width * (1 - t[:, 0]) ** 0.8 + 0.001))]


def _brow(canvas: Canvas, skin: Skin, makeup: Makeup, eye: Eye, where: np.ndarray, rng: np.random.Generator) -> None:
    """A drawn brow: hair strokes that thin out towards the nose, solid and crisp towards the tail."""
    body = canvas.fill([eye.outside(ribbon(eye.brow, eye.brow_width))])
    body = canvas.blur(body, 0.006)
    along = (canvas.x * eye.side - eye.brow[0, 0]) / (eye.brow[-1, 0] - eye.brow[0, 0])
    solid = 0.42 + 0.58 * smoothstep(0.0, 0.36, along)
    hairs = []
    for t in rng.uniform(0.0, 0.75, 90):
        at = _on(eye.brow, t)
        half = float(np.interp(t, np.linspace(0, 1, 64), eye.brow_width)) / 2
        root = at + [0.0, half * rng.uniform(-0.4, 0.95)]
        lean = 0.25 + 1.15 * t + rng.normal(0, 0.1)
        end = root + rng.uniform(0.035, 0.06) * np.array([np.sin(lean), -np.cos(lean)])
        hairs += _stroke(eye, root, (root + end) / 2 + [-0.003, 0], end, 0.007)
    strands = canvas.fill(hairs) * smoothstep(0.25, 0.6, body)
    cover = np.maximum(body * solid, 0.75 * strands) * 0.95
    pigment(canvas, skin, np.asarray(makeup.brow), (cover * where).astype(np.float32), shading=0.25, texture=0.5)
    # Concealer below it cuts the edge.
    under = eye.brow[12:52] + np.stack([np.zeros(40), eye.brow_width[12:52] / 2 + 0.012], 1)
    clean = canvas.blur(canvas.fill([eye.outside(ribbon(under, np.full(40, 0.016)))]), 0.006) * (1 - body)
    pigment(canvas, skin, np.asarray(makeup.glow) * [0.94, 1, 1], (0.5 * clean * where).astype(np.float32))
