"""The pages of the widgets: ES modules that are joined into the one that a notebook loads, and their style.

A widget's page may only be one module, from no address. Each file here is a module for whoever reads or lints it, with
`import { element } from "./widgets.js";` at its top and `export` before what others use.
"""

from __future__ import annotations

import re
from pathlib import Path

SHARED = Path(__file__).parent
IMPORT = re.compile(r'^import \{[^}]*\} from "(\./|\.\./)*([\w-]+\.js)";\n', re.MULTILINE)


def script(path: Path) -> str:
    """One module from the module at `path` and all that it imports, from its own folder or from this one."""
    return "\n".join(_modules(path, []))


def _modules(path: Path, seen: list[Path]) -> list[str]:
    if path in seen:
        return []
    seen.append(path)
    text = path.read_text(encoding="utf-8")
    needed = [name for _, name in IMPORT.findall(text)]
    joined = [part for name in needed for part in _modules(_find(name, path.parent), seen)]
    return [*joined, re.sub(r"^export (?!default)", "", IMPORT.sub("", text), flags=re.MULTILINE)]


def _find(name: str, folder: Path) -> Path:
    return folder / name if (folder / name).exists() else SHARED / name


def style(path: Path) -> str:
    """The style at `path` behind what all widgets share."""
    return (SHARED / "widgets.css").read_text(encoding="utf-8") + path.read_text(encoding="utf-8")
