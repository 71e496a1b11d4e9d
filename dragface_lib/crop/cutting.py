"""Cut the faces out of photos and measure them, many photos at once in processes of their own.

for name, rows in cut_all(jobs, faces, "yunet", limits()):
    ...

A photo that brings its process down costs that photo alone.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import torch

from ..duplicates import signature
from ..files import sha256_of
from ..images import UnreadablePhoto, open_photo, save_photo
from .align import aligned_face
from .decisions import place
from .detect import Detector, open_detector
from .find import find_faces
from .quality import fault, measure
from .rows import CropRow, face_name

SIZE = 256  # pixels of a face
WORTH_PROCESSES = 24  # photos: fewer are done before a second process has started
WAITING = 3  # photos a process that are handed out at once: enough to be busy, and memory stays flat
CRASHED = "brings down the program that opens it: leave it out, or save it anew with another program."

Job = tuple[Path, CropRow]  # a photo, and its row as far as it is known before the photo is opened


def cut_photo(
    path: Path, fresh: CropRow, faces: Path, detector: Detector, thresholds: Mapping[str, float]
) -> list[CropRow]:
    """A row for each face in a photo, with its numbers and what the gates say; its crop is written where it belongs."""
    fresh = replace(fresh, sha256=photo_sha256(path))
    try:
        photo = open_photo(path)
    except UnreadablePhoto as error:
        return [replace(fresh, status="unreadable", reason=str(error))]
    found = find_faces(photo, detector)
    if not found:
        return [replace(fresh, status="no_face", reason="no face was found")]
    rows = []
    for number, one in enumerate(found, 1):
        face = aligned_face(photo, one.points, SIZE)
        others = [other for other in found if other is not one]
        numbers = {name: float(f"{value:.5g}") for name, value in measure(photo, one, face, others).items()}
        name = f"{face_name(fresh.photo)}{f'+{number}' if number > 1 else ''}.jpg"
        row = judged(replace(fresh, face=name, numbers=numbers, signature=signature(face)), thresholds)
        save_photo(faces / row.face, face, quality=95)
        rows.append(row)
    return rows


def judged(row: CropRow, thresholds: Mapping[str, float]) -> CropRow:
    """A face's row with what the gates say of its numbers, and `face` where its file then belongs."""
    row = replace(row, numbers={**row.numbers, "copy": float(bool(row.copy_of))})
    reason = fault(row.numbers, thresholds).replace("another photo", row.copy_of)
    status = "rejected" if reason else "kept"
    return replace(row, status=status, reason=reason, face=place(row, status))


def photo_sha256(photo: Path) -> str:
    """Of the bytes of a photo; "" where they cannot be read."""
    try:
        return sha256_of(photo) if photo.is_file() else ""  # a pipe named like a picture would never end
    except OSError:
        return ""  # opening it will say why it cannot be read


def cut_all(
    jobs: Sequence[Job], faces: Path, detector: str, thresholds: Mapping[str, float], processes: int | None = None
) -> Iterator[tuple[str, list[CropRow]]]:
    """Yield (photo, rows) of each job as it is done, in any order. processes: default one a processor."""
    processes = min(processes or os.cpu_count() or 1, len(jobs) // WORTH_PROCESSES)
    left = {row.photo: (path, row) for path, row in jobs}
    while processes > 1 and left:
        running: dict[Future, str] = {}
        with _pool(processes, faces, detector, thresholds) as pool:
            if not _runs(pool):
                break  # a script without `if __name__ == "__main__"` cannot start processes
            with suppress(BrokenProcessPool):
                yield from _drain(pool, processes, left, running)
        for name in running.values():  # one of these brought a process down
            yield name, _alone(*left.pop(name), faces, detector, thresholds)
    finder = open_detector(detector)
    for path, row in left.values():
        with _one_thread():
            rows = cut_photo(path, row, faces, finder, thresholds)
        yield row.photo, rows


@contextmanager
def _one_thread() -> Iterator[None]:
    """As in the processes of a pool: several threads add up in another order, and the last digits would differ."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def _drain(
    pool: ProcessPoolExecutor, processes: int, left: dict[str, Job], running: dict[Future, str]
) -> Iterator[tuple[str, list[CropRow]]]:
    """What the processes make of the jobs. Those that are done leave `left`; `running` holds those handed out."""
    coming = iter(list(left.values()))
    while True:
        for path, row in islice(coming, WAITING * processes - len(running)):
            running[pool.submit(_work, path, row)] = row.photo
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            rows = future.result()
            name = running.pop(future)
            del left[name]
            yield name, rows


def _alone(path: Path, row: CropRow, faces: Path, detector: str, thresholds: Mapping[str, float]) -> list[CropRow]:
    with _pool(1, faces, detector, thresholds) as pool:
        try:
            return pool.submit(_work, path, row).result()
        except BrokenProcessPool:
            return [replace(row, sha256=photo_sha256(path), status="unreadable", reason=f"{path} {CRASHED}")]


_settings: tuple[Path, Detector, Mapping[str, float]]  # of a process that cuts


def _start(faces: Path, detector: str, thresholds: Mapping[str, float]) -> None:
    global _settings
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _settings = faces, open_detector(detector), thresholds


def _end_with_parent() -> None:
    """Without its parent, which may be killed at any moment, a process of a pool would wait for ever."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _work(path: Path, row: CropRow) -> list[CropRow]:
    return cut_photo(path, row, *_settings)


def _pool(processes: int, faces: Path, detector: str, thresholds: Mapping[str, float]) -> ProcessPoolExecutor:
    # Spawned, not forked: a fork of a process whose torch or OpenCV has threads may hang.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, context, _start, (faces, detector, thresholds))


def _runs(pool: ProcessPoolExecutor) -> bool:
    try:
        return pool.submit(os.getpid).result() > 0
    except BrokenProcessPool:
        return False
