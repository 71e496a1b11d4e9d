"""Files of the visitor's own machine, by way of the browser."""

from . import _front_end, output


def upload(target_dir=""):
    """Waits for the visitor to choose files."""
    output.eval_js("google.colab._files._uploadFiles()")


def download(filename):
    """Sends a file to the browser."""
    with open(filename, "rb"):
        _front_end.note(f"download {filename}")
