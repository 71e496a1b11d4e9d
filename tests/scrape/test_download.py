"""Downloading: whole, checked, resumed, and no photo stops another."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace

import numpy as np
import pytest
from photo_server import Answer
from PIL import Image

from dragface_lib import network
from dragface_lib.files import sha256_of
from dragface_lib.images import encode_photo, open_photo
from dragface_lib.manifest import Row
from dragface_lib.scrape import download as MODULE
from dragface_lib.scrape.download import Crawler, download
from dragface_lib.scrape.sources import Own


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
    results = list(download([(row, None) for row in rows], photos, progress=False, **options))
    assert {row.id for row, _ in results} == {row.id for row in rows}
    return {row.file: (status, row.reason) for row, status in results}


def bring_one(row, photos, **options) -> str:
    """The reason for which the photo was not stored; checks that nothing of it was."""
    [(status, reason)] = bring([row], photos, **options).values()
    assert status == "failed"
    assert not row.path(photos).exists()
    assert "\n" not in reason
    assert reason.endswith(".")
    return reason


def test_every_photo_arrives_byte_for_byte_under_its_name_and_is_not_asked_for_again(rows, mirror, tmp_path):
    assert {status for status, _ in bring(rows, tmp_path).values()} == {"stored"}
    assert [sha256_of(row.path(tmp_path)) for row in rows] == [row.sha256 for row in rows]
    assert not list(tmp_path.rglob("*.part"))
    asked = len(mirror.requests)
    assert {status for status, _ in bring(rows, tmp_path).values()} == {"here"}
    assert len(mirror.requests) == asked


def test_a_photo_is_stored_without_its_exif_and_is_the_same_photo_afterwards(mirror, portraits, tmp_path):
    with Image.open(portraits["astronaut"]) as opened:
        tags = opened.getexif()
        tags[0x013B] = "Anna was here"
        opened.save(tmp_path / "told.jpg", quality=90, exif=tags)
    data = (tmp_path / "told.jpg").read_bytes()
    row = Row("a", "selfie", "a.jpg", "https://small.example.org/a.jpg", licence="CC0")
    row = replace(row, sha256=hashlib.sha256(data).hexdigest())
    mirror.serve(row.image_url, data)
    [(noted, _)] = download([(row, None)], tmp_path / "photos", progress=False)
    stored = row.path(tmp_path / "photos").read_bytes()
    assert b"Anna" in data
    assert b"Anna" not in stored
    assert np.array_equal(open_photo(stored), open_photo(data))
    assert (noted.status, noted.bytes) == ("stored", len(data))
    assert noted.stored_sha256 == hashlib.sha256(stored).hexdigest()


def test_a_photo_with_other_bytes_than_its_sha256_is_not_stored(mirror, tmp_path):
    mirror.serve(mirror.rows[0].image_url, encode_photo(np.zeros((9, 9, 3), np.uint8)))
    assert "has other bytes than expected" in bring_one(mirror.rows[0], tmp_path)


def test_an_interrupted_download_goes_on_with_what_is_missing_or_was_cut(rows, mirror, tmp_path):
    bring(rows[:4], tmp_path)
    with rows[2].path(tmp_path).open("r+b") as file:
        file.truncate(100)
    asked = mirror.asked(rows[0].image_url)
    results = bring(rows, tmp_path)
    assert [results[row.file][0] for row in rows] == ["here", "here", "stored", "here", "stored", "stored"]
    assert sha256_of(rows[2].path(tmp_path)) == rows[2].sha256
    assert mirror.asked(rows[0].image_url) == asked


def test_one_failing_photo_never_stops_the_others(rows, mirror, tmp_path):
    mirror.misbehave(rows[1].image_url, Answer(404))
    mirror.misbehave(rows[2].image_url, Answer(503), times=2)
    rows[3].path(tmp_path).mkdir(parents=True)
    results = bring(rows, tmp_path)
    assert [results[row.file][0] for row in rows] == ["stored", "failed", "stored", "failed", "stored", "stored"]
    assert rows[1].image_url in results[rows[1].file][1]
    assert "answered 404" in results[rows[1].file][1]


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("page", "is a web page, not a picture"),
        ("text", "is not a picture"),
        ("half a picture", "is damaged or cut short"),
        ("nothing", "is empty"),
        ("too much", "larger than the 5 MB allowed"),
    ],
)
def test_only_what_opens_as_a_picture_is_stored(kind, part, rows, mirror, portraits, tmp_path, monkeypatch):
    monkeypatch.setattr(MODULE, "MAX_BYTES", 5_000_000)
    photo = portraits["astronaut"].read_bytes()
    page = b"\n<!DOCTYPE html><html><body>Log in first</body></html>"
    bodies = {"page": page, "text": b"hello", "half a picture": photo[: len(photo) // 2], "too much": bytes(5_000_001)}
    row = replace(rows[2], sha256="")
    mirror.serve(row.image_url, bodies.get(kind, b""))
    reason = bring_one(row, tmp_path)
    assert part in reason
    assert row.image_url in reason
    mirror.serve(row.image_url, photo)
    assert bring([row], tmp_path)[row.file] == ("stored", "")


def test_rows_without_a_licence_are_downloaded_only_when_asked_for(rows, mirror, tmp_path):
    row = replace(rows[2], licence=" ")
    assert bring([row], tmp_path)[row.file][0] == "unlicensed"
    assert not mirror.requests
    assert bring([row], tmp_path, unlicensed=True)[row.file] == ("stored", "")


def test_a_row_cannot_write_through_a_link_and_one_without_an_address_says_so(rows, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "photos" / "selfie").mkdir(parents=True)
    (tmp_path / "photos" / "selfie" / "small").symlink_to(tmp_path / "elsewhere")
    assert "leads out of" in bring([rows[2]], tmp_path / "photos")[rows[2].file][1]
    assert not list((tmp_path / "elsewhere").iterdir())
    assert "has no image_url" in bring_one(replace(rows[2], image_url=""), tmp_path)


def test_pressing_stop_does_not_wait_for_the_server(mirror, rows, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    mirror.misbehave(rows[2].image_url, Answer(429, headers={"Retry-After": "50"}))
    monkeypatch.setattr(MODULE, "as_completed", stopped)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        bring(rows[2:3], tmp_path)
    assert time.monotonic() - start < 5


def test_own_photos_are_copied_again_only_when_they_changed(portraits, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "me.jpg").write_bytes(portraits["astronaut"].read_bytes())
    (mine / "notes.jpg").write_text("not a picture")
    results = {row.title: (status, row) for row, status in download(Own().search(mine), tmp_path, progress=False)}
    assert {title: status for title, (status, _) in results.items()} == {"me": "stored", "notes": "failed"}
    row = results["me"][1]
    assert row.path(tmp_path).read_bytes() == portraits["astronaut"].read_bytes()
    assert "notes.jpg is not a picture" in results["notes"][1].reason

    def again() -> str:
        [(_, status)] = download([(row, mine / "me.jpg")], tmp_path, progress=False)
        return status

    assert again() == "here"
    (mine / "me.jpg").write_bytes(portraits["grace_hopper"].read_bytes())
    assert again() == "stored"
    assert row.path(tmp_path).read_bytes() == portraits["grace_hopper"].read_bytes()


def test_robots_txt_is_asked_once_a_host_and_obeyed(mirror):
    rules = b"User-agent: *\nDisallow: /private/\n\nUser-agent: DragFace\nDisallow: /not-us/\n"
    mirror.serve("https://site.example.org/robots.txt", rules)
    client = Crawler()
    assert client.may_fetch("https://site.example.org/private/a.jpg")  # the rule for us takes the place of that for all
    assert not client.may_fetch("https://site.example.org/not-us/a.jpg")
    assert client.may_fetch("https://site.example.org/photos/a.jpg")
    assert mirror.asked("https://site.example.org/robots.txt") == 1


@pytest.mark.parametrize(("status", "allowed"), [(404, True), (403, True), (500, False)])
def test_a_host_without_robots_txt_allows_all_and_one_that_fails_nothing(status, allowed, mirror):
    mirror.misbehave("https://site.example.org/robots.txt", Answer(status))
    assert Crawler().may_fetch("https://site.example.org/a.jpg") is allowed
