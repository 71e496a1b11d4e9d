"""The one exception that speaks to the user: a sentence saying what was wrong and what to do next."""

LONGEST_TEXT = 2000  # characters


def printable(text: str, longest: int = LONGEST_TEXT) -> str:
    """A stranger's text in one line, without control characters, and without its middle if it is long."""
    text = text if len(text) <= longest else f"{text[: longest // 2 - 1]}…{text[-(longest // 2) :]}"
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class DragFaceError(Exception):
    """Something the user can act on.

    Its text is a single sentence that names the file or setting at fault and the next step. The command
    line prints it to stderr and ends with exit code 2; the showcase shows it inside the widget.
    """

    def __str__(self) -> str:
        return printable(super().__str__())
