"""Where photos, faces, runs and models live: Google Drive on Colab, a folder anywhere else.

from dragface_lib import Workspace
space = Workspace.open()
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .errors import DragFaceError

Value = TypeVar("Value")
COLAB_DISK = Path("/content")  # Colab's own disk, which ends with the session; Drive is mounted below it
KAGGLE_DISK = Path("/kaggle/working")  # what Kaggle keeps of a session; it has no Drive

_refused = False  # whether Drive has been asked for and refused in this session: nobody is asked twice


def is_smoke() -> bool:
    """True when DRAGFACE_SMOKE=1: the notebooks' cells then run on tiny sizes, in seconds."""
    return os.environ.get("DRAGFACE_SMOKE", "") not in ("", "0")


def sized(real: Value, smoke: Value) -> Value:
    """`real`, or `smoke` at smoke size: how a notebook states both sizes of a number side by side."""
    return smoke if is_smoke() else real


@dataclass(frozen=True)
class Workspace:
    """The folders of one user. `root` survives the session; `scratch` is a fast disk that may not."""

    root: Path
    scratch: Path
    on_colab: bool

    @property
    def photos(self) -> Path:
        """Whole photos, a folder a domain: photos/selfie, photos/drag."""
        return self.root / "photos"

    @property
    def faces(self) -> Path:
        """Aligned 256 px faces: faces/{selfie,drag}/{train,test}."""
        return self.scratch / "faces" if self.on_colab else self.root / "faces"

    @property
    def faces_archive(self) -> Path:
        """The one file in which the faces travel: Drive is slow with thousands of small ones."""
        return self.root / "faces.zip"

    @property
    def runs(self) -> Path:
        """Trainings, a folder a run."""
        return self.root / "runs"

    @property
    def models(self) -> Path:
        """Files fetched once by a pinned hash, such as the YuNet detector."""
        return self.root / "models"

    @classmethod
    def open(cls, root: str | Path | None = None) -> Workspace:
        """Mount Google Drive on Colab and use its folder DragFace; elsewhere DRAGFACE_HOME or ./workspace (on Kaggle
        its working folder's).

        Raises DragFaceError when the folder cannot be made. When Drive is refused on Colab, the
        workspace lies on the machine's own disk and a line on stderr says that it ends with the session.
        """
        drive = None if root or os.environ.get("DRAGFACE_HOME") else _mount_drive()
        on_colab = drive is not None
        usual = KAGGLE_DISK / "DragFace" if host() == "Kaggle" else "workspace"
        folder = Path(root or os.environ.get("DRAGFACE_HOME") or drive or usual).expanduser().resolve()
        scratch = COLAB_DISK / "dragface-scratch" if on_colab else folder
        space = cls(folder, scratch, on_colab)
        try:
            for path in (space.photos, space.faces, space.runs, space.models):
                path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise DragFaceError(
                f"{folder} cannot be used as the workspace ({error.strerror}): set DRAGFACE_HOME to a folder "
                "you may write to."
            ) from error
        return space


def on_drive(path: str | Path) -> bool:
    """Whether a path lies on the Drive that Colab mounts, and so outlives the session."""
    return Path(path).absolute().is_relative_to(COLAB_DISK / "drive")


def host() -> str:
    """Whose machine this notebook runs on: "Colab", "Kaggle", or "" for any other."""
    if KAGGLE_DISK.is_dir():  # whose machines know google.colab as well
        return "Kaggle"
    try:
        import google.colab  # noqa: F401
    except ImportError:
        return ""
    return "Colab" if COLAB_DISK.is_dir() else ""


def remember_refusal(refused: bool) -> None:
    """Whether Drive was refused just now: everything is then kept on this machine, and nobody is asked again."""
    global _refused
    _refused = refused


def _mount_drive() -> Path | None:
    """Mount Drive and return its DragFace folder; None outside Colab."""
    if host() != "Colab":
        return None
    mine, local = COLAB_DISK / "drive" / "MyDrive", COLAB_DISK / "DragFace"
    try:
        if mine.is_dir():  # asking again would show the visitor Google's window again
            return mine / "DragFace"
    except OSError:  # Drive has dropped out: "Transport endpoint is not connected"
        pass
    if _refused:
        return local
    from google.colab import drive

    try:
        drive.mount(str(COLAB_DISK / "drive"))
        return mine / "DragFace"
    except NotImplementedError:  # what google.colab raises when it is installed outside Colab
        return None
    except Exception as error:  # Colab raises ValueError, MessageError and others when Drive is refused
        remember_refusal(True)
        print(
            f"Google Drive was not mounted ({error}): everything is kept on this machine and ends with the "
            "session. Run the set-up cell again to mount it.",
            file=sys.stderr,
        )
        return local
