"""Faces: finding them, aligning them by their landmarks, judging and packing them."""

from .card import balance, write_card
from .dataset import crop_photos, kept_and_rejected, read_crops
from .find import find_faces
from .packing import pack, unpack
from .quality import GATES

__all__ = [
    "GATES",
    "balance",
    "crop_photos",
    "find_faces",
    "kept_and_rejected",
    "pack",
    "read_crops",
    "unpack",
    "write_card",
]
