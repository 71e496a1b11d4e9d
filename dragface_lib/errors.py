"""The one exception that speaks to the user: a sentence saying what was wrong and what to do next."""


class DragFaceError(Exception):
    """Something the user can act on.

    Its text is a single sentence that names the file or setting at fault and the next step. The command
    line prints it to stderr and ends with exit code 2; the showcase shows it inside the widget.
    """
