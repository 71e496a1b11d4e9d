"""Painted drag: practice faces with a known ground truth, to try the whole pipeline and to measure it."""

from .faces import clear_practice, practice_faces, prepare_faces
from .looks import LOOKS, draw_makeup
from .painting import Unpaintable, paint

__all__ = ["LOOKS", "Unpaintable", "clear_practice", "draw_makeup", "paint", "practice_faces", "prepare_faces"]
