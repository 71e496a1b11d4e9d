"""Cut the faces out of photos and measure them, many photos at once.

OpenCV, Pillow and torch work outside Python's lock, so threads keep all processors busy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import torch

from ..errors import DragFaceError
from ..files import kind_of, retry, sha256_of
from ..images import UnreadablePhoto, open_photo, save_photo
from .align import aligned_face
from .detect import Detector
from .duplicates import signature
from .find import find_faces
from .measure import measure
from .table import CropRow, face_name, judged

SIZE = 256  # pixels of a face


def cut_all(
    jobs: Sequence[tuple[Path, CropRow]], faces: Path, detector: Detector, thresholds: Mapping[str, float]
) -> Iterator[list[CropRow]]:
    """Yield the rows of each job in order. A job is a photo's path, and its row without measurements."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    cv2.setNumThreads(1)
    # One thread for each photo: several would sum in another order and change the last digits.
    pool = ThreadPoolExecutor(os.cpu_count(), "crop", torch.set_num_threads, (1,))
    try:
        yield from pool.map(lambda job: cut_photo(job[0], job[1], faces, detector, thresholds), jobs)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


def cut_photo(
    path: Path, row: CropRow, faces: Path, detector: Detector, thresholds: Mapping[str, float]
) -> list[CropRow]:
    """A row for each face in a photo, with its numbers and what the gates say; its crop is written where it belongs.

    A photo that cannot be opened or cropped gets one row that says why. Raises DragFaceError when a face cannot be
    written.
    """
    rows = []
    try:
        photo = open_photo(path)
        located = find_faces(photo, detector)
        for number, face in enumerate(located, 1):
            crop = aligned_face(photo, face.points, SIZE)
            measured = measure(photo, face, crop, [other for other in located if other is not face])
            numbers = {name: float(f"{value:.5g}") for name, value in measured.items()}  # as crops.csv has them
            name = f"{face_name(row.photo)}{f'+{number}' if number > 1 else ''}.jpg"
            rows.append(judged(replace(row, face=name, numbers=numbers, signature=signature(crop)), thresholds))
            save_photo(faces / rows[-1].face, crop, quality=95)
    except UnreadablePhoto as error:
        return [replace(row, status="unreadable", reason=str(error))]
    except DragFaceError:
        raise
    except Exception as error:  # a fault with one photo is no reason to lose the others
        reason = f"{path} cannot be cropped ({type(error).__name__}: {error}): save it anew with another program."
        return [replace(row, status="unreadable", reason=reason)]
    return rows or [replace(row, status="no_face", reason="no face was found")]


def photo_sha256(photo: Path) -> str:
    """The SHA-256 of a photo's bytes; "" where opening the photo will name the reason. Raises Unavailable."""
    readable = kind_of(photo) == "file" and os.access(photo, os.R_OK)  # a pipe would never end
    return retry(lambda: sha256_of(photo), photo) if readable else ""
