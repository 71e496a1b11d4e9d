"""Training: configuration, faces, the step, the loop, checkpoints, the journal and its pictures."""

from .config import TrainConfig
from .data import missing_domains
from .journal import plot_losses, read_journal
from .loop import draw_run, train
from .pictures import progression

__all__ = ["TrainConfig", "draw_run", "missing_domains", "plot_losses", "progression", "read_journal", "train"]
