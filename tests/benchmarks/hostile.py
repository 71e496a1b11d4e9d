"""Tables, journals, configurations, generator files, widget messages and web answers of a stranger, changed at random.

PYTHONPATH=.:tests python tests/benchmarks/hostile.py [N] [SEED]      N inputs of each kind (default 100), seed 0

An input has held when it is read, or refused in a sentence, within ten seconds. fuzz.py has pictures and zips.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from photo_server import Answer, PhotoServer

from dragface_lib import network
from dragface_lib.crop import read_crops
from dragface_lib.errors import DragFaceError
from dragface_lib.manifest import Row, read_manifest, write_manifest
from dragface_lib.model import load_generator, starter_path
from dragface_lib.scrape import open_source
from dragface_lib.showcase.widget import Showcase
from dragface_lib.train import TrainConfig, read_journal

SLOW = 10.0  # seconds
NASTY = (
    None,
    True,
    -1,
    1.5,
    1e308,
    "",
    "../../x",
    "=1+1",
    "\x1b[2J",
    "\ud800",
    "9" * 5000,
    "x" * 100_000,
    [],
    {},
    [[]],
)
NASTY_BYTES = (b"", b"\0", b'"', b"\n", b"\xff\xfe", b"../", b"[" * 50_000, b"9" * 5000, b",", b"\x1b[2J")
QUESTION = {"request": "a", "kind": "photo", "look": "classic", "faces": None, "alone": False, "heat": False}
QUESTION |= {"name": "me.jpg", "upload": "u", "part": 0, "parts": 1, "strength": 1, "format": "JPEG", "file": "a"}
KINDS = ("open", "photo", "view", "download", "part", "forget")
COMMONS = {"url": "https://a.org/a.jpg", "mime": "image/jpeg", "width": 9, "descriptionurl": "https://a.org/"}
COMMONS_ANSWER = {"query": {"pages": [{"pageid": 1, "title": "File:a.jpg", "imageinfo": [COMMONS]}]}}
OPENVERSE_ANSWER = {"page_count": 1, "results": [{"id": "a", "url": "https://a.org/a.jpg", "license": "by"}]}


def changed_bytes(data: bytes, chance: random.Random) -> bytes:
    """Bytes cut out and put in at one to four places."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(data) + 1)
        data = data[:start] + chance.choice(NASTY_BYTES) + data[start + chance.choice((0, 1, 8, 200)) :]
    return data


def changed(value: object, chance: random.Random) -> object:
    """A JSON value with one of its parts replaced."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        return value | {key: changed(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        return [changed(value[0], chance), *value[1:]]
    return chance.choice(NASTY)


def attempts(folder: Path, server: PhotoServer) -> dict[str, Callable[[random.Random], object]]:
    """What reads one changed input, by the kind of input."""
    table = folder / "data_manifest.csv"
    write_manifest(table, [Row(f"a{n}", "drag", f"a{n}.jpg", f"https://a.org/{n}.jpg") for n in range(9)])
    crops = "photo,status,domain,split,face,decision,signature,eyes\na.jpg,kept,selfie,train,a.jpg,keep,,1.5\n" * 3
    journal = b'{"step": 1, "lr": 0.1, "note": "x"}\n' * 5
    config = json.dumps({"faces": "f", "steps": 9, "size": 64, "channels": 4, "form": "residual", "lr": 1e-4}).encode()
    generator, widget = starter_path().read_bytes(), Showcase()
    widget.send = lambda content, buffers=None: json.dumps(content)

    def read(name: str, data: bytes, reader: Callable[[Path], object]) -> Callable[[random.Random], object]:
        def attempt(chance: random.Random) -> object:
            (folder / name).write_bytes(changed_bytes(data, chance))
            return reader(folder / name)

        return attempt

    def read_generator(chance: random.Random) -> object:
        head = changed_bytes(generator[:4000], chance) if chance.random() < 0.5 else generator[:4000]
        if head == generator[:4000]:
            length = int.from_bytes(generator[:8], "little")
            header = json.loads(generator[8 : 8 + length])
            header["__metadata__"] = changed(header["__metadata__"], chance)
            text = json.dumps(header).encode()
            (folder / "g.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + generator[8 + length :])
        else:
            (folder / "g.safetensors").write_bytes(head + generator[4000:])
        return load_generator(folder / "g.safetensors")

    def ask_widget(chance: random.Random) -> object:
        question = changed(QUESTION | {"kind": chance.choice(KINDS), "request": str(chance.random())}, chance)
        return widget._on_message(widget, question, [chance.choice(NASTY_BYTES)] * chance.randrange(3))

    def search(source: str, url: str, answer: dict) -> Callable[[random.Random], object]:
        def attempt(chance: random.Random) -> object:
            body = json.dumps(changed(answer, chance)).encode()
            body = body if chance.random() < 0.7 else changed_bytes(body, chance)
            status, packing = (
                chance.choice((200, 200, 200, 302, 404, 500)),
                chance.choice(("identity",) * 4 + ("gzip",)),
            )
            server.reply(url, lambda *_: Answer(status, body, {"Content-Encoding": packing}))
            rows = [row for row, _ in open_source(source, "drag").search("x", 20)]
            return write_manifest(folder / f"{source}.csv", rows)

        return attempt

    return {
        "manifests": read("m.csv", table.read_bytes(), read_manifest),
        "tables of faces": read("crops.csv", crops.encode(), lambda path: read_crops(path.parent)),
        "journals": read("journal.jsonl", journal, read_journal),
        "configurations": read("config.json", config, lambda path: TrainConfig.load(path.parent)),
        "generator files": read_generator,
        "widget messages": ask_widget,
        "answers of Commons": search("commons", "https://commons.wikimedia.org/w/api.php", COMMONS_ANSWER),
        "answers of Openverse": search("openverse", "https://api.openverse.org/v1/images/", OPENVERSE_ANSWER),
    }


def main() -> None:
    count, seed = (int(text) for text in (*sys.argv[1:3], *("100", "0")[len(sys.argv) - 1 :]))
    warnings.simplefilter("ignore")
    network.BACKOFF = 0.001
    held = tried = 0
    with tempfile.TemporaryDirectory() as name:
        server = PhotoServer([], Path(name))
        os.environ["DRAGFACE_MIRROR"] = server.url
        for kind, attempt in attempts(Path(name), server).items():
            chance, refused, fell = random.Random(f"{seed} {kind}"), 0, 0
            for _ in range(count):
                start = time.monotonic()
                try:
                    attempt(chance)
                except DragFaceError:
                    refused += 1
                except Exception:
                    fell += 1
                    traceback.print_exc()
                if time.monotonic() - start > SLOW:
                    fell += 1
                    print(f"{kind}: more than {SLOW:g} s", file=sys.stderr)
            held, tried = held + count - fell, tried + count
            print(f"{kind:<20} {count} tried, {refused} refused in a sentence, {fell} not held")
        server.close()
    print(f"{held} of {tried} hostile inputs held")


if __name__ == "__main__":
    main()
