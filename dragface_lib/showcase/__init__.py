"""04_showcase: a photo in drag, the widget that shows it, many photos at once, and pages of pictures."""

from .transform import DragPhoto, NoFace, before_after, crop_only, make_drag, repaint

__all__ = ["DragPhoto", "NoFace", "before_after", "crop_only", "make_drag", "repaint"]
