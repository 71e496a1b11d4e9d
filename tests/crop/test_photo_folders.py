"""Folders and manifests as people have them: parts of a folder, both domains, odd names, faces among the photos."""

from __future__ import annotations

import hashlib
import os
import shutil

import numpy as np
import pytest
from detecting import DETECTOR
from PIL import Image

from dragface_lib.crop import crop_photos, kept_and_rejected, read_crops
from dragface_lib.crop.align import aligned_face
from dragface_lib.crop.detect import Box, open_detector
from dragface_lib.crop.find import find_faces
from dragface_lib.crop.measure import measure
from dragface_lib.crop.quality import fault
from dragface_lib.crop.table import TEST_SHARE
from dragface_lib.errors import DragFaceError
from dragface_lib.images import open_photo, save_photo


@pytest.fixture
def photos(tmp_path, portraits):
    folder = tmp_path / "photos"
    (folder / "portraits" / "female").mkdir(parents=True)
    shutil.copy(portraits["astronaut"], folder / "portraits" / "female" / "0.jpg")
    return folder


@pytest.fixture
def faces(tmp_path):
    return tmp_path / "faces"


def crop(photos, faces, domain="selfie", **options):
    return crop_photos(photos, faces, domain, detector=DETECTOR, progress=False, **options)


def manifest(tmp_path, *rows):
    """A manifest of (domain, file, split, status) rows."""
    lines = ["id,domain,file,image_url,licence,split,split_group,status"]
    for number, (domain, file, split, status) in enumerate(rows):
        lines.append(f"{number},{domain},{file},https://example.org/{number},CC0,{split},group{number},{status}")
    path = tmp_path / "manifest.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def all_for_testing():
    """A name whose hash says that it is for testing."""
    names = (f"photo {number}x" for number in range(1000))
    return next(n for n in names if hashlib.sha256(n.encode()).digest()[0] / 256 < TEST_SHARE - 0.01)


@pytest.mark.parametrize("part", ["", "portraits", "portraits/female"])
def test_a_part_of_the_folder_gets_the_splits_of_the_whole(tmp_path, photos, faces, part):
    listed = manifest(
        tmp_path, ("selfie", "portraits/female/0.jpg", "test", ""), ("selfie", "portraits/male/0.jpg", "train", "")
    )
    (row,) = crop(photos / part, faces, manifest=listed)
    assert (row.split, row.split_group) == ("test", "group0")


def test_a_withdrawn_photo_is_left_out_of_a_part_of_the_folder_too(tmp_path, photos, faces):
    crop(photos / "portraits" / "female", faces)
    listed = manifest(
        tmp_path,
        ("selfie", "portraits/female/0.jpg", "", "withdrawn"),
        ("selfie", "portraits/male/0.jpg", "train", ""),
    )
    assert crop(photos / "portraits" / "female", faces, manifest=listed) == []
    assert list(faces.rglob("*.jpg")) == []


def test_each_domain_goes_by_its_own_rows(tmp_path, photos, faces):
    file = "portraits/female/0.jpg"
    listed = manifest(tmp_path, ("selfie", file, "test", ""), ("drag", file, "train", "withdrawn"))
    assert [row.split for row in crop(photos, faces, manifest=listed)] == ["test"]
    assert crop(photos, faces, "drag", manifest=listed) == []
    listed = manifest(tmp_path, ("selfie", file, "", "withdrawn"), ("drag", file, "train", ""))
    assert crop(photos, faces, manifest=listed) == []


def test_the_row_of_exactly_this_path_wins(tmp_path, photos, faces, portraits):
    shutil.copy(portraits["grace_hopper"], photos / "hopper.jpg")
    listed = manifest(tmp_path, ("selfie", "photos/hopper.jpg", "train", ""), ("selfie", "hopper.jpg", "test", ""))
    assert {row.photo: row.split for row in crop(photos, faces, manifest=listed)}["hopper.jpg"] == "test"


def test_there_is_always_a_face_to_train_on(tmp_path, photos, faces, portraits):
    folder = tmp_path / "few"
    folder.mkdir()
    name = all_for_testing()
    for number in range(2):
        shutil.copy(portraits["astronaut"], folder / f"{name}_{number}.jpg")
    rows = crop(folder, faces)
    assert [row.split for row in rows] == ["train", "train"]  # one group
    before = {path: path.stat().st_mtime_ns for path in faces.rglob("*.jpg")}
    assert len(before) == 2
    assert crop(folder, faces) == rows
    assert {path: path.stat().st_mtime_ns for path in faces.rglob("*.jpg")} == before
    shutil.copytree(photos, folder / "more")
    rows = {row.photo: row.split for row in crop(folder, faces)}
    assert rows[f"{name}_0.jpg"] == "train"  # what was trained on never becomes a test


def test_a_manifest_that_wants_test_faces_only_is_obeyed(tmp_path, photos, faces):
    listed = manifest(tmp_path, ("selfie", "portraits/female/0.jpg", "test", ""))
    assert [row.split for row in crop(photos, faces, manifest=listed)] == ["test"]


def test_faces_written_among_the_photos_are_not_cropped_again(photos):
    for _ in range(2):
        assert len(crop(photos, photos / "faces")) == 1
    face = next((photos / "faces").rglob("*.jpg"))
    content = face.read_bytes()
    with pytest.raises(DragFaceError, match="where the faces are written"):
        crop(face.parent, photos / "faces")
    assert face.read_bytes() == content


def test_folders_links_and_pipes_named_like_pictures_are_named_and_skipped(photos, faces):
    (photos / "folder.jpg").mkdir()
    shutil.copy(photos / "portraits" / "female" / "0.jpg", photos / "folder.jpg" / "within.jpg")
    (photos / "link.jpg").symlink_to(photos / "gone.jpg")
    (photos / "round.jpg").symlink_to(photos / "round.jpg")
    os.mkfifo(photos / "pipe.jpg")
    rows = {row.photo: row for row in crop(photos, faces, gates={"copy": 1})}
    odd = {name: row for name, row in rows.items() if row.status != "kept"}
    assert {name: row.status for name, row in odd.items()} == dict.fromkeys(
        ["folder.jpg", "link.jpg", "pipe.jpg", "round.jpg"], "unreadable"
    )
    assert "is a folder" in rows["folder.jpg"].reason
    assert "is a link to a file that is gone" in rows["link.jpg"].reason
    assert sorted(rows.keys() - odd.keys()) == ["folder.jpg/within.jpg", "portraits/female/0.jpg"]
    assert {row.photo: row for row in crop(photos, faces, gates={"copy": 1})} == rows
    shutil.copy(photos / "portraits" / "female" / "0.jpg", photos / "gone.jpg")
    assert {row.photo: row.status for row in crop(photos, faces, gates={"copy": 1})}["link.jpg"] == "kept"


def test_tiny_huge_grey_and_turned_pictures_each_get_what_they_deserve(photos, faces):
    photo = open_photo(photos / "portraits" / "female" / "0.jpg")
    shutil.rmtree(photos / "portraits")
    Image.fromarray(photo).crop((130, 20, 310, 200)).resize((24, 24)).save(photos / "tiny.png")
    huge = Image.new("RGB", (8000, 6000), "grey")
    huge.paste(Image.fromarray(photo).resize((4500, 4500)), (1500, 0))
    huge.save(photos / "huge.jpg", quality=85)
    Image.fromarray(photo).convert("L").save(photos / "grey.png")
    Image.fromarray(photo).convert("I;16").point(lambda value: value * 257).save(photos / "grey16.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter clockwise
    Image.fromarray(np.rot90(photo)).save(photos / "phone.jpg", exif=exif, quality=95)
    Image.fromarray(np.rot90(photo)).save(photos / "lying.png")
    rows = {row.photo: row for row in crop(photos, faces, gates={"copy": 1})}
    assert rows.keys() == {"tiny.png", "huge.jpg", "grey.png", "grey16.png", "phone.jpg", "lying.png"}
    assert "too small" in rows["tiny.png"].reason
    for name in ("grey.png", "grey16.png"):
        assert (rows[name].status, rows[name].reason) == ("rejected", "greyscale")
    eyes = rows["grey.png"].numbers["eyes"]
    for name, scale in (("huge.jpg", 4500 / 512), ("phone.jpg", 1), ("lying.png", 1)):
        assert rows[name].status == "kept", rows[name].reason
        assert rows[name].numbers["eyes"] == pytest.approx(eyes * scale, rel=0.03)
        face = open_photo(faces / rows[name].face)
        apart = np.abs(face.astype(int) - aligned_face(photo, find_faces(photo, open_detector(DETECTOR))[0].points))
        assert apart.mean() < 8


def test_flat_and_narrow_pictures_are_left_out_by_name_and_the_others_kept(photos, faces, capsys):
    odd = {"black.png": "black", "white.gif": "white", "one.bmp": "red", "line.png": "white", "button.jfif": "grey"}
    sizes = {"one.bmp": (1, 1), "line.png": (600, 1), "button.jfif": (100, 20)}
    for name, colour in odd.items():
        kind = {"format": "JPEG"} if name.endswith("jfif") else {}
        Image.new("RGB", sizes.get(name, (300, 200)), colour).save(photos / name, **kind)
    (photos / "notes.txt").write_text("about the photos")
    rows = {row.photo: (row.status, row.reason) for row in crop(photos, faces)}
    assert rows.pop("portraits/female/0.jpg") == ("kept", "")
    assert rows == dict.fromkeys(odd, ("no_face", "no face was found"))
    assert "1 file is no photo: notes.txt" in capsys.readouterr().err


def test_names_that_are_not_utf8_are_names(photos, faces):
    os.rename(photos / "portraits" / "female" / "0.jpg", os.fsencode(photos) + b"/\xff\xfe.jpg")
    (photos / os.fsdecode(b"\xfa.jpg")).write_text("no picture")
    rows = crop(photos, faces)
    assert sorted(row.status for row in rows) == ["kept", "unreadable"]
    assert sorted(read_crops(faces), key=str) == sorted(rows, key=str)
    assert crop(photos, faces) == rows
    (photos.parent / "selfie").symlink_to(photos)
    assert kept_and_rejected(faces, photos.parent).shape[1] == 2 * 128


def test_half_a_face_is_rejected_and_a_whole_one_at_the_border_kept(tmp_path, portraits, faces):
    photo = open_photo(portraits["astronaut"])  # eyes at (201, 101) and (246, 104), chin at 190
    save_photo(tmp_path / "p" / "half.png", photo[:, :240][:, 60:])
    save_photo(tmp_path / "p" / "mouth.png", photo[:140])
    save_photo(tmp_path / "p" / "whole.png", photo[:205, 130:310])

    class HalfFace:
        """Half a face is more than the Haar cascade finds."""

        def __init__(self, x, y):
            self.box = Box(x, y, 100.0, 105.0, 1.0)

        def find(self, rgb, *how):
            return [self.box]

    reasons = {}
    for name, x in (("half", 118), ("mouth", 178), ("whole", 48)):
        part = open_photo(tmp_path / "p" / f"{name}.png")
        for found in find_faces(part, HalfFace(float(x), 65.0)):
            reasons[name] = fault(measure(part, found, aligned_face(part, found.points)))
    assert reasons["half"] == "cut off: 100% of the face lies outside the photo"  # so does an eye
    assert reasons["mouth"].startswith("cut off: ")
    assert reasons["whole"] == ""


def test_photos_are_never_taken_for_faces(tmp_path, portraits):
    """Faces are written into folders below the given one; photos that lie there have to stay."""
    for name in ("photos/selfie/anna.jpg", "photos/selfie/holiday/anna.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(portraits["astronaut"], tmp_path / name)
    with pytest.raises(DragFaceError, match="name another folder for the faces"):
        crop(tmp_path / "photos" / "selfie", tmp_path / "photos")
    crop(tmp_path / "photos", tmp_path / "photos")
    crop(tmp_path / "photos", tmp_path / "photos")
    assert (tmp_path / "photos/selfie/holiday/anna.jpg").exists()
    assert (tmp_path / "photos/selfie/anna.jpg").exists()


def test_the_last_photo_of_a_folder_can_be_withdrawn(tmp_path, photos, faces):
    crop(photos, faces, manifest=manifest(tmp_path, ("selfie", "portraits/female/0.jpg", "train", "")))
    assert list(faces.rglob("*.jpg"))
    (photos / "portraits" / "female" / "0.jpg").unlink()  # as scraping does
    gone = manifest(tmp_path, ("selfie", "portraits/female/0.jpg", "train", "withdrawn"))
    with pytest.raises(DragFaceError, match="holds no pictures"):
        crop(photos, faces, manifest=gone)
    assert not list(faces.rglob("*.jpg"))
    assert read_crops(faces) == []


def test_a_face_deleted_by_hand_is_left_out_of_the_sheet(photos, faces):
    (photos / "text.jpg").write_text("no picture")
    crop(photos, faces)
    next(faces.rglob("*.jpg")).unlink()
    (photos.parent / "selfie").symlink_to(photos)
    assert kept_and_rejected(faces, photos.parent).shape[1] == 128  # the unreadable one alone


def test_a_crops_file_of_something_else_is_not_overwritten(photos, faces):
    crop(photos, faces)
    good = (faces / "crops.csv").read_bytes()
    for content in (b"\xff\xff\x00", b"name,size\na,1\n", good + b"short,line\n"):
        (faces / "crops.csv").write_bytes(content)
        with pytest.raises(DragFaceError, match="move the table away"):
            crop(photos, faces)
        assert (faces / "crops.csv").read_bytes() == content
    (faces / "crops.csv").write_bytes(b"\xef\xbb\xbf" + good)  # as a spreadsheet saves it
    assert len(read_crops(faces)) == 1
