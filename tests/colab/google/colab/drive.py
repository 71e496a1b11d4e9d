"""Drive as a folder: it asks, can be refused, can time out, and holds back what is written to it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from . import _front_end, errors

_mounted: list[Path] = []


def mount(mountpoint, force_remount=False, timeout_ms=120000, readonly=False):
    """As Colab's: the user is asked each time, also where Drive is mounted already."""
    state = _front_end.setting("drive", "granted")
    if state == "outside":
        raise NotImplementedError("Mounting drive is unsupported in this environment. Use PyDrive2 instead.")
    if " " in mountpoint:
        raise ValueError("Mountpoint must not contain a space.")
    _front_end.note("request_auth")
    if state == "refused":
        raise errors.MessageError("Error: credential propagation was unsuccessful")
    place = Path(mountpoint)
    if not force_remount and (place / "MyDrive").is_dir():
        print(
            f"Drive already mounted at {mountpoint}; to attempt to forcibly remount, call "
            f'drive.mount("{mountpoint}", force_remount=True).'
        )
        return
    if place.is_dir() and list(place.iterdir()):
        raise ValueError("Mountpoint must not already contain files")
    if not place.parent.is_dir():
        raise ValueError("Mountpoint must be in a directory that exists")
    if state == "timeout":
        time.sleep(min(timeout_ms / 1000, 0.1))
        raise ValueError("mount failed: timeout during initial read of root folder; for more info: ...")
    cloud = (_front_end.home() or place) / "cloud"
    if cloud.is_dir():
        shutil.copytree(cloud, place / "MyDrive")
    (place / "MyDrive").mkdir(parents=True, exist_ok=True)
    _mounted.append(place)
    print(f"Mounted at {mountpoint}")


def flush_and_unmount(timeout_ms=24 * 60 * 60 * 1000):
    """Everything arrives, and Drive is gone."""
    _front_end.note("flush_and_unmount")
    if not _mounted:
        print("Drive not mounted, so nothing to flush and unmount.")
        return
    place = _mounted.pop()
    _front_end.arrives(place / "MyDrive", delay=0)
    shutil.rmtree(place)
