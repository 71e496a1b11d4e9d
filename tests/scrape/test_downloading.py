"""Downloading: whole, checked, polite, resumed, and no photo stops another."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from photo_server import Answer, PhotoServer
from PIL import Image

from dragface_lib import network
from dragface_lib.errors import DragFaceError
from dragface_lib.files import sha256_of
from dragface_lib.images import encode_photo, open_photo
from dragface_lib.manifest import Row
from dragface_lib.scrape import Folder, download, downloading, take_own_photos


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(network, "BACKOFF", 0.001)


@pytest.fixture
def rows(mirror) -> list[Row]:
    """Six rows of the server: its own first ones, filled up with small pictures."""
    rows = mirror.rows[:2]
    for number in range(4):
        data = encode_photo(np.full((40, 40, 3), 50 * number, np.uint8))
        url = f"https://small.example.org/{number}.jpg"
        mirror.serve(url, data)
        digest = hashlib.sha256(data).hexdigest()
        rows.append(Row(f"small_{number}", "selfie", f"small/{number}.jpg", url, licence="CC0 1.0", sha256=digest))
    return rows


def bring(rows, photos, **options) -> dict[str, tuple[str, str]]:
    """File -> (status, reason) of a download without a progress bar."""
    results = download(rows, photos, progress=False, **options)
    assert [result.row for result in results] == list(rows)
    return {result.row.file: (result.status, result.reason) for result in results}


def bring_one(row, photos, **options) -> str:
    """The reason for which the photo was not stored; checks that nothing of it was."""
    [(status, reason)] = bring([row], photos, **options).values()
    assert status == "failed"
    assert not (photos / row.file).exists()
    assert "\n" not in reason
    assert reason.endswith(".")
    return reason


def test_every_photo_arrives_byte_for_byte_under_its_name(rows, mirror, tmp_path):
    results = bring(rows, tmp_path)
    assert {status for status, _ in results.values()} == {"stored"}
    for row in rows:
        assert sha256_of(tmp_path / row.file) == row.sha256
    assert all("DragFace" in headers["User-Agent"] for _, headers in mirror.requests)
    assert not list(tmp_path.rglob("*.part"))


def test_a_photo_is_stored_without_its_exif_and_is_the_same_photo_afterwards(mirror, portraits, tmp_path):
    with Image.open(portraits["astronaut"]) as opened:
        tags = opened.getexif()
        tags[0x013B] = "Anna was here"
        opened.save(tmp_path / "told.jpg", quality=90, exif=tags)
    data = (tmp_path / "told.jpg").read_bytes()
    row = Row("a", "selfie", "a.jpg", "https://small.example.org/a.jpg", licence="CC0")
    row = replace(row, sha256=hashlib.sha256(data).hexdigest())
    mirror.serve(row.image_url, data)
    assert bring([row], tmp_path / "photos")["a.jpg"] == ("stored", "")
    stored = (tmp_path / "photos" / "a.jpg").read_bytes()
    assert b"Anna" in data
    assert b"Anna" not in stored
    assert np.array_equal(open_photo(stored), open_photo(data))
    assert bring([row], tmp_path / "photos")["a.jpg"] == ("here", "")
    assert mirror.asked(row.image_url) == 1


def test_a_photo_with_other_bytes_than_its_sha256_is_not_stored(mirror, portraits, tmp_path):
    rows = [row for row in mirror.rows if row.file.startswith("london_smiling")][:3]  # resized on the server
    if not rows:
        rows = [mirror.rows[0]]
        mirror.serve(rows[0].image_url, encode_photo(np.zeros((9, 9, 3), np.uint8)))
    for row in rows:
        assert "has other bytes than expected" in bring_one(row, tmp_path)


def test_a_second_download_asks_for_nothing_and_reads_no_photo_again(rows, mirror, tmp_path, monkeypatch):
    bring(rows, tmp_path)
    asked = len(mirror.requests)
    monkeypatch.setattr(downloading, "sha256_of", lambda path: pytest.fail(f"{path} was read again"))
    assert {status for status, _ in bring(rows, tmp_path).values()} == {"here"}
    assert len(mirror.requests) == asked


def test_an_interrupted_download_goes_on_with_what_is_missing_or_was_cut(rows, tmp_path, monkeypatch):
    bring(rows[:4], tmp_path)
    with (tmp_path / rows[2].file).open("r+b") as file:
        file.truncate(100)
    with (tmp_path / downloading.JOURNAL).open("a") as file:
        file.write('\n{"file": "small/3.jp')  # the session ended here
    results = bring(rows, tmp_path)
    assert [status for status, _ in results.values()] == ["here", "here", "stored", "here", "stored", "stored"]
    assert sha256_of(tmp_path / rows[2].file) == rows[2].sha256
    monkeypatch.setattr(downloading, "sha256_of", lambda path: pytest.fail(f"{path} was not remembered"))
    assert {status for status, _ in bring(rows, tmp_path).values()} == {"here"}


def test_what_a_killed_download_left_half_written_is_swept_once_nobody_can_be_writing_it(rows, tmp_path):
    old, young = tmp_path / "small" / ".0.jpg.abc.part", tmp_path / "small" / ".1.jpg.abc.part"
    old.parent.mkdir()
    for piece in (old, young):
        piece.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * downloading.LEFT_BEHIND,) * 2)
    bring(rows, tmp_path)
    assert list(tmp_path.rglob("*.part")) == [young]


def test_a_photo_changed_in_place_is_fetched_again_though_its_size_is_the_same(rows, tmp_path):
    bring(rows[:1], tmp_path)
    path = tmp_path / rows[0].file
    path.write_bytes(bytes(path.stat().st_size))
    os.utime(path, (1, 1))
    assert bring(rows[:1], tmp_path)[rows[0].file][0] == "stored"
    assert sha256_of(path) == rows[0].sha256


def test_a_photo_copied_in_by_hand_is_taken_when_its_bytes_are_right(rows, mirror, tmp_path):
    bring(rows[:1], tmp_path / "first")
    (tmp_path / "second").mkdir()
    target = tmp_path / "second" / rows[0].file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes((tmp_path / "first" / rows[0].file).read_bytes())
    asked = len(mirror.requests)
    assert bring(rows[:1], tmp_path / "second")[rows[0].file] == ("here", "")
    assert len(mirror.requests) == asked


def test_one_failing_photo_never_stops_the_others(rows, mirror, tmp_path):
    mirror.misbehave(rows[1].image_url, Answer(404))
    results = bring(rows, tmp_path)
    assert [status for status, _ in results.values()].count("stored") == 5
    status, reason = results[rows[1].file]
    assert status == "failed"
    assert rows[1].image_url in reason
    assert "no longer exists (404)" in reason


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_and_the_photo_arrives(status, rows, mirror, tmp_path):
    mirror.misbehave(rows[2].image_url, Answer(status), times=2)
    assert bring(rows[2:3], tmp_path)[rows[2].file] == ("stored", "")
    assert mirror.asked(rows[2].image_url) == 3


def test_retry_after_is_waited_for(rows, mirror, tmp_path):
    mirror.misbehave(rows[2].image_url, Answer(429, headers={"Retry-After": "1"}), times=1)
    start = time.monotonic()
    assert bring(rows[2:3], tmp_path)[rows[2].file] == ("stored", "")
    assert time.monotonic() - start >= 1


def test_a_host_that_asks_for_an_hour_is_left_alone_at_once(rows, mirror, tmp_path):
    for row in rows[2:]:
        mirror.misbehave(row.image_url, Answer(429, headers={"Retry-After": "3600"}))
    results = bring(rows, tmp_path, workers=1)
    assert [status for status, _ in results.values()] == ["stored"] * 2 + ["failed"] * 4
    assert "asks to be left alone for 3600 s" in results[rows[2].file][1]
    assert sum(mirror.asked(row.image_url) for row in rows[2:]) == 1


def test_a_server_that_stays_busy_is_given_up_after_four_attempts(rows, mirror, tmp_path):
    mirror.misbehave(rows[2].image_url, Answer(503))
    assert "answered 503" in bring_one(rows[2], tmp_path)
    assert mirror.asked(rows[2].image_url) == 4


def test_an_answer_cut_short_is_fetched_again_and_never_stored_cut(rows, mirror, tmp_path):
    data = b"x" * 1000
    mirror.misbehave(rows[2].image_url, Answer(body=data, cut=500), times=1)
    assert bring(rows[2:3], tmp_path)[rows[2].file] == ("stored", "")
    mirror.misbehave(rows[3].image_url, Answer(body=data, cut=500))
    assert "was cut off" in bring_one(rows[3], tmp_path)


def test_a_web_page_in_place_of_the_picture_is_not_stored(rows, mirror, tmp_path):
    mirror.serve(rows[2].image_url, b"\n<!DOCTYPE html><html><body>Log in first</body></html>")
    assert "is a web page, not a picture" in bring_one(rows[2], tmp_path)


@pytest.mark.parametrize("kind", ["text", "half a picture", "nothing"])
def test_without_a_sha256_only_what_opens_as_a_picture_is_stored(kind, rows, mirror, portraits, tmp_path):
    photo = portraits["astronaut"].read_bytes()
    body = {"text": b"hello", "half a picture": photo[: len(photo) // 2], "nothing": b""}[kind]
    row = replace(rows[2], sha256="")
    mirror.serve(row.image_url, body)
    assert row.image_url in bring_one(row, tmp_path)
    mirror.serve(row.image_url, photo)
    assert bring([row], tmp_path)[row.file] == ("stored", "")


def test_what_is_too_large_is_not_stored_whether_announced_or_not(rows, mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, "MAX_BYTES", 5_000_000)
    mirror.misbehave(rows[2].image_url, Answer(headers={"Content-Length": "9000000"}, cut=0))
    assert "larger than the 5 MB allowed" in bring_one(rows[2], tmp_path)


def test_a_redirect_to_this_machine_is_not_followed(rows, mirror, tmp_path):
    inner = PhotoServer([], tmp_path)
    try:
        mirror.misbehave(rows[2].image_url, Answer(302, headers={"Location": f"{inner.url}/secret.jpg"}))
        assert "private network" in bring_one(rows[2], tmp_path)
        assert inner.requests == []
    finally:
        inner.close()


def test_a_redirect_to_another_public_address_is_followed(rows, mirror, tmp_path):
    mirror.misbehave(rows[2].image_url, Answer(301, headers={"Location": "https://moved.example.org/a.jpg"}))
    mirror.misbehave("https://moved.example.org/a.jpg", Answer(302, headers={"Location": "/b.jpg"}))
    mirror.serve("https://moved.example.org/b.jpg", encode_photo(np.zeros((40, 40, 3), np.uint8)))
    assert bring(rows[2:3], tmp_path)[rows[2].file] == ("stored", "")


def test_rows_without_a_licence_are_downloaded_only_when_asked_for(rows, mirror, tmp_path):
    row = replace(rows[2], licence=" ")
    assert bring([row], tmp_path)[row.file][0] == "unlicensed"
    assert not mirror.requests
    assert bring([row], tmp_path, unlicensed=True)[row.file] == ("stored", "")


def test_a_withdrawn_photo_is_removed_and_not_fetched(rows, mirror, tmp_path):
    bring(rows, tmp_path)
    asked = len(mirror.requests)
    rows[2] = replace(rows[2], status="withdrawn")
    results = bring(rows, tmp_path)
    assert results[rows[2].file][0] == "withdrawn"
    assert "was removed" in results[rows[2].file][1]
    assert [row.file for row in rows if not (tmp_path / row.file).exists()] == [rows[2].file]
    assert bring(rows[2:3], tmp_path)[rows[2].file][0] == "withdrawn"
    assert len(mirror.requests) == asked


@pytest.mark.parametrize("file", ["../outside.jpg", "/tmp/outside.jpg", "a/../../outside.jpg"])
def test_a_row_made_in_code_cannot_write_or_remove_outside_the_folder(file, rows, tmp_path):
    victim = tmp_path / "outside.jpg"
    victim.write_bytes(b"precious")
    for status in ("", "withdrawn"):
        row = replace(rows[2], file=file, status=status)
        [result] = download([row], tmp_path / "photos", progress=False)
        assert "does not lie in the folder" in result.reason
    assert victim.read_bytes() == b"precious"


def test_a_row_without_an_address_says_so(rows, tmp_path):
    assert "has no image_url" in bring_one(replace(rows[2], image_url=""), tmp_path)


def test_a_full_disk_stops_everything_with_one_sentence_and_what_was_stored_stays(rows, mirror, tmp_path, monkeypatch):
    bring(rows[:1], tmp_path)
    write = Path.write_bytes
    full = threading.Event()

    def write_bytes(self, data):
        if full.is_set() and str(self).startswith(str(tmp_path)):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    full.set()
    with pytest.raises(DragFaceError, match="The disk is full"):
        download(rows, tmp_path, workers=2, progress=False)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and path.name != downloading.JOURNAL] == [
        Path(rows[0].file).name
    ]
    full.clear()
    assert {status for status, _ in bring(rows, tmp_path).values()} == {"here", "stored"}


def test_a_place_that_cannot_be_written_fails_for_that_photo_only(rows, tmp_path):
    (tmp_path / rows[2].file).mkdir(parents=True)
    results = bring(rows, tmp_path)
    assert results[rows[2].file][0] == "failed"
    assert [status for status, _ in results.values()].count("stored") == 5


def test_a_folder_of_photos_that_cannot_be_made_is_one_sentence(rows, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DragFaceError, match="choose another folder"):
        download(rows, tmp_path / "file", progress=False)


def test_at_most_four_photos_at_a_time_are_asked_of_one_host(mirror, tmp_path, monkeypatch):
    running, most, lock = 0, 0, threading.Lock()
    answer = mirror.answer

    def slow_answer(path, headers):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return answer(path, headers)

    monkeypatch.setattr(mirror, "answer", slow_answer)
    rows = [Row(f"r{n}", "selfie", f"{n}.jpg", f"https://one.example.org/{n}.jpg", licence="CC0") for n in range(24)]
    download(rows, tmp_path, workers=12, progress=False)
    assert 2 <= most <= 4


def test_pressing_stop_ends_a_long_wait_at_once(mirror, rows, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    mirror.misbehave(rows[2].image_url, Answer(429, headers={"Retry-After": "50"}))
    monkeypatch.setattr(downloading, "as_completed", stopped)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        download(rows[2:3], tmp_path, progress=False)
    assert time.monotonic() - start < 5


def test_own_photos_are_copied_once_and_what_is_no_picture_is_named(portraits, tmp_path):
    mine = tmp_path / "mine"
    (mine / "sub").mkdir(parents=True)
    (mine / "me.jpg").write_bytes(portraits["astronaut"].read_bytes())
    (mine / "sub" / "me too.JPG").write_bytes(portraits["grace_hopper"].read_bytes())
    (mine / "notes.jpg").write_text("not a picture")
    results = take_own_photos(mine, tmp_path / "own", progress=False)
    assert {result.row.file: result.status for result in results} == {
        "me.jpg": "stored",
        "notes.jpg": "failed",
        "sub/me too.JPG": "stored",
    }
    assert "notes.jpg is not a picture" in next(result.reason for result in results if not result.ok)
    assert (tmp_path / "own" / "sub" / "me too.JPG").read_bytes() == portraits["grace_hopper"].read_bytes()
    again = take_own_photos(mine, tmp_path / "own", progress=False)
    assert [result.status for result in again] == ["here", "failed", "here"]


def test_own_photos_from_a_folder_around_the_target_do_not_multiply(portraits, tmp_path):
    (tmp_path / "me.jpg").write_bytes(portraits["astronaut"].read_bytes())
    for _ in range(2):
        take_own_photos(tmp_path, tmp_path / "own", progress=False)
    assert sorted(path.name for path in tmp_path.rglob("*.jpg")) == ["me.jpg", "me.jpg"]


def test_the_journal_names_what_was_stored(rows, tmp_path):
    bring(rows, tmp_path)
    lines = (tmp_path / downloading.JOURNAL).read_text().splitlines()
    assert {json.loads(line)["file"] for line in lines if line} == {row.file for row in rows}


def test_a_folder_source_can_be_downloaded_like_any_other(portraits, tmp_path):
    rows = Folder(portraits["astronaut"].parent).search("grace")
    [result] = download(rows, tmp_path, progress=False)
    assert (result.status, result.row.file) == ("stored", "grace_hopper.jpg")
