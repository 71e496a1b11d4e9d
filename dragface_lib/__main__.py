"""The command line: `python -m dragface_lib COMMAND --help`. A user's mistake ends in one line, exit code 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from . import data_commands, drag_commands  # noqa: F401  (they fill COMMANDS)
from .arguments import parse
from .errors import DragFaceError, printable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, or 2 with one line on stderr."""
    options = parse(arguments)
    try:
        options.run_command(options)
    except DragFaceError as error:
        reason = str(error)
    except KeyboardInterrupt:
        print("dragface: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, RuntimeError) as error:  # a name that no file can have, a link to itself, a disk that is gone
        if isinstance(error, RuntimeError) and "Symlink loop" not in str(error):  # pathlib's, up to Python 3.12
            raise
        fault = printable(f"{getattr(error, 'filename', '') or error}")
        reason = f"{fault} cannot be used ({getattr(error, 'strerror', '') or 'a loop'}): name another file."
    else:
        return 0
    print(f"dragface: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
