"""What all tests share: two portraits, the photos of DRAGFACE_PHOTOS, a server in place of the internet.

Every test has a workspace of its own, none of this shell's DRAGFACE_ settings, and no network.
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from photo_server import PhotoServer, portrait_files, running_server

KEPT = ("DRAGFACE_PHOTOS", "DRAGFACE_MODELS")  # where this machine keeps test photos and the detector


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in [name for name in os.environ if name.startswith("DRAGFACE_") and name not in KEPT]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DRAGFACE_HOME", str(tmp_path_factory.getbasetemp() / "workspaces" / os.urandom(4).hex()))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address) -> None:
        if self.family != getattr(socket, "AF_UNIX", None) and not _is_here(address[0]):
            raise OSError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(scope="session")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The two public-domain portraits as JPEG files: {"astronaut": path, "grace_hopper": path}."""
    return portrait_files(tmp_path_factory.mktemp("portraits"))


@pytest.fixture(scope="session")
def photos_folder(portraits: dict[str, Path]) -> Path:
    """The folder DRAGFACE_PHOTOS, or one that holds the two portraits."""
    named = os.environ.get("DRAGFACE_PHOTOS")
    return Path(named) if named else portraits["astronaut"].parent


@pytest.fixture
def colab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Function that makes this machine look like Colab, with what `tests/colab` stands in for; keyword arguments are
    its settings (see `google/colab/_front_end.py` there). Returns the folder that is `/content` then.
    """
    from dragface_lib import session

    content, state = tmp_path / "content", tmp_path / "colab"
    content.mkdir()
    state.mkdir()
    for name in [name for name in sys.modules if name == "google" or name.startswith("google.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(Path(__file__).parent / "colab")
    monkeypatch.setenv("COLAB_STAND_IN", str(state))
    monkeypatch.setattr(session, "COLAB_DISK", content)
    monkeypatch.setattr(session, "_drive_refused", "")
    monkeypatch.delenv("DRAGFACE_HOME")

    def make(**settings: object) -> Path:
        (state / "settings.json").write_text(json.dumps(settings))
        return content

    return make


@pytest.fixture
def asked(tmp_path: Path) -> Callable[[], list[str]]:
    """Function that returns what Colab's stand-in was asked for so far."""
    calls = tmp_path / "colab" / "calls.txt"
    return lambda: calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[PhotoServer]:
    """A server in place of the internet, with `.rows` and `.url`; every download of this test goes to it."""
    with running_server() as (server, manifest):
        monkeypatch.setenv("DRAGFACE_MIRROR", server.url)
        monkeypatch.setenv("DRAGFACE_MANIFEST", str(manifest))
        yield server
