"""One table of attacks: what a stranger's file, page or answer tries, and the sentence or the result that ends it.

In each of them a secret file lies outside the folders that are worked in: it stays where it is, nothing is put beside
it, and it is in no archive.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import torch
from photo_server import Answer, PhotoServer, dripping

from dragface_lib import network
from dragface_lib.__main__ import main
from dragface_lib.addresses import check_address
from dragface_lib.archives import pack, unpack
from dragface_lib.errors import DragFaceError
from dragface_lib.files import sha256_of
from dragface_lib.images import encode_photo, open_photo
from dragface_lib.manifest import Row, read_manifest, write_manifest
from dragface_lib.model import load_generator, starter_path
from dragface_lib.scrape import collect, credits_page
from dragface_lib.scrape.download import without_metadata
from dragface_lib.scrape.sources import Manifest
from dragface_lib.scrape.web import Commons
from dragface_lib.train import TrainConfig, read_journal
from dragface_lib.train.config import facts_in
from dragface_lib.widgets import AnsweringWidget

SECRET = b"-----BEGIN OPENSSH PRIVATE KEY-----"
URL = "https://files.example.org/a.jpg"
DEEP = '{"a":' + "[" * 100_000


@dataclass
class World:
    """Where an attack happens: `folder` may be written, `secret` may not be touched."""

    folder: Path
    secret: Path
    mirror: PhotoServer
    patch: pytest.MonkeyPatch

    def write(self, name: str, content: str | bytes) -> Path:
        """A file of the attacker below the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def photo(self, name: str = "photos/selfie/anna.jpg") -> Path:
        """A photo without a face."""
        return self.write(name, encode_photo(np.full((64, 64, 3), 99, np.uint8)))


@pytest.fixture
def world(tmp_path, mirror, monkeypatch) -> World:
    monkeypatch.setattr(network, "BACKOFF", 0.001)
    secret = tmp_path / "victim" / "id_rsa"
    secret.parent.mkdir()
    secret.write_bytes(SECRET)
    (tmp_path / "here").mkdir()
    return World(tmp_path / "here", secret, mirror, monkeypatch)


def refused(act: Callable[..., Any], *arguments: Any) -> str:
    """What an action says; "done" and its result where it does not refuse."""
    try:
        return f"done {act(*arguments)!r}"
    except DragFaceError as error:
        return str(error)


def table_moves_a_file(column: str, value: str) -> Callable[[World], str]:
    """Crop with a table in which a face, or its place, is the secret; then pack."""

    def act(world: World) -> str:
        cells = {"photo": "anna.jpg", "status": "rejected", "domain": "drag", "split": "train", "decision": "keep"}
        cells |= {"face": "anna.jpg", "sha256": sha256_of(world.photo())}
        cells |= {column: value.format(secret=world.secret)}
        world.photo("faces/selfie/train/bea.jpg")
        table = world.write("faces/crops.csv", f"{','.join(cells)}\n{','.join(cells.values())}\n")
        code = main(["crop", str(world.folder / "photos" / "selfie"), "-o", str(table.parent), "--detector", "haar"])
        said = refused(pack, table.parent, world.folder / "faces.zip")
        for archive in world.folder.glob("*.zip"):
            with zipfile.ZipFile(archive) as packed:
                assert not [name for name in packed.namelist() if packed.read(name) == SECRET]
        return f"exit {code}, {said}"

    return act


def archive_is_unpacked(name: str, content: bytes, **about: int) -> Callable[[World], str]:
    """Unpack an archive of faces with this member."""

    def act(world: World) -> str:
        member = zipfile.ZipInfo(name)
        for attribute, value in about.items():
            setattr(member, attribute, value)
        with zipfile.ZipFile(world.folder / "faces.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
        return refused(unpack, world.folder / "faces.zip", world.folder / "faces")

    return act


def archive_is_changed(name: str, change: Callable[[bytes], bytes]) -> Callable[[World], str]:
    """Unpack an archive of faces whose bytes were changed."""

    def act(world: World) -> str:
        with zipfile.ZipFile(path := world.folder / "faces.zip", "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr(name, os.urandom(1000))
        path.write_bytes(change(path.read_bytes()))
        return refused(unpack, path, world.folder / "faces")

    return act


def with_password(data: bytes) -> bytes:
    """An archive of one member that says it is encrypted."""
    flags = data.index(b"PK\1\2") + 8
    return data[:6] + b"\1" + data[7:flags] + b"\1" + data[flags + 1 :]


def config_is_read(**settings: Any) -> Callable[[World], str]:
    """The folder in which a run is trained whose configuration a stranger wrote."""

    def act(world: World) -> str:
        known = {"faces": "faces", "scratch": str(world.secret.parent), "run": str(world.secret.parent)}
        world.write("run/config.json", json.dumps(known | settings))
        return refused(lambda: TrainConfig.load(world.folder / "run").run_folder == world.folder / "run")

    return act


def page_answers(head: bytes, longest: float = 0.3) -> Callable[[World], str]:
    """A server that sends this at once and then a letter every 0.05 s."""

    def act(world: World) -> str:
        world.patch.setattr(network, "LONGEST_REQUEST", longest)
        with dripping(world.patch, head):
            return refused(network.Client().get, URL, 10_000)

    return act


def page_is_packed_twice(world: World) -> str:
    body = gzip.compress(gzip.compress(bytes(50_000_000)))
    world.mirror.misbehave(URL, Answer(body=body, headers={"Content-Encoding": "gzip, gzip"}))
    return refused(network.Client().get, URL, 64_000_000)


def page_names_a_long_address(world: World) -> str:
    info = {"url": "https://a.org/" + "x" * 200_000, "mime": "image/jpeg"}
    body = json.dumps({"query": {"pages": [{"pageid": 1, "title": "File:a.jpg", "imageinfo": [info]}]}})
    world.mirror.reply(Commons.API, lambda *_: Answer(body=body.encode()))
    outcome = collect(Commons("drag"), world.folder, query="x", progress=False)
    return f"{outcome.notes[0]} {read_manifest(world.folder / 'data_manifest.csv')}"


def page_speaks_to_the_terminal(world: World) -> str:
    answer = Answer(200, b"no picture", {"X-Robots-Tag": "noai \x1b]0;pwned\x07"})
    world.mirror.misbehave(URL, answer)
    row = Row("a", "drag", "a.jpg", URL, licence="CC0")
    write_manifest(world.folder / "m.csv", [row])
    outcome = collect(Manifest(manifest=world.folder / "m.csv"), world.folder, progress=False)
    text = outcome.reasons[0][2] + (world.folder / "data_manifest.csv").read_text()
    assert text.replace("\n", "").isprintable()
    return text


def row_deletes_through_a_link(world: World) -> str:
    (world.folder / "drag").mkdir()
    (world.folder / "drag" / "commons").symlink_to(world.secret.parent)
    picture = world.secret.with_name("mine.jpg")
    picture.write_bytes(SECRET)
    row = Row("a", "drag", "commons/mine.jpg", URL, licence="CC0", status="withdrawn")
    write_manifest(world.folder / "data_manifest.csv", [row])
    said = refused(collect, Manifest(manifest=world.folder / "data_manifest.csv"), world.folder)
    assert picture.read_bytes() == SECRET
    picture.unlink()
    return said


def row_is_a_formula(world: World) -> str:
    row = Row("a", "drag", "a.jpg", title="=cmd|'/C calc'!A1", author="@SUM(1)", reason="+1+cmd", licence="-1-cmd")
    write_manifest(world.folder / "m.csv", [row])
    assert read_manifest(world.folder / "m.csv") == [row]
    cells = (world.folder / "m.csv").read_text().splitlines()[1].split(",")
    return str([cell for cell in cells if cell.strip('"')[:1] in "=@+-" and cell])


def credits_run_a_script(world: World) -> str:
    row = Row("a", "drag", "a.jpg", page_url='http://a.org/"onx="y', author="<script>x</script>", licence="<b>")
    page = credits_page([row])
    assert "default-src 'none'" in page
    return str([part for part in ("<script", "<b>", 'onx="') if part in page])


def address_is_asked(url: str) -> Callable[[World], str]:
    """Ask for an address where nothing stands for the internet, and behind a proxy."""

    def act(world: World) -> str:
        world.patch.delenv("DRAGFACE_MIRROR")
        world.patch.setattr(requests.sessions, "get_environ_proxies", lambda *_, **__: {"http": world.mirror.url})
        said = refused(network.Client().get, url, 100)
        assert not world.mirror.requests
        return said

    return act


def mirror_is_named(value: str) -> Callable[[World], str]:
    """Ask for an address of this machine with nonsense in DRAGFACE_MIRROR."""

    def act(world: World) -> str:
        world.patch.setenv("DRAGFACE_MIRROR", value)
        return refused(check_address, "http://127.0.0.1/")

    return act


def configuration_has_no_end(world: World) -> str:
    return refused(TrainConfig.load, world.write("run/config.json", DEEP).parent)


def journal_is_read(line: str) -> Callable[[World], str]:
    """Read a journal with this line between two whole ones."""
    whole = '{"step": 1, "lr": 0.1}'
    return lambda world: str(len(read_journal(world.write("journal.jsonl", f"{whole}\n{line}\n{whole}\n"))))


def generator_says(**metadata: str) -> Callable[[World], str]:
    """Read a generator file with other metadata."""

    def act(world: World) -> str:
        content = starter_path().read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        header["__metadata__"] |= metadata
        text = json.dumps(header).encode()
        path = world.write("g.safetensors", len(text).to_bytes(8, "little") + text + content[8 + length :])
        return refused(lambda: load_generator(path).metadata)

    return act


def checkpoint_is_a_pickle(world: World) -> str:
    class Attack:
        def __reduce__(self) -> tuple:
            return os.system, (f"rm -rf {world.secret.parent}",)

    torch.save({"genA2B": Attack()}, world.folder / "g.pt")
    return refused(load_generator, world.folder / "g.pt")


def checkpoint_has_no_facts(_: World) -> str:
    return refused(facts_in, {"step": 1}, "mine")


def widget_is_told(*messages: Any) -> Callable[[World], str]:
    """What a widget answers to messages that its page would not send."""

    def act(_: World) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            widget = AnsweringWidget()
        heard: list[dict] = []
        widget.send = lambda content, buffers=None: heard.append(content)
        for message in messages:
            widget._on_message(widget, message, [])
        return str([content["state"] for content in heard])

    return act


def jpeg_carries(marker: int, name: bytes) -> Callable[[World], str]:
    """Store a photo with this segment; the picture must stay as it is."""

    def act(_: World) -> str:
        data, content = encode_photo(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)), name + SECRET
        told = data[:2] + bytes([0xFF, marker]) + (2 + len(content)).to_bytes(2, "big") + content + data[2:]
        stored = without_metadata(told, open_photo(told))
        assert np.array_equal(open_photo(stored), open_photo(data))
        return str(SECRET in stored)

    return act


PRIVATE, NOTHING = "private network", r"^\[\]$"
LINES = ("[1]", '{"step": "x"}', '{"step": 1, "lr": "x"}', DEEP, "\0")
LOOPBACK = ("0x7f000001", "127.1", "127.0.0.1.", "\uff11\uff12\uff17.0.0.1", "localhost")
NOT_PUBLIC = ("[fec0::1]", "[64:ff9b:1::1]", "[::7f00:1]", "[64:ff9b::7f00:1]")
ATTACKS: list[tuple[str, Callable[[World], str], str]] = [
    ("1 a face above the faces", table_moves_a_file("face", "../../victim/id_rsa"), ""),
    ("1 a face with an absolute path", table_moves_a_file("face", "{secret}"), ""),
    ("1 a photo above the photos", table_moves_a_file("photo", "../../../victim/id_rsa"), ""),
    ("1 a split above the faces", table_moves_a_file("split", "../../../victim"), ""),
    ("1 a domain above the faces", table_moves_a_file("domain", "../../victim"), ""),
    ("2 a run that works elsewhere", config_is_read(), "^done True"),
    ("3 headers that drip", page_answers(b"HTTP/1.1 200 OK\r\nX-Drip: "), "took more than"),
    ("3 a body that drips", page_answers(b"HTTP/1.1 200 OK\r\n\r\n"), "took more than"),
    ("4 gzip in gzip", page_is_packed_twice, "encoding that nobody asked for"),
    ("5 an address of 200,000 letters", page_names_a_long_address, "left out"),
    ("6 a withdrawal through a link", row_deletes_through_a_link, "leads out of"),
    ("7 an archive that grows", archive_is_unpacked("selfie/train/a.jpg", bytes(10_000_000)), "grows more than"),
    ("7 a member above the faces", archive_is_unpacked("../../victim/a.jpg", b"x"), "points outside"),
    ("7 a member that is a link", archive_is_unpacked("a.jpg", b"/etc", external_attr=0o120777 << 16), "is a link"),
    *((f"8 the address {host}", address_is_asked(f"http://{host}/"), PRIVATE) for host in LOOPBACK),
    ("8 a backslash before @", address_is_asked("http://127.0.0.1\\@a.org/"), "not a web address"),
    *((f"9 a journal's {line[:20]}", journal_is_read(line), "^2$") for line in LINES),
    ("9 1.5 channels", config_is_read(channels=1.5), "channels is 1.5"),
    ("9 a configuration without end", configuration_has_no_end, "mend it"),
    ("9 a checkpoint without facts", checkpoint_has_no_facts, "does not say what it was trained with"),
    ("9 5,000 digits", generator_says(steps="9" * 5000), "whole number"),
    ("9 a size of 5,000 digits", generator_says(size="9" * 5000), "damaged or of another"),
    ("9 metadata without end", generator_says(channels=DEEP), "damaged or of another"),
    ("9 a pickle that runs a program", checkpoint_is_a_pickle, "cannot be read safely"),
    ("9 a path of 5,000 letters", table_moves_a_file("photo", "a" * 5000), ""),
    ("9 a signature of no digits", table_moves_a_file("signature", "xyz"), ""),
    ("10 markup in credits", credits_run_a_script, NOTHING),
    ("10 escape codes in an answer", page_speaks_to_the_terminal, "not to be trained on"),
    ("10 a formula in a table", row_is_a_formula, NOTHING),
    ("11 a zip that breaks off", archive_is_changed("a.jpg", lambda data: data[:40]), "not a whole zip"),
    ("11 a name that is no text", archive_is_changed("\xe4.jpg", lambda data: data.replace(b"\xc3", b"\xff")), "zip"),
    ("11 damaged LZMA", archive_is_changed("a.jpg", lambda data: data[:50] + bytes(99) + data[149:]), "cannot be read"),
    ("11 a password", archive_is_changed("a.jpg", with_password), "has a password"),
    *((f"12 the address {host}", address_is_asked(f"http://{host}/"), PRIVATE) for host in NOT_PUBLIC),
    *((f"12 the mirror {value}", mirror_is_named(value), "DRAGFACE_MIRROR is") for value in ("http:", "/", "x")),
    ("12 messages of another shape", widget_is_told([], "x", None, {"kind": [], "request": "a"}), NOTHING),
    ("12 a part of no file", widget_is_told({"kind": "part", "request": "a", "file": [], "part": -1}), "error"),
    ("13 a long APP0", jpeg_carries(0xE0, b"JFIF\0" + bytes(20)), "False"),
    ("13 a fake colour profile", jpeg_carries(0xE2, b"ICC_PROFILE\0\1\1"), "False"),
    ("13 a segment of a maker's own", jpeg_carries(0xEA, b"AROT"), "False"),
]


@pytest.mark.parametrize(("act", "outcome"), [attack[1:] for attack in ATTACKS], ids=[attack[0] for attack in ATTACKS])
def test_an_attack_ends_with_a_sentence_and_touches_nothing(act, outcome, world):
    said = act(world)
    assert re.search(outcome, said), said
    assert world.secret.read_bytes() == SECRET
    assert [path.name for path in world.secret.parent.iterdir()] == ["id_rsa"]
    assert sorted(path.name for path in world.secret.parents[1].iterdir()) == ["here", "victim"]
