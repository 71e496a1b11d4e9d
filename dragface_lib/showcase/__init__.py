"""Notebook 04: your selfie, in drag, back in its own photo."""

from .transforming import DragPhoto, NoFace, before_after, crop_only, make_drag, repaint, transform

__all__ = ["DragPhoto", "NoFace", "before_after", "crop_only", "make_drag", "repaint", "transform"]
