"""How good a generator is, measured on faces that it was not trained on."""

from .report import Report, evaluate, worst_faces
from .validation import Validation

__all__ = ["Report", "Validation", "evaluate", "worst_faces"]
