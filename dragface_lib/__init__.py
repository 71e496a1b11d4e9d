"""DragFace: from licensed photos to a selfie in drag, with U-GAT-IT.

import dragface_lib
picture = dragface_lib.transform("selfie.jpg")              # the look called classic
generator = dragface_lib.load_generator("runs/mine/generator.safetensors")
picture = dragface_lib.transform("selfie.jpg", generator)   # (height, width, 3) uint8 RGB
"""

from importlib import import_module

__version__ = "0.1.0"

# Each name is imported when it is first used: `--help` and the download need neither torch nor a widget.
_HOMES = {
    "DragFaceError": "errors",
    "Generator": "model",
    "Showcase": "showcase.widget",
    "TrainConfig": "train",
    "Workspace": "session",
    "is_smoke": "session",
    "load_generator": "model",
    "save_generator": "model",
    "sized": "session",
    "starter_path": "model",
    "transform": "showcase.transform",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
