"""U-GAT-IT itself: norms, generator, discriminators, losses, and the files that hold trained generators."""

from .generator import Generator, Translation
from .weights import (
    find_looks,
    generator_path,
    load_generator,
    load_look,
    newest_generator,
    save_generator,
    starter_looks,
    starter_path,
)

__all__ = [
    "Generator",
    "Translation",
    "find_looks",
    "generator_path",
    "load_generator",
    "load_look",
    "newest_generator",
    "save_generator",
    "starter_looks",
    "starter_path",
]
