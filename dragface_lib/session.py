"""What a notebook's set-up cell does once it has the code, and how an unattended session ends.

from dragface_lib import session
session.begin()
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .errors import DragFaceError
from .workspace import Workspace, host, on_drive, remember_refusal

if TYPE_CHECKING:
    from .train import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
GPU_FROM = {
    "Colab": " (for one: Runtime → Change runtime type → T4 GPU)",
    "Kaggle": " (for one: Settings → Accelerator → GPU T4 x2)",
    "": "",
}
GIB = 2**30


def begin(refused: str = "") -> None:
    """Install what is missing on Colab or Kaggle, and say in one line what was found.

    refused: why Drive was not mounted, where the set-up cell has asked for it already.
    """
    remember_refusal(bool(refused))
    if host():
        install_missing()
    print(found(refused))


def missing_packages() -> list[str]:
    """The lines of requirements.txt that the library needs and that are not installed in any version."""
    missing = []
    for line in (ROOT / "requirements.txt").read_text().partition("# Only where")[0].splitlines():
        requirement = line.partition("#")[0].strip()
        name = re.split(r"[^\w.-]", requirement)[0]
        if name and not (name == "opencv-python" and find_spec("cv2")):  # of which there are several wheels
            try:
                version(name)
            except PackageNotFoundError:
                missing.append(requirement)
    return missing


def install_missing() -> None:
    """Install what the library needs and this machine lacks; what is there stays, in whatever version.

    Raises DragFaceError when that fails.
    """
    missing = missing_packages()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *missing]
    if missing and subprocess.run(command, check=False).returncode:
        switch = "switch Internet on in the notebook's settings" if host() == "Kaggle" else "check the network"
        raise DragFaceError(f"{', '.join(missing)} could not be installed: {switch}, and run this cell again.")


def found(refused: str = "") -> str:
    """One line: the code and where it is from, the GPU and what it computes in, the room left, a run to go on with."""
    space = Workspace.open()
    place = f" on {host()}" if host() else ""
    return f"DragFace {__version__} ({_origin()}){place}: {_gpu()}; {_room(space, refused)}; {_run(space.runs)}."


def _origin() -> str:
    """The address and branch of a clone, else the folder."""
    if not (ROOT / ".git").exists():
        return str(ROOT)
    commands = (["config", "--get", "remote.origin.url"], ["rev-parse", "--abbrev-ref", "HEAD"])
    try:
        asked = [subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True) for command in commands]
    except OSError:  # no git
        return str(ROOT)
    address, branch = (answer.stdout.strip() for answer in asked)
    return f"{address.removeprefix('https://')}, branch {branch}" if address else str(ROOT)


def _gpu() -> str:
    import torch

    from .devices import choose_device, choose_precision

    device = choose_device("auto")
    precision = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[choose_precision("auto", device)]
    if device.type == "mps":
        return f"Apple GPU, {precision}"
    if device.type != "cuda":
        return f"no GPU{GPU_FROM[host()]}, without which 03_train makes do with a small run"
    facts = torch.cuda.get_device_properties(device)
    count = torch.cuda.device_count()
    several = f"{count} × " if count > 1 else ""
    return f"{several}{facts.name}, {facts.total_memory / GIB:.0f} GiB, {precision}"


def _room(space: Workspace, refused: str) -> str:
    left = f"{shutil.disk_usage(space.root).free / GIB:.1f} GiB left"
    if space.on_colab and "MyDrive" in space.root.parts:
        return f"{left} on Drive"
    if host() == "Colab":
        return f"Drive was not mounted{f' ({refused})' if refused else ''}, so all of it ends with the session; {left}"
    return f"{left} in {space.root}"


def _run(runs: Path) -> str:
    """The run that was saved last, and how far it is."""
    saved = [path for path in runs.glob("*/checkpoints/step_*.pt") if path.is_file()]
    if not saved:
        return "no run to go on with yet"
    newest = max(saved, key=lambda path: path.stat().st_mtime)
    return f"the run {newest.parents[1].name} goes on at step {int(newest.stem.removeprefix('step_')):,}"


def end(config: TrainConfig) -> None:
    """Give Colab's machine back after an unattended run, with all of it on Drive; elsewhere only say so.

    Raises DragFaceError, and keeps the machine, where the run's newest checkpoint has not arrived whole in its folder,
    or that folder is not on Drive.
    """
    from .train.mirror import has_arrived

    if host() != "Colab":
        print("The machine stays: only Colab's can be given back.")
        return
    if not has_arrived(config):
        raise DragFaceError(
            f"The machine stays: the newest state is in {config.run_folder} alone. Run the training cell again to copy "
            f"it to {config.run}."
        )
    if not on_drive(config.run):
        raise DragFaceError(f"The machine stays: {config.run} is not on Drive, and ends with the session.")
    from google.colab import drive, runtime

    drive.flush_and_unmount()  # what was written to Drive is on its way for a while
    runtime.unassign()
