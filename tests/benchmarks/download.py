"""How fast photos are fetched, beside a plain loop over `requests`, and how much memory a long list of rows takes.

    python tests/benchmarks/download.py                    # speed, and that a second run asks for nothing
    python tests/benchmarks/download.py --rows 100000      # memory, of one whole run of scraping; takes a while

The server is another process on this machine. Photos are portraits of DRAGFACE_PHOTOS, or the two that come with
scikit-image and matplotlib; for memory each row has a small picture of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

import requests

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]
from photo_server import Answer, PhotoServer, portrait_files  # noqa: E402

from dragface_lib.manifest import Row, update_manifest  # noqa: E402
from dragface_lib.scrape import Manifest, collect, each_download  # noqa: E402


def serve(pictures: list[bytes], small: bool, address, asked) -> None:
    """Answer any path with one of the pictures, or with a small one made for it."""
    import numpy as np

    from dragface_lib.images import encode_photo

    def answer(path: str, headers: dict) -> Answer:
        with asked.get_lock():
            asked.value += 1
        number = int("".join(letter for letter in path if letter.isdigit()) or 0)
        if small:
            noise = np.random.default_rng(number).integers(0, 256, (24, 24, 3), np.uint8)
            return Answer(body=encode_photo(noise))
        return Answer(body=pictures[number % len(pictures)])

    server = PhotoServer([], Path())
    server.answer = answer
    address.put(server.url)
    time.sleep(36_000)


def rows_of(count: int) -> list[Row]:
    hosts = ("one", "two", "three", "four")
    return [
        Row(f"p{n}", "selfie", f"{n % 100}/{n}.jpg", f"https://{hosts[n % 4]}.example/{n}.jpg", licence="CC0 1.0")
        for n in range(count)
    ]


def speed(count: int, pictures: list[bytes], url: str, asked) -> None:
    rows = rows_of(count)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for row in rows:
            content = requests.get(f"{url}/{row.image_url.partition('://')[2]}", timeout=60).content
            Path(folder, f"{row.id}.jpg").write_bytes(content)
        plain = time.perf_counter() - start
        start, cpu = time.perf_counter(), time.process_time()
        stored = sum(
            result.status == "stored" for result in each_download(rows, Path(folder) / "photos", progress=False)
        )
        ours, cpu = time.perf_counter() - start, time.process_time() - cpu
        before = asked.value
        again = sum(r.status == "here" for r in each_download(rows, Path(folder) / "photos", progress=False))
    size = sum(map(len, pictures)) / len(pictures) / 1000
    print(f"{stored} photos of {size:.0f} kB, each decoded, hashed, freed of EXIF and written whole to the disk:")
    print(f"{stored / ours:.0f} photos a second ({cpu / stored * 1000:.1f} ms of CPU a photo)")
    print(
        f"{count / plain:.0f} photos a second with a plain loop that only writes the bytes down: {plain / ours:.2f} x"
    )
    print(f"a second run: {again} here, {asked.value - before} requests")


def memory(count: int) -> None:
    """Resident memory of a child process that scrapes a manifest of `count` rows."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "all.csv"
        update_manifest(manifest, rows_of(count))
        child = multiprocessing.Process(target=scrape, args=(manifest, Path(folder) / "photos"))
        child.start()
        marks = [max(1, count * part // 100) for part in (2, 10, 25, 50, 75, 100)]
        peak, status = 0, Path(f"/proc/{child.pid}/status")
        while child.is_alive():
            with contextlib.suppress(OSError, StopIteration):
                now = next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmRSS" in line) // 1024
                peak = max(peak, now)
            there = Path(folder) / "photos" / "selfie" / ".downloads.jsonl"
            done = there.read_bytes().count(b"\n") if there.exists() else 0
            while marks and done >= marks[0]:
                print(f"{marks.pop(0):>7} photos stored: {now} MB", flush=True)
            time.sleep(2)
        print(f"at most {peak} MB, looking for copies included")
        child.join()


def scrape(manifest: Path, photos: Path) -> None:
    print(dict(collect(Manifest(manifest), photos, progress=False).counts), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--rows", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        named = os.environ.get("DRAGFACE_PHOTOS")
        paths = sorted(Path(named).glob("portraits/*/*.jpg")) if named else portrait_files(Path(folder)).values()
        pictures = [path.read_bytes() for path in paths]
        address, asked = multiprocessing.Queue(), multiprocessing.Value("q", 0)
        server = multiprocessing.Process(target=serve, args=(pictures, bool(options.rows), address, asked), daemon=True)
        server.start()
        url = os.environ["DRAGFACE_MIRROR"] = address.get()
        memory(options.rows) if options.rows else speed(options.photos, pictures, url, asked)
        server.terminate()


if __name__ == "__main__":
    main()
