"""One reader for all zips: hostile ones are refused whole, damaged members cost themselves alone."""

from __future__ import annotations

import stat
import zipfile

import pytest

from dragface_lib import archives
from dragface_lib.archives import members, open_archive, read_member
from dragface_lib.errors import DragFaceError


def zip_of(path, contents, packing=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def names(path):
    with open_archive(path) as archive:
        return [member.filename for member in members(archive)]


def link(name):
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


def test_files_come_by_name_and_hidden_ones_do_not(tmp_path):
    contents = {"b.jpg": b"b", "a/": b"", "a\\c.jpg": b"c", "__MACOSX/a.jpg": b"x", ".x/b.jpg": b"x", "a/._c.jpg": b"x"}
    assert names(zip_of(tmp_path / "mine.zip", contents)) == ["a/c.jpg", "b.jpg"]
    with open_archive(tmp_path / "mine.zip") as archive:
        assert [read_member(archive, member) for member in members(archive)] == [b"c", b"b"]


@pytest.mark.parametrize("name", [b"\0.jpg", b"/////", b"././."])
def test_a_member_without_a_name_is_no_file(tmp_path, name):
    path = zip_of(tmp_path / "odd.zip", {"a.jpg": b"x", "ab.jp": b"y"})
    path.write_bytes(path.read_bytes().replace(b"ab.jp", name))
    if name.startswith(b"/"):
        with pytest.raises(DragFaceError, match="points outside"):
            names(path)
    else:
        assert names(path) == ["a.jpg"]


def test_names_in_utf_8_that_do_not_say_so_are_read_right(tmp_path):
    path = zip_of(tmp_path / "mac.zip", {"ZoXX.png": b"x"})
    path.write_bytes(path.read_bytes().replace(b"ZoXX", "Zoë".encode()))
    assert names(path) == ["Zoë.png"]


@pytest.mark.parametrize(
    ("member", "fault"),
    [
        ("../a.jpg", "points outside"),
        ("/a.jpg", "points outside"),
        ("a/../../b.jpg", "points outside"),
        ("a\\..\\b.jpg", "points outside"),
        ("C:a.jpg", "points outside"),
        (link("me.jpg"), "is a link"),
    ],
)
def test_an_archive_with_a_hostile_member_is_refused_whole(tmp_path, member, fault):
    zip_of(tmp_path / "evil.zip", {"good.jpg": b"x", member: b"x"})
    with pytest.raises(DragFaceError, match=fault):
        names(tmp_path / "evil.zip")


def test_an_archive_of_too_many_or_too_large_members_is_refused(tmp_path, monkeypatch):
    path = zip_of(tmp_path / "many.zip", {f"{n}.jpg": b"x" * 100 for n in range(4)})
    monkeypatch.setattr(archives, "MAX_UNPACKED", 399)
    with pytest.raises(DragFaceError, match="unpacks to more"):
        names(path)
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    with pytest.raises(DragFaceError, match="more than 3 members"):
        names(path)


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_cannot_be_read_costs_itself_alone(tmp_path, packing, portraits, monkeypatch):
    photo = portraits["astronaut"].read_bytes()
    contents = {"bomb.jpg": bytes(10_000_000), "damaged.jpg": photo, "large.jpg": photo + photo, "whole.jpg": photo}
    path = zip_of(tmp_path / "photos.zip", contents, packing)
    packed = bytearray(path.read_bytes())
    start = packed.index(b"damaged.jpg") + len(photo) // 2
    packed[start : start + 40] = bytes(255 - byte for byte in packed[start : start + 40])
    path.write_bytes(packed)
    monkeypatch.setattr(archives, "MAX_MEMBER", len(photo) if packing == zipfile.ZIP_STORED else 11_000_000)
    faults = []
    with open_archive(path) as archive:
        for member in members(archive):
            try:
                assert read_member(archive, member) == contents[member.filename]
            except DragFaceError as error:
                faults.append(str(error))
    expected = ["bomb.jpg", "damaged.jpg", *(["large.jpg"] if packing == zipfile.ZIP_STORED else [])]
    assert [fault.split(" in ")[0] for fault in faults] == expected


@pytest.mark.parametrize("kind", ["text", "cut", "empty", "missing", "with an odd name"])
def test_what_is_no_archive_is_one_sentence(tmp_path, kind):
    path = zip_of(tmp_path / "photos.zip", {"\u00e9.jpg": bytes(2000)})
    data = path.read_bytes()
    odd = data.replace("\u00e9".encode(), b"\xe9\xe9")  # the flag says UTF-8, the name is none
    path.write_bytes({"text": b"hello" * 99, "cut": data[:60], "empty": b"", "with an odd name": odd}.get(kind, data))
    if kind == "missing":
        path.unlink()
    with pytest.raises(DragFaceError, match=r"photos\.zip") as caught:
        names(path)
    assert "\n" not in str(caught.value)


def test_an_archive_with_a_password_is_refused(tmp_path):
    path = zip_of(tmp_path / "photos.zip", {"a.jpg": b"x"})
    packed = bytearray(path.read_bytes())
    packed[6] |= 1
    packed[packed.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(packed)
    with pytest.raises(DragFaceError, match="password"):
        names(path)


def test_a_member_packed_in_an_unknown_way_cannot_be_read(tmp_path):
    path = zip_of(tmp_path / "photos.zip", {"a.jpg": b"x"})
    packed = bytearray(path.read_bytes())
    packed[8] = packed[packed.rindex(b"PK\x01\x02") + 10] = 77
    path.write_bytes(packed)
    with open_archive(path) as archive, pytest.raises(DragFaceError, match="a.jpg in "):
        read_member(archive, *members(archive))
