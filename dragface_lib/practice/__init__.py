"""Painted drag: practice faces with a known ground truth, to try the whole pipeline and to measure it."""

from .dataset import clear_practice, practice_faces
from .looks import LOOKS, Makeup, draw_makeup, look_names
from .painting import Painted, Unpaintable, paint

__all__ = [
    "LOOKS",
    "Makeup",
    "Painted",
    "Unpaintable",
    "clear_practice",
    "draw_makeup",
    "look_names",
    "paint",
    "practice_faces",
]
