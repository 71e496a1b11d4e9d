"""The command line: `python -m dragface_lib COMMAND --help`. A user's mistake ends in one line, exit code 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from . import data_commands, drag_commands  # noqa: F401  (they fill COMMANDS)
from .arguments import parse
from .errors import DragFaceError

LONGEST_LINE = 2000  # characters


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, or 2 with one line on stderr."""
    options = parse(arguments)
    try:
        options.run_command(options)
    except DragFaceError as error:
        return _refused(str(error))
    except KeyboardInterrupt:
        print("dragface: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, RuntimeError) as error:  # a name that no file can have, a link to itself, a disk that is gone
        if isinstance(error, RuntimeError) and "Symlink loop" not in str(error):  # pathlib's, up to Python 3.12
            raise
        reason = f" ({error.strerror})" if isinstance(error, OSError) else ""
        return _refused(f"{getattr(error, 'filename', '') or error} cannot be used{reason}: name another file.")
    return 0


def _refused(sentence: str) -> int:
    """Print why a command ends, without what would steer the terminal: names and texts may be a stranger's."""
    line = "".join(filter(str.isprintable, " ".join(sentence.split())))
    print(f"dragface: {line[:LONGEST_LINE]}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
