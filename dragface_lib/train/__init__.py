"""Training: configuration, faces, the step, the loop, checkpoints, the journal and its pictures."""

from .beginning import notebook_config
from .config import TrainConfig
from .loop import train
from .pictures import progression
from .progress import LiveView, draw_run, plot_losses, read_journal

__all__ = [
    "LiveView",
    "TrainConfig",
    "draw_run",
    "notebook_config",
    "plot_losses",
    "progression",
    "read_journal",
    "train",
]
