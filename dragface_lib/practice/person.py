"""Where the person is in the picture, estimated from the landmarks and, along the edge, from the colours."""

from __future__ import annotations

import cv2
import numpy as np

from ..crop.landmarks import OVAL
from ..crop.masks import smoothstep
from .canvas import Canvas, smooth_curve

SMALL = 220  # pixels of the longer side at which the edge is searched
HEAD = tuple(range(145, 158))  # outline of hair and shoulders, which the landmarks only guess


def person_mask(canvas: Canvas) -> np.ndarray:
    """(h, w) float32: 1 on head, hair, neck and shoulders, 0 on the background, soft between."""
    p = canvas.points
    height, width = canvas.shape
    scale = min(1.0, SMALL / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    jaw, top = float(p[129, 1]), float(p[151, 1])
    face = canvas.fill([p[list(OVAL)]])
    neck = canvas.fill([np.array([[-0.55, 0.9 * jaw], [0.55, 0.9 * jaw], [0.6, jaw + 0.5], [-0.6, jaw + 0.5]])])
    body = canvas.fill(
        [np.array([[-1.0, jaw + 0.75], [1.0, jaw + 0.75], [2.2, jaw + 1.4], [2.4, 9], [-2.4, 9], [-2.2, jaw + 1.4]])]
    )
    angles = np.linspace(0, 2 * np.pi, 60)
    middle = (top + jaw) / 2
    skull = np.stack([1.12 * np.cos(angles), middle + 0.56 * (jaw - top) * np.sin(angles)], 1)
    hair = canvas.fill([skull, smooth_curve(p[list(HEAD)], 60)])
    reach = canvas.fill(
        [np.array([[-1.9, top - 0.5], [1.9, top - 0.5], [3.2, jaw + 1.2], [3.6, 9], [-3.6, 9], [-3.2, jaw + 1.2]])]
    )
    face, neck, body, hair, reach = (
        cv2.resize(mask, size, interpolation=cv2.INTER_AREA) for mask in (face, neck, body, hair, reach)
    )
    labels = np.full(size[::-1], cv2.GC_PR_BGD, np.uint8)
    labels[(hair > 0.5) | (body > 0.5)] = cv2.GC_PR_FGD
    labels[reach < 0.5] = cv2.GC_BGD
    labels[(face > 0.7) | (neck > 0.9)] = cv2.GC_FGD
    rgb = cv2.cvtColor(cv2.resize(canvas.lab, size, interpolation=cv2.INTER_AREA), cv2.COLOR_LAB2RGB)
    if (labels == cv2.GC_BGD).any() and (labels == cv2.GC_FGD).any():
        cv2.setRNGSeed(0)  # grabCut starts from random clusters
        model = np.zeros((1, 65)), np.zeros((1, 65))
        nowhere = (0, 0, 0, 0)  # the mask says where
        cv2.grabCut((rgb * 255).astype(np.uint8), labels, nowhere, *model, 3, cv2.GC_INIT_WITH_MASK)
    found = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.float32)
    found = cv2.GaussianBlur(cv2.medianBlur((found * 255).astype(np.uint8), 5).astype(np.float32) / 255, (0, 0), 1.2)
    # A little inside the edge found, so that no rim of the old background shines around the hair.
    return smoothstep(0.45, 0.95, cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR))
