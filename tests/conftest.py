"""What all tests share: two portraits, the photos of DRAGFACE_PHOTOS, a server in place of the internet.

Every test has a workspace of its own, none of this shell's DRAGFACE_ settings, and no network.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
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
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[PhotoServer]:
    """A server in place of the internet, with `.rows` and `.url`; every download of this test goes to it."""
    with running_server() as (server, manifest):
        monkeypatch.setenv("DRAGFACE_MIRROR", server.url)
        monkeypatch.setenv("DRAGFACE_MANIFEST", str(manifest))
        yield server
