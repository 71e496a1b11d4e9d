"""scrape, withdraw and credits as commands: what they print, where they write, and how they refuse."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from detecting import DETECTOR
from photo_server import Answer
from skimage import data

from dragface_lib.__main__ import main
from dragface_lib.images import encode_photo, resize
from dragface_lib.manifest import NAME, Row, read_manifest, write_manifest
from dragface_lib.scrape import SOURCES
from dragface_lib.scrape.download import download
from dragface_lib.scrape.web import Commons


def run(capsys, *arguments) -> tuple[int, str, str]:
    """Exit code, stdout and the last line of stderr."""
    capsys.readouterr()
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        code = stopped.code
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return code, printed.out, (printed.err.strip().splitlines() or [""])[-1].rpartition("\r")[2]


@pytest.fixture
def commons(mirror) -> str:
    """Three photos of Wikimedia Commons, one of them without a licence; the name of their category."""
    pages = []
    for number, photo in enumerate((data.chelsea(), data.coffee(), data.rocket()), 1):
        url = f"https://upload.wikimedia.org/{number}.jpg"
        mirror.serve(url, encode_photo(resize(photo, 100, 150)))
        told = {"Artist": {"value": f"<b>Jo {number}</b>"}, "LicenseShortName": {"value": "CC BY 4.0" * (number < 3)}}
        info = {"url": url, "mime": "image/jpeg", "width": 150, "height": 100, "extmetadata": told}
        info["descriptionurl"] = f"https://commons.wikimedia.org/wiki/File:{number}.jpg"
        pages.append({"pageid": number, "ns": 6, "title": f"File:Queen {number}.jpg", "imageinfo": [info]})
    body = json.dumps({"batchcomplete": True, "query": {"pages": pages}}).encode()
    mirror.reply(Commons.API, lambda *_: Answer(body=body))
    return "Category:Drag queens"


def test_the_help_names_every_source(capsys):
    out = run(capsys, "scrape", "--help")[1]
    assert all(name in out for name in SOURCES)


def test_photos_of_commons_are_listed_fetched_noted_credited_and_withdrawn(capsys, commons, mirror, tmp_path):
    photos = tmp_path / "photos"
    asked = ("scrape", "--source", "commons", "--query", commons, "--depth", 0, "--domain", "drag", "-o", photos)
    code, out, _ = run(capsys, *asked, "--dry-run")
    assert code == 0
    assert "https://upload.wikimedia.org/1.jpg  CC BY 4.0" in out
    assert "3 photos would be looked at: 2 CC BY 4.0, 1 without a licence." in out
    assert not photos.exists()
    code, out, err = run(capsys, *asked)
    assert code == 0
    assert out == f"2 stored, 1 unlicensed ({photos})\n"
    assert "commons/3.jpg states no licence" in err
    assert len(read_manifest(photos / NAME)) == 3
    assert run(capsys, *asked)[1] == f"2 here, 1 unlicensed ({photos})\n"
    code, out, _ = run(capsys, "withdraw", "commons_1", "--reason", "asked to", "--manifest", photos / NAME)
    assert code == 0
    assert "commons_1 is withdrawn (asked to)" in out
    assert run(capsys, *asked, "--unlicensed")[1] == f"1 here, 1 stored, 1 withdrawn ({photos})\n"
    assert not (photos / "drag/commons/1.jpg").exists()
    code, out, _ = run(capsys, "credits", "--manifest", photos / NAME)
    assert out.splitlines()[0].startswith("1 photo: Jo 2, CC BY 4.0, https://commons.wikimedia.org/wiki/File:2.jpg")
    assert "Jo 1" not in out


def test_the_workspace_is_where_photos_and_their_manifest_lie_if_nothing_else_is_said(capsys, mirror):
    home = Path(os.environ["DRAGFACE_HOME"]) / "photos"
    assert run(capsys, "scrape", "--limit", 2)[0] == 0
    rows = read_manifest(home / NAME)
    assert [row.path(home).is_file() for row in rows] == [True, True]
    assert run(capsys, "withdraw", rows[0].id)[0] == 0
    assert run(capsys, "scrape", "--limit", 2)[0] == 0
    assert [row.path(home).is_file() for row in rows] == [False, True]
    assert rows[0].title not in run(capsys, "credits", "-o", home / "credits.html")[1]
    page = (home / "credits.html").read_text(encoding="utf-8")
    assert rows[1].author.replace("'", "&#x27;") in page


def test_a_named_manifest_is_kept_up_to_date_and_a_broken_line_of_it_is_named(capsys, mirror, tmp_path):
    manifest = tmp_path / "mine.csv"
    write_manifest(manifest, mirror.rows[:1])
    usual = ("scrape", "--manifest", manifest, "-o", tmp_path / "photos")
    assert run(capsys, *usual)[:2] == (0, f"1 stored ({tmp_path / 'photos'})\n")
    assert read_manifest(manifest)[0].stored_sha256
    manifest.write_text(manifest.read_text() + "broken line\n")
    for command in (
        usual,
        ("credits", "--manifest", manifest),
        ("withdraw", mirror.rows[0].id, "--manifest", manifest),
    ):
        code, _, err = run(capsys, *command)
        assert code == 2
        assert f"{manifest}, line 3: 1 cells instead of" in err
    assert manifest.read_text().splitlines()[-1] == "broken line"


def test_own_photos_come_from_a_folder(capsys, portraits, tmp_path):
    folder = portraits["astronaut"].parent
    code, out, _ = run(capsys, "scrape", "--source", "folder", "--query", folder, "-o", tmp_path)
    assert (code, out) == (0, f"2 stored ({tmp_path})\n")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--source", "commons"), "commons needs a query"),
        (("--source", "folder"), "folder, zip or gdown needs a query: the path"),
        (("--source", "zip", "--query", "nowhere.zip"), "nowhere.zip does not exist"),
        (("--source", "google", "--query", "x"), "GOOGLE_API_KEY"),
        (("--source", "instagram", "--query", "#drag"), "--cookies FILE"),
        (("--source", "folder", "--query", "/nowhere"), "/nowhere does not exist"),
        (("--query", "no such words"), "manifest has nothing that fits"),
        (("--query", "no such words", "--dry-run"), "manifest has nothing that fits"),
        (("--source", "flickr"), "There is no source 'flickr'"),
        (("--limit", "0"), "0 is not a whole number"),
    ],
)
@pytest.mark.usefixtures("mirror")
def test_what_a_source_lacks_is_one_sentence(arguments, part, capsys, monkeypatch, tmp_path):
    for name in ("GOOGLE_API_KEY", "GOOGLE_SEARCH_ENGINE"):
        monkeypatch.delenv(name, raising=False)
    code, out, err = run(capsys, "scrape", *arguments, "-o", tmp_path / "photos")
    assert (code, out) == (2, "")
    assert part in err


def test_without_a_network_the_search_is_one_sentence_and_photos_that_are_here_stay(
    capsys, mirror, tmp_path, monkeypatch
):
    assert run(capsys, "scrape", "--limit", 1, "-o", tmp_path)[0] == 0
    monkeypatch.setenv("DRAGFACE_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setattr("dragface_lib.network.BACKOFF", 0.001)
    assert run(capsys, "scrape", "--limit", 1, "-o", tmp_path)[1] == f"1 here ({tmp_path})\n"
    code, _, err = run(capsys, "scrape", "--source", "commons", "--query", "drag", "-o", tmp_path)
    assert code == 2
    assert "commons.wikimedia.org/w/api.php could not be fetched" in err


def test_credits_of_faces_and_of_a_run_name_only_the_photos_they_were_made_of(capsys, mirror, portraits, tmp_path):
    from dragface_lib.archives import pack
    from dragface_lib.crop.dataset import crop_photos
    from dragface_lib.train import TrainConfig

    woman, man = (
        Row(name, "selfie", f"{name}.jpg", f"https://p.example.org/{name}.jpg", licence="CC0", author=f"Jo {name}")
        for name in portraits
    )
    for row in (woman, man):
        mirror.serve(row.image_url, portraits[row.id].read_bytes())
    manifest = tmp_path / "m.csv"
    write_manifest(manifest, [woman, man])
    list(download([(woman, None)], tmp_path / "photos", progress=False))
    crop_photos(
        tmp_path / "photos" / "selfie", tmp_path / "faces", manifest=manifest, detector=DETECTOR, progress=False
    )
    archive = pack(tmp_path / "faces", tmp_path / "faces.zip")
    TrainConfig(faces=str(archive), run=str(tmp_path / "run")).save()
    for option in (("--faces", tmp_path / "faces"), ("--faces", archive), ("--run", tmp_path / "run")):
        code, out, _ = run(capsys, "credits", "--manifest", manifest, *option)
        assert code == 0
        assert "Jo astronaut" in out
        assert "grace" not in out
    code, _, err = run(capsys, "credits", "--manifest", manifest, "--faces", tmp_path)
    assert code == 2
    assert "does not say which photos" in err
    assert run(capsys, "credits", "--manifest", manifest, "--run", tmp_path / "nowhere")[0] == 2
