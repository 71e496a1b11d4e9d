"""Sources: a manifest, a folder and a Drive link answer the same question in the same way."""

from __future__ import annotations

import stat
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dragface_lib.errors import DragFaceError
from dragface_lib.images import encode_photo
from dragface_lib.manifest import Row
from dragface_lib.scrape import gather
from dragface_lib.scrape.download import download
from dragface_lib.scrape.sources import Manifest, Own

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


def rows_of(source, *arguments) -> list[Row]:
    return [row for row, _ in source.search(*arguments)]


def names_of(source, *arguments) -> list[str]:
    return [row.file.partition("/")[2].partition("/")[2] for row in rows_of(source, *arguments)]


def test_the_manifest_is_searched_by_words_of_title_and_author(mirror):
    everything = rows_of(Manifest())
    assert everything == mirror.rows
    word = everything[-1].title.split()[-1]
    found = rows_of(Manifest(), word.upper())
    assert everything[-1] in found
    assert all(word in f"{row.title} {row.author} {row.file}" for row in found)
    assert rows_of(Manifest(), "no such words") == rows_of(Manifest(domain="drag")) == []
    assert rows_of(Manifest(), "", 1) == mirror.rows[:1]


def test_a_folder_gives_its_pictures_with_names_that_stay(portraits):
    folder = portraits["astronaut"].parent
    assert names_of(Own(), folder) == ["astronaut.jpg", "grace_hopper.jpg"]
    assert [path for _, path in Own().search(folder)] == list(portraits.values())
    rows = rows_of(Own(), folder)
    assert {(row.licence, row.source, row.query) for row in rows} == {("own photo", "own", str(folder.resolve()))}
    assert rows == rows_of(Own(), folder)
    assert len({row.id for row in rows}) == 2
    with pytest.raises(DragFaceError, match="does not exist"):
        Own().search(folder / "nowhere")


def test_a_drive_folder_is_fetched_once_and_only_its_pictures_count(gdown):
    drive = Own()
    rows = rows_of(drive, LINK)
    assert [row.title for row in rows] == ["astronaut", "grace_hopper"]
    assert {row.query for row in rows} == {LINK}
    assert gdown.asked == [("folder", "1AbC_d-9")]


@pytest.mark.parametrize(
    "link", ["https://drive.google.com/file/d/1AbC_d-9/view?usp=sharing", "https://drive.google.com/open?id=1AbC_d-9"]
)
def test_a_link_to_one_file_of_drive_works_too(link, gdown):
    assert names_of(Own(), link) == ["one.jpg"]
    assert gdown.asked == [("file", "1AbC_d-9")]


def test_photos_behind_a_drive_link_end_up_in_the_folder_and_nowhere_else(gdown, portraits, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    source = Own()
    [first, _] = [row for row, _ in download(source.search(LINK), tmp_path / "mine", progress=False)]
    del source
    assert first.path(tmp_path / "mine").read_bytes() in [path.read_bytes() for path in portraits.values()]
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    "link", ["https://example.org/folders/1", "http://drive.google.com/drive/folders/1", "https://drive.google.com/"]
)
def test_what_is_no_drive_link_is_refused_without_asking_anyone(link, gdown):
    with pytest.raises(DragFaceError, match="is not the link of a Drive folder"):
        Own().search(link)
    assert gdown.asked == []


def test_a_link_that_is_not_shared_is_one_sentence(gdown):
    def refuse(**_):
        raise RuntimeError("Cannot retrieve the public link of the file.\nYou may need to change the permission")

    gdown.download_folder = refuse
    with pytest.raises(DragFaceError, match=r"cannot be fetched \(Cannot retrieve the public link") as caught:
        Own().search(LINK)
    assert "\n" not in str(caught.value)


def test_what_drive_gave_before_a_quota_stopped_it_is_kept_and_the_next_try_goes_on(monkeypatch, tmp_path):
    """gdown as its source has it: a file that is there is left out with `resume`, and the first refusal is an error."""
    fetched, quota = [], [12]

    def download_folder(id, output, resume=False, **_):
        for number in range(20):
            path = Path(output) / "sub" / f"{number}.jpg"
            if not (resume and path.is_file()):
                if len(fetched) == quota[0]:
                    raise RuntimeError("Too many users have viewed or downloaded this file recently.")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode_photo(np.full((40, 40, 3), number * 9, np.uint8)))
                fetched.append(number)

    monkeypatch.setitem(sys.modules, "gdown", SimpleNamespace(download_folder=download_folder))
    first = gather(tmp_path, "gdown", "drag", LINK)
    assert first.counts == {"stored": 12}
    assert "Only 12 photos came" in first.notes[0]
    assert "run it again, which goes on with what is missing" in first.notes[0]
    quota[0] = 99
    second = gather(tmp_path, "gdown", "drag", LINK)
    assert second.counts == {"here": 12, "stored": 8}
    assert (second.notes, fetched) == ([], list(range(20)))
    assert not list((tmp_path / ".unfinished").iterdir())


def test_a_folder_too_large_for_this_gdown_is_answered_with_what_helps(gdown):
    class FolderContentsMaximumLimitError(Exception):
        """As gdown 5.2.2 raises it for fifty files and more."""

    def refuse(**_):
        raise FolderContentsMaximumLimitError("The gdrive folder with url: x has more than 50 files")

    gdown.download_folder = refuse
    with pytest.raises(DragFaceError, match="50 files or more.*: share one zip, or update gdown"):
        Own().search(LINK)


def test_a_drive_folder_without_pictures_is_one_sentence(gdown):
    gdown.download_folder = lambda **_: None
    with pytest.raises(DragFaceError, match="holds no pictures"):
        Own().search(LINK)


def test_without_gdown_the_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(DragFaceError, match="pip install gdown"):
        Own().search(LINK)


def zip_of(path: Path, members: dict[str, bytes], **options) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zip_gives_its_pictures_and_nothing_else(portraits, tmp_path):
    photo = portraits["astronaut"].read_bytes()
    members = {"a/me.jpg": photo, "b/me.JPG": photo, "notes.txt": b"x", "__MACOSX/a/._me.jpg": b"x", "run.sh": b"rm"}
    archive, source = zip_of(tmp_path / "mine.zip", members), Own("drag")
    rows, paths = zip(*source.search(archive), strict=True)
    assert names_of(Own(), archive) == ["a/me.jpg", "b/me.JPG"]
    assert {row.domain for row in rows} == {"drag"}
    assert paths[0].read_bytes() == photo
    folder = paths[0].parents[1]
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["me.JPG", "me.jpg"]
    assert rows_of(Own("drag"), archive) == list(rows)
    del source
    assert not folder.exists()


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize("member", ["../outside.jpg", "/etc/outside.jpg", link("me.jpg")])
def test_a_hostile_archive_leaves_nothing_behind(member, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    path = zip_of(tmp_path / "evil.zip", {"good.jpg": b"x", member: b"/etc/passwd"})
    with pytest.raises(DragFaceError, match="evil.zip"):
        Own().search(path)
    assert [found.name for found in tmp_path.rglob("*") if found.is_file()] == ["evil.zip"]


def test_an_archive_that_is_none_or_holds_no_pictures_is_one_sentence(tmp_path):
    for path in (tmp_path / "nowhere.zip", zip_of(tmp_path / "texts.zip", {"a.txt": b"x"})):
        with pytest.raises(DragFaceError, match=path.name):
            Own().search(path)


def test_a_zip_behind_a_drive_link_is_unpacked_and_its_rows_keep_their_names(gdown, portraits, tmp_path):
    photo = portraits["astronaut"].read_bytes()

    def download(id, output, **_):
        zip_of(Path(output) / "dataset.zip", {"a/me.jpg": photo})

    gdown.download = download
    link = "https://drive.google.com/file/d/1AbC_d-9/view"
    assert names_of(Own(), link) == ["a/me.jpg"]
    assert rows_of(Own(), link) == rows_of(Own(), link)
