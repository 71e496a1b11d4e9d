"""A web server on this machine that stands for the whole internet: DRAGFACE_MIRROR names its address.

    with serve_photos() as (url, manifest):     # the photos of DRAGFACE_PHOTOS, or two portraits
        ...

It answers `/{host}{path}` with the file that the manifest has for that address, and can be told to misbehave:

    server.misbehave(row.image_url, Answer(429, headers={"Retry-After": "0"}), times=2)
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from dragface_lib.images import encode_photo, open_photo
from dragface_lib.manifest import COLUMNS, Row, read_manifest

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass
class Answer:
    """What the server says. cut: how many bytes of the body really go out before the connection is closed."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


class PhotoServer:
    """Serves the photos of `rows` from `folder`; `requests` holds (path, headers) of every request, in order."""

    def __init__(self, rows: list[Row], folder: Path):
        self.rows = rows
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._files = {_key(row.image_url): folder / row.file for row in rows if row.image_url}
        self._next: dict[str, list[Answer]] = {}
        self._always: dict[str, Answer] = {}
        self._questions: dict[str, Callable[[dict[str, str], dict[str, str]], Answer]] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"photos": self}))
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # the client had seen enough
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def serve(self, url: str, body: bytes) -> None:
        """From now on, answer `url` with these bytes."""
        self.misbehave(url, Answer(body=body))

    def reply(self, url: str, answer: Callable[[dict[str, str], dict[str, str]], Answer]) -> None:
        """Let `answer(query, headers)` answer every request for `url`, whatever its query or posted form."""
        self._questions[_key(url)] = answer

    def stand_in_for_commons(self, photos: list[Path]) -> None:
        """Answer every search of Wikimedia Commons with these photos."""
        pages = []
        for number, path in enumerate(photos, 1):
            url = f"https://upload.wikimedia.org/wikipedia/commons/{number}.jpg"
            self._files[_key(url)] = path
            told = {"Artist": {"value": "<b>test</b>"}, "LicenseShortName": {"value": "CC0"}}
            info = {"url": url, "mime": "image/jpeg", "extmetadata": told, "descriptionurl": f"{url}/page"}
            pages.append({"pageid": number, "ns": 6, "title": f"File:Photo {number}.jpg", "imageinfo": [info]})
        body = json.dumps({"batchcomplete": True, "query": {"pages": pages}}).encode()
        self.reply("https://commons.wikimedia.org/w/api.php", lambda *_: Answer(body=body))

    def misbehave(self, url: str, answer: Answer, times: int | None = None) -> None:
        """Give this answer to every request for `url`, or only to the next `times` ones."""
        with self._lock:
            if times is None:
                self._always[_key(url)] = answer
            else:
                self._next.setdefault(_key(url), []).extend([answer] * times)

    def asked(self, url: str) -> int:
        """How often `url` was asked for."""
        return sum(path == _key(url) for path, _ in self.requests)

    def answer(self, path: str, headers: dict[str, str]) -> Answer:
        """The answer to one request."""
        with self._lock:
            self.requests.append((path, headers))
            if self._next.get(path):
                return self._next[path].pop(0)
            if path in self._always:
                return self._always[path]
        plain, _, query = path.partition("?")
        if plain in self._questions:
            return self._questions[plain](dict(parse_qsl(query)), headers)
        file = self._files.get(path)
        if file is None or not file.is_file():
            return Answer(404, b"nothing here", {"Content-Type": "text/plain"})
        return Answer(200, file.read_bytes(), {"Content-Type": "image/jpeg"})

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    photos: PhotoServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        answer = self.photos.answer(self.path, dict(self.headers))
        self.send_response(answer.status)
        for name, value in ({"Content-Length": str(len(answer.body))} | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(answer.body[: answer.cut])
        except OSError:
            self.close_connection = True  # the client had seen enough
        if answer.cut is not None:
            self.close_connection = True

    def do_POST(self) -> None:
        self.path += "?" + self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.do_GET()

    def log_message(self, *_) -> None:
        pass


def portrait_files(folder: Path) -> dict[str, Path]:
    """Write the two portraits that come inside scikit-image and matplotlib into `folder`; returns name -> path."""
    from matplotlib.cbook import get_sample_data
    from skimage import data

    grace = open_photo(get_sample_data("grace_hopper.jpg", asfileobj=False))
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, rgb in {"astronaut": data.astronaut(), "grace_hopper": grace}.items():
        files[name] = folder / f"{name}.jpg"
        files[name].write_bytes(encode_photo(rgb, quality=95))
    return files


def two_portrait_manifest(folder: Path) -> Path:
    """Write the two portraits and a manifest of them into `folder`; returns the manifest."""
    about = {"astronaut": ("NASA", "Eileen Collins", "train"), "grace_hopper": ("US Navy", "Grace Hopper", "test")}
    path = folder / "data_manifest.csv"
    files = portrait_files(folder)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for name, (author, title, split) in about.items():
            data = files[name].read_bytes()
            height, width = open_photo(data).shape[:2]
            writer.writerow(
                {
                    "id": name,
                    "domain": "selfie",
                    "file": f"{name}.jpg",
                    "image_url": f"https://photos.example.org/{name}.jpg",
                    "page_url": f"https://photos.example.org/{name}",
                    "licence": "public domain",
                    "author": author,
                    "title": title,
                    "width": width,
                    "height": height,
                    "bytes": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "split": split,
                    "split_group": name,
                }
            )
    return path


@contextmanager
def running_server(photos: Path | None = None) -> Iterator[tuple[PhotoServer, Path]]:
    """A PhotoServer and its manifest: of the folder DRAGFACE_PHOTOS when there is one, else of two portraits."""
    named = photos or os.environ.get("DRAGFACE_PHOTOS")
    with tempfile.TemporaryDirectory(prefix="dragface-portraits-") as folder:
        if named:
            manifest, files = REPOSITORY / "data_manifest.csv", Path(named)
        else:
            manifest, files = two_portrait_manifest(Path(folder)), Path(folder)
        server = PhotoServer(read_manifest(manifest), files)
        server.stand_in_for_commons(sorted((files / "drag_practice").glob("*.jpg"))[:12])
        try:
            yield server, manifest
        finally:
            server.close()


@contextmanager
def serve_photos() -> Iterator[tuple[str, Path]]:
    """(address, manifest) of a running server: what DRAGFACE_MIRROR and DRAGFACE_MANIFEST are to be set to."""
    with running_server() as (server, manifest):
        yield server.url, manifest


@contextmanager
def dripping(monkeypatch: pytest.MonkeyPatch, head: bytes) -> Iterator[None]:
    """A server that sends this at once and then a letter every 0.05 s, for ten seconds."""
    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        while not over.is_set():
            with suppress(OSError), listener.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(head)
                for _ in range(200):
                    connection.sendall(b"x")
                    if over.wait(0.05):
                        return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("DRAGFACE_MIRROR", f"http://127.0.0.1:{listener.getsockname()[1]}")
        server = threading.Thread(target=drip, args=[listener])
        server.start()
        started = time.monotonic()
        try:
            yield
            assert time.monotonic() - started < 5
        finally:
            over.set()
            with suppress(OSError):
                socket.create_connection(listener.getsockname()).close()
            server.join()


def _key(url: str) -> str:
    parts = urlsplit(url)
    return f"/{parts.hostname}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")
