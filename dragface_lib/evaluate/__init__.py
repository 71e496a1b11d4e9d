"""How good a generator is, measured on faces that it was not trained on."""

from .report import Report, evaluate
from .validation import Validation
from .worst import worst_faces

__all__ = ["Report", "Validation", "evaluate", "worst_faces"]
