"""The machine, which can be given back."""

from . import _front_end


def unassign():
    """Ends the session; here that is written down, and the program goes on, as Colab's does for some seconds."""
    _front_end.note("unassign")
