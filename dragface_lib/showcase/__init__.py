"""04_showcase: a photo in drag, the widget that shows it, many photos at once, and pages of pictures."""

from .transform import DragPhoto, NoFace, crop_only, make_drag

__all__ = ["DragPhoto", "NoFace", "crop_only", "make_drag"]
