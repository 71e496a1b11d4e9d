"""Named looks: which colours and shapes of drag make-up belong together, and how far they may wander.

    makeup = draw_makeup("classic", seed=3)     # one make-up of that look
    makeup = draw_makeup("classic")             # the look's own, without any chance in it

Every look has palettes, colours that go together, and ranges around them. The classic look has one palette and
narrow ranges: a generator trained on it learns one coherent face.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from ..errors import DragFaceError

LIGHTER = 2.0  # How far colours wander in lightness either way, in CIELAB units.
Colour = tuple[float, float, float]  # CIELAB: L 0..100, a, b


@dataclass(frozen=True)
class Makeup:
    """A make-up for any face: colours, then amounts and shapes. Lengths are in interocular distances."""

    lid: Colour  # on the lid, below the cut crease
    crease: Colour  # the dark of crease, outer corner and wing
    transition: Colour  # above the crease, up to the brow
    lower: Colour  # below the lower lashes
    lip: Colour
    lip_liner: Colour
    blush: Colour
    brow: Colour
    liner: Colour
    glow: Colour  # brow bone, inner corner of the eye
    lightness: float = 0.0  # of the foundation, in CIELAB units above the skin's
    chroma: float = 1.0  # of the foundation, as a multiple of the skin's
    contour: float = 0.95
    blush_strength: float = 0.8
    brow_lift: float = 0.12  # height of the arch above the natural brow
    wing: float = 0.36  # length beyond the outer corner of the eye
    lashes: float = 0.20  # length of the longest
    overline: float = 0.038  # of the lips beyond their own edge
    gloss: float = 0.8
    glitter: float = 0.0  # specks on the lids


@dataclass(frozen=True)
class Look:
    """Palettes, and how far a make-up may wander from them.

    palettes: #rrggbb of Makeup's colours, in their order. hue: degrees either way. chroma: CIELAB units either way.
    shapes: (lowest, highest) of some of Makeup's numbers; the middle is the look's own.
    """

    palettes: tuple[str, ...]
    hue: float = 4.0
    chroma: float = 3.0
    shapes: dict[str, tuple[float, float]] = field(default_factory=dict)


LOOKS = {
    "classic": Look(
        palettes=("#fbc4e6 #45108a #e02c9c #6a1fb0 #d4104e #56082a #e83c9c #2a1713 #0d080a #fff0ec",),
        shapes={"brow_lift": (0.12, 0.14), "lashes": (0.20, 0.22), "wing": (0.32, 0.36), "overline": (0.036, 0.042)},
    ),
    "neon": Look(
        palettes=(
            "#e8f53a #0a5a78 #12c9a6 #ff2fa0 #ff2f92 #8c0a5a #ff5a8a #1d1426 #08060c #fbffe6",
            "#ffdf3d #c01585 #ff6a2b #18b8d8 #ff5a36 #8f1418 #ff6f61 #241018 #0a0608 #fff8d8",
            "#5ff0ff #5420c8 #f531c4 #a6f02c #d81fd0 #5a0a78 #ff58b0 #180f24 #07050c #eefcff",
            "#ff9ae0 #0b3fae #1fa8ff #ffb020 #ff3b6b #7a0a34 #ff6a90 #14121e #06060a #fff0fa",
        ),
        hue=10.0,
        chroma=6.0,
        shapes={"brow_lift": (0.11, 0.17), "lashes": (0.16, 0.21), "wing": (0.26, 0.36), "blush_strength": (0.7, 1.0)},
    ),
    "goth": Look(
        palettes=(
            "#8c8794 #0f0c12 #4a3050 #1c1018 #2a0612 #0a0306 #8a5068 #0c0a0c #040304 #ece6f0",
            "#a03048 #12060a #5a1020 #3a0812 #4a0414 #120106 #9a4a5a #0e0808 #050203 #f0e2e2",
            "#7a6ac0 #0c0a1e #33245e #18103a #2c0a3c #0a0412 #84508c #0a0a10 #030306 #e8e6f6",
        ),
        hue=8.0,
        shapes={
            "lightness": (3.0, 7.0),
            "chroma": (0.7, 0.85),
            "contour": (0.9, 1.1),
            "gloss": (0.3, 0.7),
            "brow_lift": (0.09, 0.14),
            "wing": (0.28, 0.38),
            "blush_strength": (0.25, 0.45),
        },
    ),
    "glitter": Look(
        palettes=(
            "#f2cf6b #5a2608 #b5652a #8a4a14 #c41230 #5a0612 #e06a5a #2a1810 #0c0706 #fff4d2",
            "#dfe6f2 #1c2c58 #6a7fc0 #3a5094 #c21a6a #560830 #d85a90 #1c1a22 #08080c #f6f8ff",
            "#f6b8b0 #6a1230 #c8506a #94284a #d02a5c #64081e #e8647c #28140f #0c0607 #fff0ea",
            "#6ae0b8 #083c46 #1f8a86 #0f6468 #c0185a #540a2a #e0607c #1c1814 #080808 #effff6",
        ),
        hue=6.0,
        shapes={"glitter": (0.7, 1.0), "lashes": (0.17, 0.21), "brow_lift": (0.10, 0.15), "gloss": (0.85, 1.0)},
    ),
}


def draw_makeup(name: str, seed: int | None = None) -> Makeup:
    """A make-up of a look: the same for the same seed; without a seed, the look's own.

    Raises DragFaceError for an unknown name or a negative seed.
    """
    if name not in LOOKS:
        raise DragFaceError(f"There is no look called {name!r}: use {', '.join(LOOKS)}.")
    if seed is not None and seed < 0:
        raise DragFaceError(f"The seed {seed} is negative: use 0 or a larger whole number.")
    look = LOOKS[name]
    rng = None if seed is None else np.random.default_rng([seed, len(name), *name.encode()])
    palette = look.palettes[0 if rng is None else rng.integers(len(look.palettes))]
    colours: Any = [_varied(lab_of(colour), look, rng) for colour in palette.split()]
    shapes: Any = {
        part: sum(ends) / 2 if rng is None else float(rng.uniform(*ends)) for part, ends in look.shapes.items()
    }
    return Makeup(*colours, **shapes)


def lab_of(colour: str) -> Colour:
    """CIELAB of a colour written as #rrggbb in sRGB."""
    rgb = np.array([[[int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]]], np.float32)
    lightness, a, b = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0, 0].tolist()
    return lightness, a, b


def _varied(lab: Colour, look: Look, rng: np.random.Generator | None) -> Colour:
    """A colour near `lab` in hue, lightness and chroma."""
    if rng is None:
        return lab
    turn, lighter, more = rng.uniform(-1, 1, 3) * (np.radians(look.hue), LIGHTER, look.chroma)
    chroma, hue = np.hypot(lab[1], lab[2]), np.arctan2(lab[2], lab[1]) + turn
    # Colours near black and white gain no chroma: liner stays black.
    chroma = max(0.0, chroma + more * min(1.0, chroma / 20))
    return float(np.clip(lab[0] + lighter, 0, 100)), float(chroma * np.cos(hue)), float(chroma * np.sin(hue))
