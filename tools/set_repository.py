"""Write the published address of the project into pyproject.toml, the README's and the notebooks' badges and cells.

make repository URL=https://github.com/someone/DragFace
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+")


def main(url: str) -> int:
    """Replace the address that stands in pyproject.toml by `url`, wherever it stands."""
    url = url.rstrip("/").removesuffix(".git")
    if not ADDRESS.fullmatch(url):
        print(
            f"{url!r} is not a repository's address: make repository URL=https://github.com/OWNER/NAME", file=sys.stderr
        )
        return 2
    project = ROOT / "pyproject.toml"
    old = re.search(r'^Repository = "([^"]+)"', project.read_text(), re.MULTILINE).group(1)
    # A badge names the repository without its host: colab.research.google.com/github/OWNER/NAME/...
    paths = [old.removeprefix("https://"), url.removeprefix("https://")]
    badges = [path.replace("github.com/", "/github/", 1) for path in paths]
    files = [project, ROOT / "README.md", ROOT / "dragface_lib" / "network.py"]
    for path in [*files, *sorted((ROOT / "notebooks").glob("*.ipynb"))]:
        before = path.read_text(encoding="utf-8")
        after = before.replace(old, url).replace(*badges)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"rewritten: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
