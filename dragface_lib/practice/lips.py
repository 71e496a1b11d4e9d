"""Lips: over-lined, with a darker liner, a lighter middle and gloss. Teeth and an open mouth stay as they are."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator

from ..crop.masks import smoothstep
from .canvas import Canvas, normals, ribbon
from .features import Mouth
from .looks import Makeup
from .skin import Skin

ALONG = np.linspace(0, 1, 48)  # Along each edge of the mouth, from its left corner to its right one.
# How much of the overline each part of an edge gets: most at the cupid's bow and the middle, none in the corners.
UPPER_OVERLINE = PchipInterpolator([0, 0.12, 0.33, 0.5, 0.67, 0.88, 1], [0, 0.7, 1.25, 0.8, 1.25, 0.7, 0])(ALONG)
LOWER_OVERLINE = PchipInterpolator([0, 0.15, 0.5, 0.85, 1], [0, 0.5, 1.0, 0.5, 0])(ALONG)
# Strokes of gloss on each lip: where along it they start and end, their width and their strength.
LOWER_GLOSS = ((0.31, 0.46, 0.018, 0.9), (0.52, 0.69, 0.022, 1.0))
UPPER_GLOSS = ((0.30, 0.42, 0.012, 0.75), (0.58, 0.70, 0.012, 0.75))


def overlined(mouth: Mouth, overline: float) -> Mouth:
    """The mouth with its outer edges moved outwards by `overline` interocular distances; thin lips get more."""
    upper, lower = (float(np.max(low[:, 1] - high[:, 1])) for high, low in (mouth[:2], mouth[2:]))
    above = UPPER_OVERLINE * (overline + 0.6 * np.clip(0.10 - upper, 0, 0.06))
    below = LOWER_OVERLINE * (overline + 0.6 * np.clip(0.13 - lower, 0, 0.08))
    return mouth._replace(
        top=mouth.top - normals(mouth.top) * above[:, None],
        bottom=mouth.bottom + normals(mouth.bottom) * below[:, None],
    )


def paint_lips(canvas: Canvas, skin: Skin, makeup: Makeup) -> None:
    """Cover the lips."""
    mouth = overlined(skin.mouth, makeup.overline)
    lab = canvas.lab
    whole = canvas.fill([mouth.outline])
    cover = whole
    if mouth.is_open:
        opening = canvas.fill([mouth.opening])
        cover = whole * (1 - opening)
        # The landmarks are a little off: near the opening, pale or black pixels are no lip.
        near = canvas.blur(cv2.dilate(opening, np.ones((3, 3), np.uint8)), 0.03)
        teeth = smoothstep(9, 4, lab[..., 1] - 0.35 * skin.tone[1]) * smoothstep(0.9, 1.05, lab[..., 0] / skin.tone[0])
        dark = smoothstep(0.42, 0.30, lab[..., 0] / skin.tone[0])
        cover = cover * (1 - smoothstep(0.05, 0.3, near) * np.maximum(teeth, dark))
    cover = canvas.blur(cover, 0.006) * np.maximum(skin.oval, 0)

    # The liner lies at the edge of the painted lips, the lightest colour in their middle.
    depth = cv2.distanceTransform((whole > 0.5).astype(np.uint8), cv2.DIST_L2, 5) / canvas.unit
    inside = smoothstep(0.008, 0.062, canvas.blur(depth.astype(np.float32), 0.006))
    left, right = mouth.top[0, 0], mouth.top[-1, 0]
    across = np.abs(canvas.x - (left + right) / 2) / max((right - left) / 2, 0.1)
    colour = np.full_like(lab, makeup.lip_liner)
    inside = inside * smoothstep(1.08, 0.62, across)
    colour += inside[..., None] * (np.asarray(makeup.lip, np.float32) - colour)
    colour[..., 0] += 7 * smoothstep(0.65, 0.1, across) * inside

    original = lab[..., 0]
    lips = cover > 0.5
    usual = float(np.median(original[lips])) if lips.any() else float(skin.tone[0])
    broad = canvas.blur(original, 0.03)
    fine = np.clip(original - broad, -9, 12)
    shape = np.clip(broad - usual, -22, 10)
    deeper = colour[..., 0] * (0.86 + 0.14 * skin.lightness)
    colour[..., 0] = deeper + 0.55 * shape * (0.4 + colour[..., 0] / 90) + 0.7 * fine
    if not mouth.is_open:
        seam = canvas.fill([ribbon((mouth.top_inner + mouth.bottom_inner) / 2, 0.014)])
        colour[..., 0] -= 14 * canvas.blur(seam, 0.006) * smoothstep(1.05, 0.8, across)
    canvas.lay(colour, 0.95 * cover)
    _gloss(canvas, makeup, mouth, cover, fine)


def _gloss(canvas: Canvas, makeup: Makeup, mouth: Mouth, cover: np.ndarray, fine: np.ndarray) -> None:
    """Light on wet lips: a broken band on the lower one, two short strokes below the peaks of the upper one."""
    light = np.zeros_like(canvas.x)
    lower = mouth.bottom_inner * 0.56 + mouth.bottom * 0.44
    upper = mouth.top * 0.55 + mouth.top_inner * 0.45
    for lip, strokes in ((lower, LOWER_GLOSS), (upper, UPPER_GLOSS)):
        for start, end, width, strength in strokes:
            part = lip[(start <= ALONG) & (end >= ALONG)]
            widths = width * np.sin(np.linspace(0.15, np.pi - 0.15, len(part))) ** 0.7
            light = np.maximum(light, strength * canvas.fill([ribbon(part, widths)]))
    sheen = canvas.airbrush(lower[14:34], 0.035, 0.35)
    light = canvas.blur(light, 0.011) * (0.85 + np.clip(fine / 12, -0.4, 0.4)) + sheen * 0.5
    light = np.clip(light * makeup.gloss * cover, 0, 1)
    canvas.lab[..., 0] += 40 * light * np.clip((100 - canvas.lab[..., 0]) / 60, 0, 1)
    canvas.lab[..., 1:] *= (1 - 0.5 * light)[..., None]
