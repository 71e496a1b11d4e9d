"""U-GAT-IT itself: norms, generator, discriminators, losses, and the files that hold trained generators."""

from .generator import Generator, Translation
from .weights import load_generator, newest_generator, save_generator, starter_looks, starter_path

__all__ = [
    "Generator",
    "Translation",
    "load_generator",
    "newest_generator",
    "save_generator",
    "starter_looks",
    "starter_path",
]
