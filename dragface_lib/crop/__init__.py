"""Faces: finding them, aligning them by their landmarks, judging and packing them."""

from .card import balance, write_card
from .dataset import crop_photos, kept_and_rejected
from .find import find_faces
from .packing import pack, unpack
from .quality import GATES
from .table import read_crops

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
