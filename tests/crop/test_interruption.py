"""Cropping may be killed at any moment; names are safe; what cannot be read gets a row."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from unittest.mock import Mock

import numpy as np
import pytest
from detecting import DETECTOR

from dragface_lib.crop import crop_photos, cutting, read_crops
from dragface_lib.crop.table import face_name
from dragface_lib.errors import DragFaceError
from dragface_lib.images import UnreadablePhoto, open_photo, save_photo

PROGRAM = """
import sys
from dragface_lib.crop import dataset
dataset.SAVE_EVERY = 2
dataset.crop_photos(sys.argv[1], sys.argv[2], detector=sys.argv[3], progress=False, gates={"copy": 1})
"""


@pytest.fixture
def photos(tmp_path, portraits):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(8):
        shutil.copy(portraits["astronaut"], folder / f"astronaut {number}.jpg")
    return folder


def crop(photos, faces):
    return crop_photos(photos, faces, detector=DETECTOR, progress=False, gates={"copy": 1})  # copies are kept


def files(faces):
    return {path.relative_to(faces).as_posix(): path.read_bytes() for path in faces.rglob("*") if path.is_file()}


def test_killed_in_the_middle_and_run_again_gives_what_one_run_gives(tmp_path, photos):
    crop(photos, tmp_path / "whole")
    faces = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, photos, faces, DETECTOR])
    limit = time.monotonic() + 60
    while len(list(faces.glob("*/*/*.jpg"))) < 3 and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(read_crops(faces)) < 8
    (faces / "selfie" / "train" / f".{face_name('astronaut 7.jpg')}.jpg.x.part").touch()
    crop(photos, faces)
    for half_written in faces.glob(".crops.csv.*.part"):
        half_written.unlink()
    assert files(faces) == files(tmp_path / "whole")


def test_a_face_that_a_killed_run_left_without_a_row_goes_with_its_photo(tmp_path, photos):
    faces = tmp_path / "faces"
    rows = crop(photos, faces)
    (faces / "crops.csv").unlink()  # killed before the first rows were written
    photo = photos / rows[0].photo
    photo.write_bytes(b"")
    assert crop(photos, faces)[0].status == "unreadable"
    assert not (faces / rows[0].face).exists()


def test_further_faces_of_a_photo_cannot_take_another_photos_name(tmp_path, portraits):
    hopper = open_photo(portraits["grace_hopper"])
    folder, faces = tmp_path / "photos", tmp_path / "faces"
    save_photo(folder / "x.jpg", np.hstack([hopper, hopper]))
    for name in ("x+2.jpg", "x_2.jpg", "x_face2.jpg"):
        save_photo(folder / name, hopper)
    rows = crop(folder, faces)
    assert [row.status for row in rows] == ["kept"] * 5
    assert len({row.face for row in rows}) == 5


def test_long_and_hidden_names_become_files_that_every_disk_takes(tmp_path, portraits):
    folder, faces = tmp_path / "photos", tmp_path / "faces"
    for name in ("n" * 240 + ".jpg", ".hidden/a.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(portraits["astronaut"], folder / name)
    for row in crop(folder, faces):
        name = os.path.basename(row.face)
        assert len(name) < 80
        assert not name.startswith(".")


def test_a_photo_that_may_not_be_read_gets_a_row(tmp_path, photos, monkeypatch):
    monkeypatch.setattr(cutting.os, "access", lambda *_: False)
    monkeypatch.setattr(cutting, "open_photo", Mock(side_effect=UnreadablePhoto("it cannot be read")))
    assert {row.status for row in crop(photos, tmp_path / "faces")} == {"unreadable"}


def test_a_drive_that_does_not_answer_costs_no_face(tmp_path, photos, monkeypatch):
    faces = tmp_path / "faces"
    rows = crop(photos, faces)
    kept = sorted(faces.rglob("*.jpg"))
    assert kept
    with monkeypatch.context() as patch:
        patch.setattr("dragface_lib.files.RETRY_AFTER", ())
        patch.setattr(cutting, "sha256_of", Mock(side_effect=OSError(errno.EIO, "Input/output error")))
        with pytest.raises(DragFaceError, match="cannot be read now"):
            crop(photos, faces)
    assert sorted(faces.rglob("*.jpg")) == kept
    assert crop(photos, faces) == rows
