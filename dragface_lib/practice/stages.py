"""A stage behind the head: curtains, spotlights or bokeh, drawn by seed."""

from __future__ import annotations

import cv2
import numpy as np

from .canvas import Canvas

KINDS = ("curtain", "spotlights", "bokeh")


def stage(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """(h, w, 3) float32 RGB in 0..1: the background of the whole canvas."""
    kind = KINDS[rng.integers(len(KINDS))]
    hue = float(rng.uniform(0, 360))
    x, y = canvas.x, canvas.y
    if kind == "curtain":
        return _curtain(canvas, x, y, hue, rng)
    base = _colour(hue, 0.55, 0.10) + (_colour(hue + 40, 0.7, 0.30) - _colour(hue, 0.55, 0.10)) * np.clip(
        (y[..., None] + 2) / 5, 0, 1
    )
    base = np.broadcast_to(base, (*canvas.shape, 3)).astype(np.float32).copy()
    return _spotlights(base, x, y, hue, rng) if kind == "spotlights" else _bokeh(canvas, base, hue, rng)


def _curtain(canvas: Canvas, x: np.ndarray, y: np.ndarray, hue: float, rng: np.random.Generator) -> np.ndarray:
    folds = np.zeros(canvas.shape, np.float32)
    for _ in range(5):
        wave, phase, sway = rng.uniform(3, 13), rng.uniform(0, 7), rng.uniform(-0.12, 0.12)
        folds += np.sin(wave * (x + sway * np.sin(y * rng.uniform(0.4, 1.2))) + phase)
    light = 0.5 + 0.5 * np.tanh(folds * 0.55)
    pool = np.exp(-((x - rng.uniform(-0.8, 0.8)) ** 2 + (y - rng.uniform(-1.5, 0.5)) ** 2) / 5.5)
    value = (0.10 + 0.62 * light**1.6) * (0.35 + 0.75 * pool)
    shade = _colour(hue, 0.85, 1.0) * value[..., None] + 0.18 * (light**8 * pool)[..., None]
    return np.clip(shade, 0, 1).astype(np.float32)


def _spotlights(base: np.ndarray, x: np.ndarray, y: np.ndarray, hue: float, rng: np.random.Generator) -> np.ndarray:
    for _ in range(rng.integers(3, 6)):
        top, lean, open_by = rng.uniform(-3, 3), rng.uniform(-0.5, 0.5), rng.uniform(0.08, 0.2)
        depth = np.maximum(y + 3.6, 0.05)
        off = np.abs(x - top - lean * depth) / (open_by * depth + 0.05)
        beam = np.exp(-(off**3)) * np.exp(-depth / 5.5)
        base += 0.75 * beam[..., None] * _colour(hue + rng.uniform(-70, 70), 0.45, 1.0)
    return np.clip(1 - np.exp(-1.3 * base), 0, 1).astype(np.float32)


def _bokeh(canvas: Canvas, base: np.ndarray, hue: float, rng: np.random.Generator) -> np.ndarray:
    for _ in range(rng.integers(30, 60)):
        centre = rng.uniform(-3.4, 3.4), rng.uniform(-3.2, 3.2)
        radius = rng.uniform(0.06, 0.32)
        far = np.hypot(canvas.x - centre[0], canvas.y - centre[1]) / radius
        disc = np.clip((1.06 - far) / 0.14, 0, 1) * (0.7 + 0.3 * np.clip(far, 0, 1) ** 4)
        base += rng.uniform(0.1, 0.5) * disc[..., None] * _colour(hue + rng.normal(0, 40), 0.5, 1.0)
    return np.clip(1 - np.exp(-1.2 * base), 0, 1).astype(np.float32)


def _colour(hue: float, saturation: float, value: float) -> np.ndarray:
    """RGB (3,) in 0..1 of a hue in degrees."""
    hsv = np.array([[[hue % 360, saturation, value]]], np.float32)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]
