"""A notebook's session: the folders of photos, faces, runs and models, the set-up cell, and the end of the session.

from dragface_lib import session
session.begin()
space = session.Workspace.open()   # Google Drive on Colab, a folder elsewhere
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from . import __version__
from .errors import DragFaceError

if TYPE_CHECKING:
    from .train import TrainConfig

Value = TypeVar("Value")
ROOT = Path(__file__).resolve().parents[1]
COLAB_DISK = Path("/content")  # ends with the session; Drive is mounted below it
KAGGLE_DISK = Path("/kaggle/working")  # kept by Kaggle after the session; there is no Drive
GPU_SETTING = {"Colab": "Runtime → Change runtime type → T4 GPU", "Kaggle": "Settings → Accelerator → GPU T4 x2"}
GIB = 2**30

_drive_refused = ""  # the reason why Drive was refused, so that nobody is asked twice in a session


def is_smoke() -> bool:
    """True when DRAGFACE_SMOKE=1: the notebooks' cells then run on tiny sizes, in seconds."""
    return os.environ.get("DRAGFACE_SMOKE", "") not in ("", "0")


def sized(real: Value, smoke: Value) -> Value:
    """`real`, or `smoke` at smoke size: how a notebook states both sizes of a number side by side."""
    return smoke if is_smoke() else real


def host() -> str:
    """The provider of this machine: "Colab", "Kaggle", or ""."""
    if KAGGLE_DISK.is_dir():  # Kaggle's machines know google.colab as well
        return "Kaggle"
    try:
        import google.colab  # noqa: F401
    except ImportError:
        return ""
    return "Colab" if COLAB_DISK.is_dir() else ""


@dataclass(frozen=True)
class Workspace:
    """The folders of one user. `root` survives the session; `scratch` is a fast disk that may not."""

    root: Path
    scratch: Path
    on_colab: bool

    @property
    def photos(self) -> Path:
        """Whole photos, a folder for each domain: photos/selfie, photos/drag."""
        return self.root / "photos"

    @property
    def faces(self) -> Path:
        """Aligned 256 px faces: faces/{selfie,drag}/{train,test}."""
        return self.scratch / "faces"

    @property
    def faces_archive(self) -> Path:
        """The archive of the faces: Drive is slow with thousands of small files."""
        return self.root / "faces.zip"

    @property
    def runs(self) -> Path:
        """Training runs, a folder for each."""
        return self.root / "runs"

    @classmethod
    def open(cls, root: str | Path | None = None) -> Workspace:
        """Mount Google Drive on Colab and use its folder DragFace; elsewhere DRAGFACE_HOME or ./workspace (on Kaggle
        its working folder's).

        Raises DragFaceError when the folder cannot be made. Where Drive is refused, the workspace lies on Colab's own
        disk, and a line on stderr says that it ends with the session.
        """
        drive = None if root or os.environ.get("DRAGFACE_HOME") else _mount_drive()
        default = KAGGLE_DISK / "DragFace" if host() == "Kaggle" else "workspace"
        folder = Path(root or os.environ.get("DRAGFACE_HOME") or drive or default).expanduser().resolve()
        space = cls(folder, COLAB_DISK / "dragface-scratch" if drive else folder, drive is not None)
        try:
            for path in (space.photos, space.faces, space.runs):
                path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise DragFaceError(
                f"{folder} cannot be used as the workspace ({error.strerror}): set DRAGFACE_HOME to a folder "
                "you may write to."
            ) from error
        return space


def _mount_drive() -> Path | None:
    """Mount Drive and return its DragFace folder; None outside Colab."""
    global _drive_refused
    if host() != "Colab":
        return None
    my_drive, local = COLAB_DISK / "drive" / "MyDrive", COLAB_DISK / "DragFace"
    try:
        if my_drive.is_dir():  # mounting again would open Google's window again
            return my_drive / "DragFace"
    except OSError:  # Drive has dropped out: "Transport endpoint is not connected"
        pass
    if _drive_refused:
        return local
    from google.colab import drive

    try:
        drive.mount(str(COLAB_DISK / "drive"))
        return my_drive / "DragFace"
    except NotImplementedError:  # google.colab is installed outside Colab
        return None
    except Exception as error:  # Colab raises ValueError, MessageError and others when Drive is refused
        _drive_refused = str(error)
        print(
            f"Google Drive was not mounted ({error}): everything is kept on this machine and ends with the "
            "session. Run the set-up cell again to mount it.",
            file=sys.stderr,
        )
        return local


def require_drive(path: Path) -> None:
    """Raises OSError where a path lies on Google Drive, and Drive is not mounted now."""
    mount = COLAB_DISK / "drive"
    if path.absolute().is_relative_to(mount) and "MyDrive" not in os.listdir(mount):
        raise OSError(errno.ENOTCONN, "Google Drive is not mounted", str(mount))


def begin() -> None:
    """Install missing packages on Colab or Kaggle, mount Drive, and print a line about this machine."""
    global _drive_refused
    _drive_refused = ""
    if host():
        install_missing()
    print(summary())


def missing_packages() -> list[str]:
    """The lines of requirements.txt that the library needs and that are not installed in any version."""
    missing = []
    for line in (ROOT / "requirements.txt").read_text().partition("# Only where")[0].splitlines():
        requirement = line.partition("#")[0].strip()
        name = re.split(r"[^\w.-]", requirement)[0]
        if name and not (name == "opencv-python" and find_spec("cv2")):  # cv2 comes in several wheels
            try:
                version(name)
            except PackageNotFoundError:
                missing.append(requirement)
    return missing


def install_missing() -> None:
    """Install missing packages. Installed packages keep their versions.

    Raises DragFaceError when that fails.
    """
    missing = missing_packages()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *missing]
    if missing and subprocess.run(command, check=False).returncode:
        advice = "switch Internet on in the notebook's settings" if host() == "Kaggle" else "check the network"
        raise DragFaceError(f"{', '.join(missing)} could not be installed: {advice}, and run this cell again.")


def summary() -> str:
    """One line: version and folder of the code, the GPU and its precision, free space, the run to go on with."""
    space = Workspace.open()
    where = f" on {host()}" if host() else ""
    return f"DragFace {__version__} ({ROOT}){where}: {_gpu()}; {_free_space(space)}; {_newest_run(space.runs)}."


def _gpu() -> str:
    import torch

    from .devices import choose_device, choose_precision

    device = choose_device("auto")
    precision = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[choose_precision("auto", device)]
    if device.type == "mps":
        return f"Apple GPU, {precision}"
    if device.type != "cuda":
        advice = f" (for one: {GPU_SETTING[host()]})" if host() else ""
        return f"no GPU{advice}, without which 03_train makes do with a small run"
    card, count = torch.cuda.get_device_properties(device), torch.cuda.device_count()
    return f"{f'{count} × ' if count > 1 else ''}{card.name}, {card.total_memory / GIB:.0f} GiB, {precision}"


def _free_space(space: Workspace) -> str:
    left = f"{shutil.disk_usage(space.root).free / GIB:.1f} GiB left"
    if _drive_refused:
        return f"Drive was not mounted ({_drive_refused}), so all of it ends with the session; {left}"
    return f"{left} on Drive" if space.on_colab else f"{left} in {space.root}"


def _newest_run(runs: Path) -> str:
    """The run that was saved last, and its step."""
    saved = [path for path in runs.glob("*/checkpoints/step_*.pt") if re.fullmatch(r"step_\d{8}\.pt", path.name)]
    if not saved:
        return "no run to go on with yet"
    newest = max(saved, key=lambda path: path.stat().st_mtime)
    return f"the run {newest.parents[1].name} goes on at step {int(newest.stem[5:]):,}"


def end(config: TrainConfig) -> None:
    """Give Colab's machine back after an unattended run that is on Drive; elsewhere only say so.

    Raises DragFaceError, and keeps the machine, where the run's newest checkpoint has not arrived whole in its folder,
    or that folder is not on Drive.
    """
    from .train.saving import has_arrived

    if host() != "Colab":
        print("The machine stays: only Colab's can be given back.")
        return
    if not has_arrived(config):
        raise DragFaceError(
            f"The machine stays: the newest state is in {config.run_folder} alone. Run the training cell again to copy "
            f"it to {config.run}."
        )
    if not Path(config.run).absolute().is_relative_to(COLAB_DISK / "drive"):
        raise DragFaceError(f"The machine stays: {config.run} is not on Drive, and ends with the session.")
    from google.colab import drive, runtime

    drive.flush_and_unmount()  # Drive uploads with a delay
    runtime.unassign()
