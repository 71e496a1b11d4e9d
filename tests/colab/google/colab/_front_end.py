"""The other side of Colab: the browser that answers, and the cloud behind Drive. A folder stands for both.

settings.json   drive: "granted" (the default), "refused", "timeout", "outside" (no Colab at all); secrets: {name:
                {"value": text, "access": true}}; browser: false where nobody is there to answer
cloud/          what Drive has really received
calls.txt       what was asked for, a line each
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

HOME = "COLAB_STAND_IN"


def home() -> Path | None:
    """The folder, where a test has named one."""
    return Path(os.environ[HOME]) if os.environ.get(HOME) else None


def setting(name: str, default: Any) -> Any:
    """What the test has written down about this Colab."""
    path = (home() or Path("nowhere")) / "settings.json"
    return json.loads(path.read_text()).get(name, default) if path.exists() else default


def note(call: str) -> None:
    """Write down what was asked for."""
    if home():
        with open(home() / "calls.txt", "a") as file:
            file.write(call + "\n")


def arrives(mounted: Path, delay: float) -> None:
    """What was written to the mounted Drive more than `delay` seconds ago arrives in the cloud; the rest is lost with
    the session: a new file is not there then, and of a changed one the state before.
    """
    cloud, now = home() / "cloud", time.time()
    for path in [path for path in mounted.rglob("*") if path.is_file()]:
        target = cloud / path.relative_to(mounted)
        if now - path.stat().st_mtime >= delay:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    for path in [path for path in cloud.rglob("*") if path.is_file()]:
        if not (mounted / path.relative_to(cloud)).exists():
            path.unlink()  # deleting is quick
