"""Eyes and brows: natural brows covered, high ones drawn, cut-crease shadow, liner with a wing, lashes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator

from ..crop.landmarks import CONTOURS, smoothstep
from .canvas import Canvas, hair_stroke, point_at, ribbon, smooth_curve
from .looks import Makeup
from .skin import Skin, pigment

SHADOW = 0.96  # Opacity of the eye shadow.
# Widths of the drawn brow from the nose to its tail, in interocular distances.
BROW_PROFILE = PchipInterpolator([0, 0.06, 0.25, 0.5, 0.66, 0.85, 1], [0.62, 0.85, 1.0, 0.88, 0.66, 0.34, 0.04])
BROW_WIDTHS = 0.084 * BROW_PROFILE(np.linspace(0, 1, 64))
CLOSED = 0.14  # Opening of the lids, as a share of the eye's width, below which an eye is shut.


@dataclass(frozen=True)
class Eye:
    """An eye in face coordinates whose x runs outwards from the nose, so that both eyes are alike.

    side: -1 at the left of the picture, 1 at the right. The curves (N, 2) run from the nose outwards. brow: the
    middle line of the drawn brow. room: for wing and tail of the brow beyond the outer corner; less than 1 on the far
    side of a turned head. where: (h, w) in 0..1, where make-up may go.
    """

    side: int
    upper: np.ndarray
    lower: np.ndarray
    crease: np.ndarray
    brow: np.ndarray
    room: float
    where: np.ndarray

    @property
    def width(self) -> float:
        """From corner to corner, in interocular distances."""
        return float(np.linalg.norm(self.upper[-1] - self.upper[0]))

    @property
    def closed(self) -> bool:
        """Whether the lids are together, or nearly so."""
        return float(np.max(self.lower[:, 1] - self.upper[:, 1])) < CLOSED * self.width

    def fill(self, canvas: Canvas, shapes: list[np.ndarray]) -> np.ndarray:
        """Cover (h, w) of polygons in the eye's coordinates."""
        return canvas.fill([shape * [self.side, 1] for shape in shapes])


def _edge(canvas: Canvas, name: str, side: int) -> np.ndarray:
    """Landmarks of an eye in its own coordinates, from the nose outwards."""
    left_to_right = CONTOURS[f"{'left' if side < 0 else 'right'}_{name}"]
    return canvas.points[list(left_to_right[::side])] * [side, 1]


def _eyes(canvas: Canvas, makeup: Makeup, where: np.ndarray) -> list[Eye]:
    """Both eyes, with the brows that suit them: as alike as the face allows."""
    natural = {}  # Heights of the brow's start, arch and tail above the corners of the eye.
    for side in (-1, 1):
        top, bottom, upper = (_edge(canvas, name, side)[:, 1] for name in ("brow_top", "brow_bottom", "upper_lashes"))
        parts = (top[:2].mean() + bottom[:2].mean()) / 2, top.min(), (top[-1] + bottom[-1]) / 2
        natural[side] = (upper[0] + upper[-1]) / 2 - np.array(parts)
    mean = np.mean(list(natural.values()), axis=0)
    eyes = []
    for side, heights in natural.items():
        upper, lower, crease = (_edge(canvas, name, side) for name in ("upper_lashes", "lower_lashes", "crease"))
        start, peak, end = 0.25 * heights + 0.75 * mean
        level, first, width = (upper[0, 1] + upper[-1, 1]) / 2, upper[0, 0], upper[-1, 0] - upper[0, 0]
        hairline = level - canvas.points[137:142, 1].max() - 0.12
        start = np.clip(start, 0.24, 0.45) + 0.75 * makeup.brow_lift
        peak = min(np.clip(peak, 0.34, 0.62) + makeup.brow_lift, max(hairline, 0.42))
        end = max(np.clip(end, 0.18, 0.42) + 0.6 * makeup.brow_lift, peak - 0.26)
        above = np.array([*(start + np.array([0, 0.22, 0.62, 0.93]) * (peak - start)), peak, peak - 0.045, end])
        at = np.array([-0.14, 0.08, 0.36, 0.62, 0.84, 1.10, 1.50])
        room = canvas.far_side if side * canvas.turned > 0 else 1.0
        at = np.where(at > 1, 1 + (at - 1) * room, at)
        brow = smooth_curve(np.stack([first + at * width, level - above], 1), 64)
        curves = smooth_curve(upper), smooth_curve(lower), smooth_curve(crease), brow
        eyes.append(Eye(side, *curves, room, where))
    return eyes


def cover_brows(canvas: Canvas, skin: Skin, rng: np.random.Generator) -> None:
    """Lay skin over the natural brows: glue, powder and foundation, with pores but without hairs."""
    strips = []
    for side in (-1, 1):
        edges = (_edge(canvas, name, side) * [side, 1] for name in ("brow_top", "brow_bottom"))
        top, bottom = (smooth_curve(edge, 32) for edge in edges)
        middle, half = (top + bottom) / 2, np.linalg.norm(top - bottom, axis=1) / 2
        ends = middle[0] - 1.5 * (middle[2] - middle[0]), middle[-1] + 2.0 * (middle[-1] - middle[-3])
        strips.append(ribbon(np.vstack([ends[0], middle, ends[1]]), 2 * (np.pad(half, 1, "edge") + 0.07)))
    cover = np.minimum(1, 1.6 * canvas.blur(canvas.fill(strips), 0.028)) * skin.oval * skin.free
    cover *= 1 - cv2.dilate(skin.openings, np.ones((5, 5), np.uint8))
    # The standard deviation of the cheeks' pores, in units of lightness.
    pores = canvas.lab[..., 0] - canvas.blur(canvas.lab[..., 0], 0.008)
    cheeks = (skin.worn > 0.9) & (canvas.y > 0.25) & (canvas.y < 0.6) & (np.abs(canvas.x) > 0.3)
    depth = float(np.clip(np.median(np.abs(pores[cheeks])) * 1.48, 0, 2)) if cheeks.sum() > 30 else 0.5
    grain = cv2.GaussianBlur(rng.standard_normal(canvas.x.shape, np.float32), (0, 0), max(0.5, 0.004 * canvas.unit))
    fill = skin.base.copy()
    fill[..., 0] += grain / max(float(grain.std()), 1e-6) * depth
    canvas.lay(fill, cover)


def paint_eyes(canvas: Canvas, skin: Skin, makeup: Makeup, rng: np.random.Generator) -> None:
    """Paint shadow, liner, lashes and brows."""
    eyes = _eyes(canvas, makeup, skin.free * skin.oval)
    for eye in eyes:
        _shadow(canvas, skin, makeup, eye, rng)
    for eye in eyes:
        _liner(canvas, makeup, eye)
        _lashes(canvas, makeup, eye, np.random.default_rng(rng.integers(2**32)))
        _brow(canvas, skin, makeup, eye, rng)


def _shadow(canvas: Canvas, skin: Skin, makeup: Makeup, eye: Eye, rng: np.random.Generator) -> None:
    where = (1 - skin.openings) * eye.where
    x, y = canvas.x * eye.side, canvas.y
    first, last = eye.upper[[0, -1]]
    t = (x - first[0]) / (last[0] - first[0])  # 0 at the inner corner of the eye, 1 at the outer one
    tail = eye.brow[-1] + [0.0, 0.05]
    # The lower edge: the lashes, and from the outer corner a straight line up to the tail of the brow.
    bottom = np.interp(x, [first[0] - 0.35, *eye.upper[:, 0], tail[0]], [first[1] - 0.06, *eye.upper[:, 1], tail[1]])
    top = np.interp(x, eye.brow[:, 0], eye.brow[:, 1] + 0.5 * BROW_WIDTHS + 0.012)
    reach = np.maximum(bottom - top, 0.02)
    above = bottom - y
    v = np.clip(above / reach, -1, 2).astype(np.float32)  # 0 at the lashes, 1 below the brow

    # The cut crease lies above the natural one.
    lids = np.interp(eye.crease[:, 0], eye.upper[:, 0], eye.upper[:, 1]) - eye.crease[:, 1]
    natural = float(np.clip(np.median(lids[10:-10]), 0.04, 0.3))
    arch = PchipInterpolator([-0.4, -0.1, 0.12, 0.45, 0.75, 1.0, 1.4], [0.15, 0.35, 0.72, 1.0, 0.98, 0.80, 0.7])
    cut = np.minimum((0.075 + natural) * arch(np.clip(t, -0.4, 1.4)), 0.56 * reach)

    lid = smoothstep(0.008, -0.008, above - cut) * smoothstep(0.94, 0.66, t) * smoothstep(-0.16, 0.06, t)
    over = (above - cut) / np.maximum(reach - cut, 0.02)  # 0 on the cut crease, 1 below the brow
    corner = smoothstep(0.55, 0.90, t) * smoothstep(0.86, 0.35, v)
    deep = np.maximum(smoothstep(0.66, 0.10, over) * smoothstep(-0.26, 0.22, t), corner) * (1 - lid)
    glow = smoothstep(0.74, 0.98, over) * smoothstep(0.15, 0.6, t) * smoothstep(1.5, 1.1, t)

    colour = np.full_like(canvas.lab, makeup.transition)
    colour += deep[..., None] * (np.asarray(makeup.crease, np.float32) - colour)
    lid_colour = np.full_like(colour, makeup.lid)
    # The lid is brightest towards the nose, like metal in the light.
    lid_colour[..., 0] += 5 * smoothstep(0.45, 0.1, t) - 9 * smoothstep(0.45, 0.9, t)
    colour += lid[..., None] * (lid_colour - colour)
    colour += 0.8 * glow[..., None] * (np.asarray(makeup.glow, np.float32) * [0.94, 1, 1] - colour)

    cover = smoothstep(1.06, 0.84, v) * 0.72 + smoothstep(0.95, 0.5, v) * 0.28
    cover = np.maximum(np.maximum(cover, 0.62 * glow * smoothstep(1.04, 0.98, v)), lid)
    edge = np.where(t > 0.97, smoothstep(-0.005, 0.05, above), smoothstep(-0.03, 0.0, above))
    cover = cover * edge * smoothstep(-0.34, 0.08, t) * smoothstep(1.74, 1.34, t + 0.25 * (1 - v))
    pigment(canvas, skin, colour, cover * SHADOW * where)

    below = y - np.interp(x, eye.lower[:, 0], eye.lower[:, 1])
    depth = PchipInterpolator([-0.2, 0.1, 0.6, 1.0, 1.3], [0.03, 0.045, 0.085, 0.105, 0.05])(np.clip(t, -0.2, 1.3))
    smoke = smoothstep(1.0, 0.1, below / depth) * smoothstep(-0.02, 0.0, below)
    smoke *= smoothstep(-0.05, 0.3, t) * smoothstep(1.22, 1.0, t)
    pigment(canvas, skin, makeup.lower, 0.8 * smoke * where)
    spark = canvas.airbrush(np.array([first + [-0.03, 0.005]]) * [eye.side, 1], 0.035, 0.9)
    pigment(canvas, skin, makeup.glow, spark * where)
    if makeup.glitter:
        _glitter(canvas, makeup, np.maximum(lid * edge, 0.25 * cover) * where, rng)


def _glitter(canvas: Canvas, makeup: Makeup, cover: np.ndarray, rng: np.random.Generator) -> None:
    """Specks that catch the light, the same size on every face."""
    pixels = np.argwhere(cover > 0.1)
    if not len(pixels):
        return
    count = int(900 * makeup.glitter)
    chosen = pixels[rng.integers(len(pixels), size=count)]
    specks = np.zeros_like(canvas.x)
    np.maximum.at(specks, tuple(chosen.T), rng.uniform(0.3, 1.0, count).astype(np.float32) ** 2)
    size = max(0.55, 0.006 * canvas.unit)
    specks = cv2.GaussianBlur(specks, (0, 0), size) * (size * size * 2 * np.pi)
    specks = np.clip(specks, 0, 1.2) * cover
    canvas.lab[..., 0] += np.clip(46 * specks, 0, np.maximum(99 - canvas.lab[..., 0], 0))
    canvas.lab[..., 1:] *= (1 - 0.35 * specks)[..., None]


def _liner(canvas: Canvas, makeup: Makeup, eye: Eye) -> None:
    first, last = eye.upper[[0, -1]]
    t = np.linspace(0, 1, len(eye.upper))
    thick = PchipInterpolator([0, 0.15, 0.5, 0.85, 1], [0.010, 0.020, 0.038, 0.058, 0.070])(t)
    edge = eye.upper - np.stack([0 * t, thick], 1)
    tip = last + np.array([0.82, -0.57]) * makeup.wing * min(1.0, eye.width / 0.42) * eye.room
    above = smooth_curve(np.array([edge[-1], (edge[-1] * 0.5 + tip * 0.5) + [0.0, 0.014], tip]), 16)
    below = smooth_curve(np.array([tip, last * 0.55 + tip * 0.45 + [0.0, 0.022], eye.lower[-3] + [0.0, 0.008]]), 16)
    shape = np.concatenate([[first + [-0.035, 0.018]], edge, above, below, eye.upper[-3::-1] + [0, 0.006]])
    cover = eye.fill(canvas, [shape])
    if not eye.closed:
        line = eye.lower[20:] + [0, 0.010]
        widths = PchipInterpolator([0, 0.5, 1], [0.004, 0.014, 0.024])(np.linspace(0, 1, len(line)))
        cover = np.maximum(cover, eye.fill(canvas, [ribbon(line, widths)]) * 0.9)
        # A pale stroke on the rim of the lower lid, the waterline, makes the eye larger.
        rim = eye.lower[6:-5] - [0, 0.004]
        pale = eye.fill(canvas, [ribbon(rim, 0.016)])
        canvas.lay((88, 3, 2), pale * 0.7 * eye.where)
    canvas.lay(makeup.liner, 0.96 * cover * eye.where)


def _lashes(canvas: Canvas, makeup: Makeup, eye: Eye, rng: np.random.Generator) -> None:
    """Strip lashes: clusters along the lid, longest towards the outer corner; they hang down from a closed eye."""
    strokes = []
    line, down, shorter = (eye.lower, 1.0, 0.8) if eye.closed else (eye.upper, -1.0, 1.0)
    length = PchipInterpolator([0, 0.2, 0.55, 0.85, 1], [0.34, 0.50, 0.74, 1.0, 0.98])
    for number, t in enumerate(np.linspace(0.10, 1.0, 26)):
        root = point_at(line, t)
        size = float(length(t)) * makeup.lashes * rng.uniform(0.88, 1.04) * shorter
        size *= 1.0 if number % 2 else 0.72
        lean = -0.20 + 1.20 * t + rng.normal(0, 0.05)
        way = np.array([np.sin(lean), down * np.cos(lean)])
        # A lash first grows outwards over the lid and then curls up.
        bend = root + size * 0.5 * np.array([way[0] + 0.30, way[1] * 0.72])
        strokes.append(hair_stroke(root, bend, root + size * np.array([way[0] + 0.10, way[1]]), 0.020))
    if not eye.closed:
        for t in np.linspace(0.28, 1.0, 12):
            root = point_at(eye.lower, t) + [0.0, 0.006]
            size = (0.035 + 0.035 * t) * rng.uniform(0.85, 1.1) * makeup.lashes / 0.17
            lean = -0.25 + 1.0 * t
            end = root + size * np.array([np.sin(lean), np.cos(lean)])
            strokes.append(hair_stroke(root, (root + end) / 2 + [-0.004, 0.002], end, 0.014))
    canvas.lay(makeup.liner, eye.fill(canvas, strokes) * eye.where * 0.93)


def _brow(canvas: Canvas, skin: Skin, makeup: Makeup, eye: Eye, rng: np.random.Generator) -> None:
    """A drawn brow: hair strokes that thin out towards the nose, solid and crisp towards the tail."""
    body = canvas.blur(eye.fill(canvas, [ribbon(eye.brow, BROW_WIDTHS)]), 0.006)
    along = (canvas.x * eye.side - eye.brow[0, 0]) / (eye.brow[-1, 0] - eye.brow[0, 0])
    solid = 0.42 + 0.58 * smoothstep(0.0, 0.36, along)
    hairs = []
    for t in rng.uniform(0.0, 0.75, 90):
        half = float(np.interp(t, np.linspace(0, 1, 64), BROW_WIDTHS)) / 2
        root = point_at(eye.brow, t) + [0.0, half * rng.uniform(-0.4, 0.95)]
        lean = 0.25 + 1.15 * t + rng.normal(0, 0.1)
        end = root + rng.uniform(0.035, 0.06) * np.array([np.sin(lean), -np.cos(lean)])
        hairs.append(hair_stroke(root, (root + end) / 2 + [-0.003, 0], end, 0.007))
    strands = eye.fill(canvas, hairs) * smoothstep(0.25, 0.6, body)
    cover = np.maximum(body * solid, 0.75 * strands) * 0.95
    pigment(canvas, skin, makeup.brow, cover * eye.where, shading=0.25, texture=0.5)
    # Concealer below the brow makes its edge crisp.
    under = eye.brow[12:52] + np.stack([np.zeros(40), BROW_WIDTHS[12:52] / 2 + 0.012], 1)
    clean = canvas.blur(eye.fill(canvas, [ribbon(under, 0.016)]), 0.006) * (1 - body)
    pigment(canvas, skin, np.asarray(makeup.glow) * [0.94, 1, 1], 0.5 * clean * eye.where)
