"""Sources: a manifest, a folder and a Drive link answer the same question in the same way."""

from __future__ import annotations

import os
import stat
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from dragface_lib.errors import DragFaceError
from dragface_lib.scrape import Drive, Folder, Manifest, Zip, sources, take_own_photos

LINK = "https://drive.google.com/drive/folders/1AbC_d-9?usp=sharing"


@pytest.fixture
def gdown(monkeypatch, portraits):
    """A stand-in for gdown: puts the two portraits and a text where Drive's files go, and notes what was asked."""
    asked = []

    def download_folder(id, output, **_):
        asked.append(("folder", id))
        for path in portraits.values():
            (Path(output) / path.name).write_bytes(path.read_bytes())
        (Path(output) / "notes.txt").write_text("not a picture")

    def download(id, output, **_):
        asked.append(("file", id))
        (Path(output) / "one.jpg").write_bytes(portraits["astronaut"].read_bytes())

    stand_in = SimpleNamespace(download_folder=download_folder, download=download, asked=asked)
    monkeypatch.setitem(sys.modules, "gdown", stand_in)
    return stand_in


def test_the_manifest_is_searched_by_words_of_title_and_author(mirror):
    everything = Manifest().search()
    assert everything == mirror.rows
    word = everything[-1].title.split()[-1]
    found = Manifest().search(word.upper())
    assert everything[-1] in found
    assert all(word in f"{row.title} {row.author} {row.file}" for row in found)
    assert Manifest().search("no such words") == []
    assert Manifest(domain="drag").search() == []


def test_a_limit_gives_the_first_rows(mirror):
    assert Manifest().search(limit=1) == mirror.rows[:1]
    assert Manifest().search(limit=0) == []


def test_a_folder_gives_its_pictures_with_names_that_stay(portraits):
    folder = portraits["astronaut"].parent
    rows = Folder(folder).search()
    assert [row.file for row in rows] == ["astronaut.jpg", "grace_hopper.jpg"]
    assert all(row.source == folder / row.file and row.licence == "own photo" for row in rows)
    assert rows == Folder(folder).search()
    assert len({row.id for row in rows}) == 2


def test_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(DragFaceError, match="is not a folder"):
        Folder(tmp_path / "nowhere").search()


def test_a_drive_folder_is_fetched_once_and_only_its_pictures_count(gdown):
    drive = Drive(LINK)
    assert [row.file for row in drive.search()] == ["astronaut.jpg", "grace_hopper.jpg"]
    assert [row.file for row in drive.search("grace")] == ["grace_hopper.jpg"]
    assert gdown.asked == [("folder", "1AbC_d-9")]


@pytest.mark.parametrize(
    "link", ["https://drive.google.com/file/d/1AbC_d-9/view?usp=sharing", "https://drive.google.com/open?id=1AbC_d-9"]
)
def test_a_link_to_one_file_of_drive_works_too(link, gdown):
    assert [row.file for row in Drive(link).search()] == ["one.jpg"]
    assert gdown.asked == [("file", "1AbC_d-9")]


def test_photos_behind_a_drive_link_end_up_in_the_folder_and_nowhere_else(gdown, portraits, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    results = take_own_photos(LINK, tmp_path / "own", progress=False)
    assert [result.status for result in results] == ["stored", "stored"]
    assert (tmp_path / "own" / "astronaut.jpg").read_bytes() == portraits["astronaut"].read_bytes()
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    "link", ["https://example.org/folders/1", "http://drive.google.com/drive/folders/1", "https://drive.google.com/"]
)
def test_what_is_no_drive_link_is_refused_without_asking_anyone(link, gdown):
    with pytest.raises(DragFaceError, match="is not the link of a Drive folder"):
        Drive(link).search()
    assert gdown.asked == []


def test_a_link_that_is_not_shared_is_one_sentence(gdown):
    def refuse(**_):
        raise RuntimeError("Cannot retrieve the public link of the file.\nYou may need to change the permission")

    gdown.download_folder = refuse
    with pytest.raises(DragFaceError, match=r"cannot be fetched \(Cannot retrieve the public link") as caught:
        Drive(LINK).search()
    assert "\n" not in str(caught.value)


def test_a_drive_folder_without_pictures_is_one_sentence(gdown):
    gdown.download_folder = lambda **_: None
    with pytest.raises(DragFaceError, match="has no pictures"):
        Drive(LINK).search()


def test_without_gdown_the_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(DragFaceError, match="pip install gdown"):
        Drive(LINK).search()


def zip_of(path: Path, members: dict[str, bytes], **options) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zip_gives_its_pictures_and_nothing_else(portraits, tmp_path):
    photo = portraits["astronaut"].read_bytes()
    members = {"a/me.jpg": photo, "b/me.JPG": photo, "notes.txt": b"x", "__MACOSX/a/._me.jpg": b"x", "run.sh": b"rm"}
    source = Zip(zip_of(tmp_path / "mine.zip", members), "drag")
    rows = source.search()
    assert [row.file for row in rows] == ["a/me.jpg", "b/me.JPG"]
    assert rows == source.search()
    assert {row.domain for row in rows} == {"drag"}
    assert rows[0].source.read_bytes() == photo
    folder = rows[0].source.parents[1]
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["me.JPG", "me.jpg"]
    again = Zip(tmp_path / "mine.zip", "drag").search()
    assert [row.id for row in again] == [row.id for row in rows]
    del source
    assert not folder.exists()


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    ("member", "content", "part"),
    [
        ("../outside.jpg", b"x", "points outside"),
        ("/etc/outside.jpg", b"x", "points outside"),
        ("a/../../outside.jpg", b"x", "points outside"),
        ("a\\..\\outside.jpg", b"x", "points outside"),
        ("C:outside.jpg", b"x", "points outside"),
        (link("me.jpg"), b"/etc/passwd", "is a link"),
        ("bomb.jpg", b"\0" * 2_000_000, "grows more than 100 times"),
    ],
)
def test_a_hostile_archive_is_refused_whole_before_anything_is_written(member, content, part, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    path = tmp_path / "evil.zip"
    zip_of(path, {"good.jpg": b"x", member: content}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(DragFaceError, match=part):
        Zip(path).search()
    assert [found.name for found in tmp_path.rglob("*") if found.is_file()] == ["evil.zip"]


def test_an_archive_with_too_many_or_too_large_members_is_refused(tmp_path, monkeypatch):
    path = zip_of(tmp_path / "many.zip", {f"{n}.jpg": b"x" * 100 for n in range(4)})
    monkeypatch.setattr(sources, "MAX_UNPACKED", 399)
    with pytest.raises(DragFaceError, match="larger than the disk has room for"):
        Zip(path).search()
    monkeypatch.setattr(sources, "MAX_MEMBERS", 3)
    with pytest.raises(DragFaceError, match="more than 3 members"):
        Zip(path).search()


@pytest.mark.parametrize(
    "kind",
    ["text", "cut", "empty", "missing", "without pictures", "with a password", "damaged inside", "with an odd name"],
)
def test_what_is_no_archive_of_pictures_is_one_sentence(kind, portraits, tmp_path):
    path = zip_of(tmp_path / "photos.zip", {"a.jpg": portraits["astronaut"].read_bytes()})
    data = path.read_bytes()
    if kind == "with a password":
        locked = bytearray(data)
        locked[6] |= 1
        locked[data.rindex(b"PK\x01\x02") + 8] |= 1
        data = bytes(locked)
    if kind == "damaged inside":
        zip_of(path, {"a.jpg": portraits["astronaut"].read_bytes()}, compression=zipfile.ZIP_LZMA)
        packed = bytearray(path.read_bytes())
        packed[60:900] = bytes(255 - value for value in packed[60:900])
        data = bytes(packed)
    if kind == "with an odd name":  # the flag says UTF-8, the name is none
        zip_of(path, {"\u00e9.jpg": b"x"})
        data = path.read_bytes().replace("\u00e9".encode(), b"\xe9\xe9")
    path.write_bytes({"text": b"hello" * 99, "cut": data[:9000], "empty": b""}.get(kind, data))
    if kind == "missing":
        path.unlink()
    if kind == "without pictures":
        zip_of(path, {"a.txt": b"x"})
    with pytest.raises(DragFaceError, match="photos.zip") as caught:
        Zip(path).search()
    assert "\n" not in str(caught.value)


def test_a_zip_behind_a_drive_link_is_unpacked_and_its_rows_keep_their_names(gdown, portraits, tmp_path):
    photo = portraits["astronaut"].read_bytes()

    def download(id, output, **_):
        zip_of(Path(output) / "dataset.zip", {"a/me.jpg": photo})

    gdown.download = download
    link = "https://drive.google.com/file/d/1AbC_d-9/view"
    first, second = Drive(link).search(), Drive(link).search()
    assert [row.file for row in first] == ["a/me.jpg"]
    assert [row.id for row in first] == [row.id for row in second]


def test_a_broken_row_of_a_manifest_is_named_and_the_others_are_found(mirror, tmp_path):
    path = tmp_path / "m.csv"
    lines = Path(os.environ["DRAGFACE_MANIFEST"]).read_text(encoding="utf-8").splitlines(keepends=True)[:3]
    path.write_text(lines[0] + lines[1].replace("selfie", "anime", 1) + lines[2], encoding="utf-8")
    source = Manifest(path)
    assert source.search() == mirror.rows[1:2]
    assert len(source.faults) == 1
    assert "line 2: domain is 'anime'" in source.faults[0]
