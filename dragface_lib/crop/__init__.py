"""Faces: finding them, aligning them by their landmarks, judging and packing them."""

from ..archives import pack, unpack
from .card import balance, kept_and_rejected, write_card
from .dataset import crop_photos
from .find import find_faces
from .quality import GATES, changed_gates
from .table import read_crops

__all__ = [
    "GATES",
    "balance",
    "changed_gates",
    "crop_photos",
    "find_faces",
    "kept_and_rejected",
    "pack",
    "read_crops",
    "unpack",
    "write_card",
]
