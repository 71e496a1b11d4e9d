"""How fast photos are fetched, beside a plain loop over `requests`, and that a second run asks for nothing.

    python tests/benchmarks/download.py

The server is another process on this machine. Photos are portraits of DRAGFACE_PHOTOS, or the two that come with
scikit-image and matplotlib.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

import requests

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]
from photo_server import Answer, PhotoServer, portrait_files  # noqa: E402

from dragface_lib.manifest import Row  # noqa: E402
from dragface_lib.scrape.download import download  # noqa: E402


def serve(pictures: list[bytes], address, asked) -> None:
    """Answer any path with one of the pictures."""

    def answer(path: str, headers: dict) -> Answer:
        with asked.get_lock():
            asked.value += 1
            return Answer(body=pictures[asked.value % len(pictures)])

    server = PhotoServer([], Path())
    server.answer = answer
    address.put(server.url)
    time.sleep(36_000)


def measure(count: int, pictures: list[bytes], url: str, asked) -> None:
    addresses = [f"https://host{n % 4}.example/{n}.jpg" for n in range(count)]
    found = [(Row(f"p{n}", "selfie", f"{n}.jpg", address, licence="CC0"), None) for n, address in enumerate(addresses)]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for n, address in enumerate(addresses):
            content = requests.get(f"{url}/{address.partition('://')[2]}", timeout=60).content
            Path(folder, f"{n}.jpg").write_bytes(content)
        plain = time.perf_counter() - start
        start, cpu = time.perf_counter(), time.process_time()
        rows = [row for row, _ in download(found, Path(folder, "photos"), progress=False)]
        ours, cpu = time.perf_counter() - start, time.process_time() - cpu
        before = asked.value
        again = [status for _, status in download([(row, None) for row in rows], Path(folder, "photos"))]
    size = sum(map(len, pictures)) / len(pictures) / 1000
    stored = sum(row.status == "stored" for row in rows)
    print(f"{stored} photos of {size:.0f} kB, each decoded, hashed, freed of EXIF and written whole to the disk:")
    print(f"{stored / ours:.0f} photos a second ({cpu / stored * 1000:.1f} ms of CPU a photo)")
    print(f"{count / plain:.0f} photos a second with a plain loop that only writes the bytes down")
    print(f"a second run: {again.count('here')} here, {asked.value - before} requests")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=int, default=400)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        named = os.environ.get("DRAGFACE_PHOTOS")
        paths = sorted(Path(named).glob("portraits/*/*.jpg")) if named else portrait_files(Path(folder)).values()
        pictures = [path.read_bytes() for path in paths]
        address, asked = multiprocessing.Queue(), multiprocessing.Value("q", 0)
        server = multiprocessing.Process(target=serve, args=(pictures, address, asked), daemon=True)
        server.start()
        url = os.environ["DRAGFACE_MIRROR"] = address.get()
        measure(options.photos, pictures, url, asked)
        server.terminate()


if __name__ == "__main__":
    main()
