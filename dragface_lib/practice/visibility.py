"""Whether all that is to be painted can be seen: by colour, as the landmarks are placed on a covered face too.

A face turned past some 45 degrees shows background or hair where its far cheek would be, whichever detector found it.
"""

from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .skin import Skin

# Of each side of the face: corner of the eye, edge of the cheek, corner of the mouth.
CHEEKS = {-1: (18, (185, 110, 186), 87), 1: (27, (187, 113, 188), 93)}
CHEEK = 0.1  # of a cheek that must be skin; of 200 portraits one turned by 60 degrees shows 0, by 35 degrees 0.17
EYES = ((18, 19, 20, 21, 22, 30, 29, 28), (23, 24, 25, 26, 27, 33, 32, 31))
EYE = 0.25  # by which something in an eye, be it its lashes, differs from the lightness of skin; 0.46 at least is usual
LIPS = (87, 88, 89, 90, 91, 92, 93, 108, 107, 106, 105, 104)
PINK, DARK = 1.5, 0.3  # of lips more than skin, in CIELAB units, and of what lies between them, of skin's lightness


def hidden_part(canvas: Canvas, skin: Skin) -> str:
    """What keeps the bare face from being painted, as a sentence; empty for a face that shows everything."""
    p = canvas.points
    for side, (corner, edge, mouth) in CHEEKS.items():
        cheek = canvas.fill([np.array([p[corner] + [0, 0.15], *p[list(edge)], p[mouth] + [0.12 * side, 0]])]) > 0.5
        if cheek.any() and skin.likeness[cheek].mean() < CHEEK:
            return "One side of the face is not seen: it is turned too far, or something hangs before it."
    differs = canvas.blur(canvas.lab, 0.012) - skin.base
    for eye in EYES:
        where = canvas.grow(p[list(eye)], 0.03) > 0.5
        if np.percentile(np.abs(differs[where, 0]), 90) < EYE * skin.tone[0]:
            return "An eye is not seen: something of the colour of skin, perhaps a hand, is before it."
    lips = canvas.fill([p[list(LIPS)]]) > 0.5
    pink = np.percentile(differs[lips, 1] - 0.6 * differs[lips, 2], 88)
    if pink < PINK and np.percentile(-differs[lips, 0], 95) < DARK * skin.tone[0]:
        return "The mouth is not seen: something of the colour of skin, perhaps a hand, is before it."
    return ""
