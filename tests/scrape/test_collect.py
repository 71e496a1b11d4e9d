"""One run of scraping: what was found is noted down, fetched once, compared, and goes again when it is withdrawn."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from detecting import DETECTOR
from photo_server import REPOSITORY, Answer
from skimage import data

from dragface_lib import network
from dragface_lib.addresses import NetworkError
from dragface_lib.archives import pack
from dragface_lib.crop.dataset import crop_photos, read_crops
from dragface_lib.errors import DragFaceError
from dragface_lib.files import DiskFull
from dragface_lib.images import encode_photo, open_photo, resize
from dragface_lib.manifest import NAME, Row, read_manifest, write_manifest
from dragface_lib.scrape import collect, credits_page, gather, withdraw
from dragface_lib.scrape.sources import Manifest, Own, Source


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(network, "BACKOFF", 0.001)


class Found(Source):
    """A source that has these rows, and fails behind them if told to."""

    def __init__(self, *rows: Row, failing: str = ""):
        super().__init__("drag")
        self.rows, self.failing = rows, failing

    def find(self, query: str):
        yield from ((row, None) for row in self.rows)
        if self.failing:
            raise NetworkError(self.failing)


def served(mirror, name: str, photo: np.ndarray, **values) -> Row:
    """A row whose photo the server has."""
    url = f"https://photos.example.org/{name}.jpg"
    mirror.serve(url, encode_photo(photo, quality=90))
    values = {"licence": "CC BY 4.0", "author": "Jo", "title": name, "source": "commons"} | values
    return Row(name, "drag", f"commons/{name}.jpg", url, **values)


@pytest.fixture
def rows(mirror) -> list[Row]:
    """Photos of four different things."""
    pictures = {"cat": data.chelsea(), "coffee": data.coffee(), "rocket": data.rocket(), "woman": data.astronaut()}
    return [served(mirror, name, resize(photo, 200, 300)) for name, photo in pictures.items()]


def counts(source: Source, photos: Path, **options) -> dict[str, int]:
    return dict(collect(source, photos, progress=False, **options).counts)


def written(photos: Path) -> dict[str, Row]:
    return {row.id: row for row in read_manifest(photos / NAME)}


def test_a_row_says_afterwards_all_there_is_to_know_of_its_photo(rows, mirror, tmp_path):
    assert counts(Found(*rows), tmp_path) == {"stored": 4}
    for row in written(tmp_path).values():
        stored = row.path(tmp_path).read_bytes()
        assert row.status == "stored"
        assert row.stored_sha256 == hashlib.sha256(stored).hexdigest()
        assert row.sha256 == hashlib.sha256(mirror._always[f"/photos.example.org/{row.id}.jpg"].body).hexdigest()
        assert (row.width, row.height, row.bytes) == (300, 200, len(stored))
        assert (
            abs(time.time() - time.mktime(time.strptime(row.retrieved_at, "%Y-%m-%dT%H:%M:%SZ")) + time.timezone) < 99
        )
        assert (row.source, row.author, row.licence) == ("commons", "Jo", "CC BY 4.0")


def test_a_second_run_fetches_nothing_and_changes_nothing(rows, mirror, tmp_path):
    counts(Found(*rows), tmp_path)
    asked, before = len(mirror.requests), (tmp_path / NAME).read_bytes()
    assert counts(Found(*rows), tmp_path) == {"here": 4}
    assert len(mirror.requests) == asked
    assert (tmp_path / NAME).read_bytes() == before


def test_the_projects_manifest_is_copied_beside_the_photos_and_itself_left_alone(mirror, tmp_path):
    source = Path(os.environ["DRAGFACE_MANIFEST"])
    before = source.read_bytes()
    assert counts(Manifest(), tmp_path, limit=2) == {"stored": 2}
    assert source.read_bytes() == before
    for row in mirror.rows[:2]:
        found = written(tmp_path)[row.id]
        assert (found.split, found.split_group, found.sha256) == (row.split, row.split_group, row.sha256)
        assert found.path(tmp_path).is_file()


def test_what_fails_is_noted_with_its_reason_and_tried_again(rows, mirror, tmp_path):
    mirror.misbehave(rows[0].image_url, Answer(404))
    unlicensed = replace(rows[1], licence="")
    outcome = collect(Found(rows[0], unlicensed, rows[2]), tmp_path, progress=False)
    assert outcome.counts == {"failed": 1, "unlicensed": 1, "stored": 1}
    assert {(file, status) for file, status, _ in outcome.reasons} == {
        ("commons/cat.jpg", "failed"),
        ("commons/coffee.jpg", "unlicensed"),
    }
    assert "answered 404" in written(tmp_path)["cat"].reason
    assert written(tmp_path)["coffee"].status == "unlicensed"
    mirror.serve(rows[0].image_url, encode_photo(data.chelsea()))
    assert counts(Found(rows[0], unlicensed), tmp_path, unlicensed=True) == {"stored": 2}
    assert {row.reason for row in written(tmp_path).values()} == {""}


def test_a_broken_line_of_the_manifest_stops_the_run_before_anything_is_fetched(rows, mirror, tmp_path):
    write_manifest(tmp_path / NAME, rows[:1])
    text = (tmp_path / NAME).read_text() + "broken line\n"
    (tmp_path / NAME).write_text(text)
    outcome = gather(tmp_path, "manifest", "selfie")
    [note] = outcome.notes
    assert f"{tmp_path / NAME}, line 3: 1 cells instead of 22: " in note
    assert (tmp_path / NAME).read_text() == text
    assert not mirror.requests


def test_a_search_that_breaks_off_keeps_what_it_found_and_one_that_finds_nothing_is_one_sentence(rows, tmp_path):
    outcome = collect(Found(*rows[:2], failing="The server is gone: run it again."), tmp_path, progress=False)
    assert outcome.counts == {"stored": 2}
    assert outcome.notes == ["The search ended early: The server is gone: run it again."]
    with pytest.raises(NetworkError, match="server is gone"):
        collect(Found(failing="The server is gone: run it again."), tmp_path, progress=False)
    assert len(written(tmp_path)) == 2


def test_the_same_bytes_are_kept_once_and_not_fetched_again(rows, mirror, tmp_path):
    twin = replace(rows[0], id="twin", file="commons/twin.jpg", image_url="https://other.example.org/cat.jpg")
    mirror.serve(twin.image_url, encode_photo(resize(data.chelsea(), 200, 300), quality=90))
    assert counts(Found(*rows, twin), tmp_path) == {"stored": 4, "duplicate": 1}
    assert not twin.path(tmp_path).exists()
    assert written(tmp_path)["twin"].reason == "commons/twin.jpg has the same bytes as cat."
    assert counts(Found(*rows, twin), tmp_path) == {"here": 4, "duplicate": 1}
    assert mirror.asked(twin.image_url) == 1


def test_the_bytes_of_a_withdrawn_photo_do_not_come_back_from_another_address(rows, mirror, tmp_path):
    counts(Found(rows[0]), tmp_path)
    withdraw(tmp_path / NAME, ["cat"])
    twin = replace(rows[0], id="twin", file="commons/twin.jpg", image_url="https://other.example.org/cat.jpg")
    mirror.serve(twin.image_url, encode_photo(resize(data.chelsea(), 200, 300), quality=90))
    assert counts(Found(twin), tmp_path) == {"duplicate": 1, "withdrawn": 1}
    assert not twin.path(tmp_path).exists()
    assert "cat, which was withdrawn" in written(tmp_path)["twin"].reason


def test_own_photos_are_noted_and_keep_their_names_as_far_as_every_disk_allows(tmp_path):
    mine = tmp_path / "mine"
    (mine / "sub").mkdir(parents=True)
    for size, name in enumerate(("anna_1.jpg", "sub/me at 12:30.jpg", "sub/me at 12?30.jpg"), 50):
        (mine / name).write_bytes(encode_photo(resize(data.astronaut(), size, size)))
    photos = tmp_path / "photos"
    assert counts(Own(), photos, query=str(mine)) == {"stored": 3}
    found = written(photos).values()
    assert {row.licence for row in found} == {"own photo"}
    assert {(row.source, row.query) for row in found} == {("own", str(mine))}
    assert all(row.path(photos).is_file() for row in found)
    assert len({row.file for row in found}) == 3
    assert any(row.file.endswith("/anna_1.jpg") for row in found)
    assert not any(set(row.file) & set(':?"') for row in found)
    assert counts(Own(), photos, query=str(mine)) == {"here": 3}


def test_photos_of_any_site_are_fetched_only_where_its_robots_txt_allows(rows, mirror, tmp_path):
    mirror.serve("https://photos.example.org/robots.txt", b"User-agent: *\nDisallow: /")
    found = [replace(row, source=source) for row, source in zip(rows, ("google", "openverse", "commons"), strict=False)]
    assert counts(Found(*found), tmp_path) == {"failed": 2, "stored": 1}
    assert "closed to robots" in written(tmp_path)["cat"].reason


def test_after_a_full_disk_what_is_there_is_not_fetched_again(rows, tmp_path, monkeypatch):
    write_bytes = Path.write_bytes

    def full(path, content):
        if "rocket" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, content)

    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_bytes", full)
        with pytest.raises(DiskFull, match="The disk is full"):
            collect(Found(*rows[:3]), tmp_path, progress=False)
    assert set(written(tmp_path)) == {"cat", "coffee", "rocket"}
    whole = sum(row.path(tmp_path).is_file() for row in rows[:3])
    assert counts(Found(*rows[:3]), tmp_path).get("here", 0) == whole
    assert {row.status for row in written(tmp_path).values()} == {"stored"}


def test_a_run_that_was_killed_goes_on_without_fetching_anything_twice(mirror, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    rows = [served(mirror, f"p{n}", rng.integers(0, 256, (32, 32, 3), np.uint8)) for n in range(60)]
    manifest, photos = tmp_path / "list.csv", tmp_path / "photos"
    write_manifest(manifest, rows)
    answer = mirror.answer
    with monkeypatch.context() as slow:
        slow.setattr(mirror, "answer", lambda *request: time.sleep(0.05) or answer(*request))
        command = [sys.executable, "-m", "dragface_lib", "scrape", "--manifest", str(manifest), "-o", str(photos)]
        process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
        while sum(row.path(photos).is_file() for row in rows) < 10:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    whole = {row.id for row in rows if row.path(photos).is_file()}
    assert 10 <= len(whole) < 60
    asked = {row.id: mirror.asked(row.image_url) for row in rows}
    assert counts(Manifest(manifest=manifest), photos, manifest=manifest) == {
        "here": len(whole),
        "stored": 60 - len(whole),
    }
    assert not {row.id for row in rows if mirror.asked(row.image_url) > asked[row.id]} & whole
    known = read_manifest(manifest)
    assert {row.status for row in known} == {"stored"}
    assert all(row.stored_sha256 and row.width == 32 for row in known)


def test_withdrawing_takes_photo_face_and_place_in_the_archive_away(mirror, portraits, tmp_path):
    """From the photo to the archive and back: the people of the two portraits, one of whom takes hers back."""
    woman, man = (served(mirror, name, open_photo(path)) for name, path in portraits.items())
    twin = replace(woman, id="twin", file="commons/twin.jpg", image_url="https://other.example.org/w.jpg")
    mirror.serve(twin.image_url, encode_photo(open_photo(portraits["astronaut"]), quality=90))
    photos, faces, archive = tmp_path / "photos", tmp_path / "faces", tmp_path / "faces.zip"

    def whole_run() -> tuple[list[str], list[str]]:
        collect(Found(woman, man, twin), photos, progress=False)
        crop_photos(photos / "drag", faces, "drag", photos / NAME, DETECTOR, progress=False)
        with zipfile.ZipFile(pack(faces, archive)) as packed:
            in_archive = [name for name in packed.namelist() if name.endswith(".jpg")]
        return sorted(path.stem for path in (photos / "drag").rglob("*.jpg")), sorted(in_archive)

    shown, packed = whole_run()
    assert shown == ["astronaut", "grace_hopper"]
    assert len(packed) == 2
    marked = withdraw(photos / NAME, ["commons/astronaut.jpg"], "she asked for it")
    assert {row.id for row in marked} == {"astronaut", "twin"}  # the same photo at another address too
    shown, packed = whole_run()
    assert shown == ["grace_hopper"]
    assert ["grace_hopper" in name for name in packed] == [True]
    assert {crop.photo for crop in read_crops(faces)} == {"commons/grace_hopper.jpg"}
    assert not list(faces.rglob("*astronaut*"))
    row = written(photos)["astronaut"]
    assert (row.status, row.reason) == ("withdrawn", "she asked for it")
    page = credits_page(read_manifest(photos / NAME))
    assert "astronaut" not in page
    assert "grace" in page


def test_withdrawing_what_the_manifest_does_not_know_changes_nothing(rows, tmp_path):
    write_manifest(tmp_path / NAME, rows)
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(DragFaceError, match="has no photo 'nobody'"):
        withdraw(tmp_path / NAME, ["cat", "nobody"])
    assert (tmp_path / NAME).read_bytes() == before
    assert [row.id for row in withdraw(tmp_path / NAME, [rows[1].image_url])] == ["coffee"]


def test_a_photo_withdrawn_in_the_projects_manifest_goes_too(rows, tmp_path):
    counts(Found(*rows), tmp_path)
    outcome = collect(Found(replace(rows[0], status="withdrawn"), *rows[1:]), tmp_path, progress=False)
    assert outcome.counts == {"withdrawn": 1, "here": 3}
    assert not rows[0].path(tmp_path).exists()
    counts(Found(rows[0]), tmp_path)  # and stays away
    assert not rows[0].path(tmp_path).exists()


def test_a_withdrawn_photo_goes_at_the_next_run_whatever_that_run_looks_for(rows, tmp_path):
    counts(Found(*rows), tmp_path)
    withdraw(tmp_path / NAME, ["cat"])
    assert counts(Found(rows[1]), tmp_path) == {"here": 1, "withdrawn": 1}
    assert not rows[0].path(tmp_path).exists()
    assert rows[2].path(tmp_path).exists()
