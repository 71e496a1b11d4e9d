"""Glasses on an aligned face: the edges around the eyes, weighed by what drawn glasses taught.

score = glasses_score(face)       above 0: glasses; about -0.5 on a bare face

A linear classifier over oriented edges. `tools/glasses.py` draws frames on bare faces and writes its weights.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import load_file

WEIGHTS = Path(__file__).with_name("glasses.safetensors")
TOP, BOTTOM, LEFT, RIGHT = 84, 164, 48, 208  # of a crop of 256 pixels: brows to cheeks, temple to temple
CELL, DIRECTIONS = 8, 8


def glasses_score(face: np.ndarray) -> float:
    """How much the face (256, 256, 3) uint8 RGB looks as if it wore glasses."""
    weights = _weights()
    return float(edges(face) @ weights["weights"] + weights["bias"][0])


def edges(face: np.ndarray) -> np.ndarray:
    """Histograms of edge directions in cells of 8 pixels, each relative to its surroundings: (1600,) float32.

    As in Dalal and Triggs (CVPR 2005), with directions told apart by their sign: frames have a dark and a light side.
    """
    strip = np.sqrt(cv2.cvtColor(face[TOP:BOTTOM, LEFT:RIGHT], cv2.COLOR_RGB2GRAY).astype(np.float32))
    strip = cv2.GaussianBlur(strip, (0, 0), 1.0)
    across, down = cv2.Sobel(strip, cv2.CV_32F, 1, 0, ksize=1), cv2.Sobel(strip, cv2.CV_32F, 0, 1, ksize=1)
    strength, angle = cv2.cartToPolar(across, down)
    direction = angle * (DIRECTIONS / (2 * np.pi))
    rows, columns = strip.shape[0] // CELL, strip.shape[1] // CELL
    cells = np.empty((DIRECTIONS, rows, columns), np.float32)
    for number in range(DIRECTIONS):
        apart = np.abs(direction - number)
        part = strength * np.maximum(0, 1 - np.minimum(apart, DIRECTIONS - apart))
        cells[number] = part.reshape(rows, CELL, columns, CELL).sum((1, 3))
    energy = cv2.blur((cells**2).sum(0), (5, 5))
    return np.minimum(cells / np.sqrt(energy + 1.0), 0.5).ravel()


@lru_cache(maxsize=1)
def _weights() -> dict[str, np.ndarray]:
    return {name: value.astype(np.float32) for name, value in load_file(WEIGHTS).items()}
