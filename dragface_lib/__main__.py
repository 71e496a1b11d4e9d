"""The command line: `python -m dragface_lib COMMAND --help`. A user's mistake ends in one line, exit code 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from . import data_commands, drag_commands  # noqa: F401  (they fill COMMANDS)
from .arguments import parse
from .errors import DragFaceError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, or 2 with one line on stderr."""
    options = parse(arguments)
    try:
        options.run_command(options)
    except DragFaceError as error:
        print(f"dragface: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("dragface: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
