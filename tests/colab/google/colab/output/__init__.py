"""What Colab's kernel shows in the browser, and asks of it."""

from . import _widgets
from ._widgets import enable_custom_widget_manager


def eval_js(script, ignore_result=False, timeout_sec=None):
    """Runs JavaScript in the browser, of which there is none here: the real one would wait for ever."""
    if ignore_result or timeout_sec:
        return
    raise AssertionError(f"without a browser this waits for ever: eval_js({script!r})")


__all__ = ["_widgets", "enable_custom_widget_manager", "eval_js"]
