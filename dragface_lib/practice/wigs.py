"""A wig: locks of hair, drawn by seed, that fall from a parting around the face over hair and background."""

from __future__ import annotations

import cv2
import numpy as np

from .canvas import FINE, Canvas, smooth_curve
from .looks import lab_of

COLOURS = ("#e8c98a", "#f4e3b8", "#b5381f", "#2a1a14", "#5a2d17", "#e35fa8", "#7d4fc9", "#3f8fd0", "#d8d4da", "#c8541d")
LOCKS = 950
HAIRLINE = tuple(range(134, 145))


def wig(canvas: Canvas, face: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Hair over the whole canvas: its cover (h, w) in 0..1 and its colour (h, w, 3) in CIELAB.

    face: (h, w) of 0..1, which stays free.
    """
    p = canvas.points
    colour = np.array(lab_of(COLOURS[rng.integers(len(COLOURS))]), np.float32)
    jaw, line = float(p[129, 1]), float(p[139, 1])
    long = jaw + rng.uniform(0.3, 2.2)
    volume, curl, wave = rng.uniform(0.55, 0.9), rng.uniform(0.08, 0.2), rng.uniform(5, 11)
    crown_at = min(float(p[151, 1]) - 0.25, line - volume)
    parting = rng.uniform(-0.35, 0.35)
    height, width = canvas.shape
    light = np.zeros((height * FINE // 2, width * FINE // 2), np.float32)
    cover = np.zeros_like(light)
    zoom = FINE / 2
    locks = []
    for number in range(LOCKS):
        side = -1 if number % 2 else 1
        depth = number / LOCKS  # those behind are drawn first, further out and darker
        out = 1 - 0.75 * depth + rng.normal(0, 0.05)
        high = line + (crown_at - line) * (0.12 + 0.88 * out)
        root = np.array([parting + side * rng.uniform(0, 0.10), high + rng.normal(0, 0.02)])
        loose = rng.normal(0, 0.05, 2)
        temple = np.array([side * (0.88 + volume * out + loose[0]), line * 0.30 - 0.1])
        cheek = np.array([side * (0.97 + volume * out * 1.2 + loose[1]), jaw * 0.45])
        end = np.array([side * (0.80 + volume * 1.5 * out + rng.normal(0, 0.12)), long + rng.normal(0, 0.15)])
        crown = np.array([side * (0.50 + 0.2 * out) + parting * 0.4, 0.92 * high + 0.08 * (line * 0.3 - 0.1)])
        path = smooth_curve(np.array([root, crown, temple, cheek, end]), 41)
        t = np.linspace(0, 1, 41)
        swing = curl * np.clip(3 * (t - 0.22), 0, 1) * np.sin(wave * t * 2 + 5 * out + side + rng.normal(0, 0.45))
        path = path + np.stack([swing, 0.35 * swing], 1)
        shine = 0.5 + 0.5 * np.cos(wave * t * 2 + 5 * out) * np.clip(3 * (t - 0.22), 0, 1)
        shine = 0.55 * shine + 0.7 * np.exp(-(((t - 0.22) / 0.09) ** 2))
        locks.append((depth, path, shine, rng.uniform(0.35, 1.45)))
    for depth, path, shine, tone in locks:
        pixels = np.round(((canvas.pixels(path) + 0.5) * zoom - 0.5) * 16).astype(np.int32)
        thick = max(1, round(canvas.unit * zoom * (0.024 - 0.012 * depth)))
        cv2.polylines(cover, [pixels], False, 1.0, thick, cv2.LINE_AA, 4)
        for n in range(0, len(path) - 2, 2):
            value = float(tone * (0.22 + 0.38 * depth + 0.55 * shine[n + 1]))
            cv2.polylines(light, [pixels[n : n + 3]], False, value, thick, cv2.LINE_AA, 4)
    size = (width, height)
    cover = np.clip(cv2.resize(cover, size, interpolation=cv2.INTER_AREA), 0, 1) * (1 - face)
    light = cv2.resize(light, size, interpolation=cv2.INTER_AREA)
    lab = np.empty_like(canvas.lab)
    lab[..., 0] = np.clip(colour[0] * (0.25 + 0.72 * light) + 8 * np.clip(light - 1.05, 0, 1), 2, 97)
    lab[..., 1:] = colour[1:] * np.clip(0.55 + 0.5 * light, 0, 1.1)[..., None]
    return cover, lab
