"""What is not run on this machine, and why; and what the notebooks find when they run as tests.

Notebooks run in kernels of their own, which inherit the environment set here: smoke size, one workspace for all
four in their order, and a server on this machine in place of the internet.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "tests"))

NOT_RUN = pytest.StashKey[dict]()
CLEAN_UP = pytest.StashKey[ExitStack]()


def _no_browser() -> str:
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        return "no Chromium browser on this machine (Debian: apt-get install chromium)"
    return "" if find_spec("playwright") else "playwright is not installed (pip install playwright)"


def _no_gpu() -> str:
    import torch

    return "" if torch.cuda.is_available() else "no CUDA GPU on this machine"


def _no_yunet() -> str:
    return "" if os.environ.get("DRAGFACE_MODELS") else "no folder with YuNet's file is named by DRAGFACE_MODELS"


def _no_haar() -> str:
    import cv2

    return "" if hasattr(cv2, "CascadeClassifier") else f"OpenCV {cv2.__version__} has no Haar cascade"


NEEDS = {"browser": _no_browser, "gpu": _no_gpu, "yunet": _no_yunet, "haar": _no_haar}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out the tests that need what this machine lacks; they are listed at the end."""
    not_run = config.stash.setdefault(NOT_RUN, {})
    missing: dict[str, str] = {}
    for item in items:
        for mark in NEEDS.keys() & {mark.name for mark in item.iter_markers()}:
            if mark not in missing:
                missing[mark] = NEEDS[mark]()
            if missing[mark]:
                not_run[item] = missing[mark]
    if not_run:
        config.hook.pytest_deselected(items=list(not_run))
        items[:] = [item for item in items if item not in not_run]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List what was not run, each with its reason."""
    not_run = config.stash.get(NOT_RUN, {})
    if not_run:
        terminalreporter.section("not run")
        for item, reason in not_run.items():
            terminalreporter.line(f"{item.nodeid}: {reason}")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Prepare the notebooks' world when any of them is about to run."""
    config = session.config
    if config.option.collectonly or CLEAN_UP in config.stash:
        return
    if any(item.path.suffix == ".ipynb" for item in session.items):
        config.stash[CLEAN_UP] = _smoke_world()


def _smoke_world() -> ExitStack:
    from photo_server import portrait_files, serve_photos

    world = ExitStack()
    url, manifest = world.enter_context(serve_photos())
    home = world.enter_context(tempfile.TemporaryDirectory(prefix="dragface-notebooks-", ignore_cleanup_errors=True))
    settings = {
        "DRAGFACE_SMOKE": "1",
        "DRAGFACE_HOME": home,
        "DRAGFACE_MIRROR": url,
        "DRAGFACE_MANIFEST": str(Path(manifest).resolve()),
    }
    if not os.environ.get("DRAGFACE_PHOTOS"):  # two people are too few to practise: they stand for drag photos too
        portrait_files(Path(home) / "photos" / "drag")
    patch = pytest.MonkeyPatch()
    world.callback(patch.undo)
    for name, value in settings.items():
        patch.setenv(name, value)
    return world


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server and remove the notebooks' workspace."""
    if CLEAN_UP in config.stash:
        config.stash[CLEAN_UP].close()
