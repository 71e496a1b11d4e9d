"""Every photo gets a row that says what became of it; running again loses nothing and repeats nothing."""

from __future__ import annotations

import re
import shutil
import zipfile

import cv2
import numpy as np
import pytest
from detecting import DETECTOR
from PIL import Image

from dragface_lib.crop import crop_photos, dataset, kept_and_rejected, pack, read_crops, unpack
from dragface_lib.crop.curation import curate
from dragface_lib.errors import DragFaceError
from dragface_lib.images import open_photo, save_photo


@pytest.fixture
def photos(tmp_path, portraits):
    folder = tmp_path / "photos"
    (folder / "space").mkdir(parents=True)
    shutil.copy(portraits["astronaut"], folder / "space" / "astronaut.jpg")
    shutil.copy(portraits["grace_hopper"], folder / "hopper.jpg")
    return folder


@pytest.fixture
def faces(tmp_path):
    return tmp_path / "faces"


def crop(photos, faces, **options):
    rows = crop_photos(photos, faces, detector=DETECTOR, progress=False, **options)
    return {row.photo: row for row in rows}


def manifest(tmp_path, **rows):
    lines = ["id,domain,file,image_url,licence,split,split_group,status"]
    for name, (file, split, status) in rows.items():
        lines.append(f"{name},selfie,{file},https://example.org/{name},CC0 1.0,{split},{name},{status}")
    path = tmp_path / "manifest.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_each_photo_gets_a_row_with_a_status_and_a_reason(photos, faces):
    (photos / "text.jpg").write_text("not a picture")
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "cut.jpg").write_bytes((photos / "hopper.jpg").read_bytes()[:3000])
    save_photo(photos / "grey.png", np.full((300, 300, 3), 90, np.uint8))
    small = cv2.resize(open_photo(photos / "hopper.jpg"), None, fx=0.35, fy=0.35, interpolation=cv2.INTER_AREA)
    save_photo(photos / "small.jpg", small)
    rows = crop(photos, faces)
    assert {name: row.status for name, row in rows.items()} == {
        "cut.jpg": "unreadable",
        "empty.jpg": "unreadable",
        "grey.png": "no_face",
        "hopper.jpg": "kept",
        "small.jpg": "rejected",
        "space/astronaut.jpg": "kept",
        "text.jpg": "unreadable",
    }
    assert all(row.reason for row in rows.values() if row.status != "kept")
    assert "too small" in rows["small.jpg"].reason
    for row in rows.values():
        assert bool(row.face) == (row.status in ("kept", "rejected"))
        assert not row.face or Image.open(faces / row.face).size == (256, 256)
    assert rows["small.jpg"].face == "rejected/selfie/small.jpg"
    assert sorted(read_crops(faces), key=lambda row: row.photo) == sorted(rows.values(), key=lambda row: row.photo)
    (photos.parent / "selfie").symlink_to(photos)
    sheet = kept_and_rejected(faces, photos.parent)
    assert sheet.shape[1] == 7 * 128


def test_a_blurred_face_is_rejected(photos, faces):
    photo = open_photo(photos / "hopper.jpg")
    save_photo(photos / "blurred.jpg", cv2.GaussianBlur(photo, (0, 0), 6))
    assert "blurred" in crop(photos, faces)["blurred.jpg"].reason


def test_of_copies_only_the_best_is_kept_and_all_share_a_split(photos, faces):
    photo = open_photo(photos / "hopper.jpg")
    half = cv2.resize(photo, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    save_photo(photos / "again.png", half[10:-10, 20:])
    rows = crop(photos, faces)
    assert {name: row.status for name, row in rows.items()} == {
        "again.png": "rejected",
        "hopper.jpg": "kept",
        "space/astronaut.jpg": "kept",
    }
    copy, best = rows["again.png"], rows["hopper.jpg"]
    assert (copy.reason, copy.copy_of, copy.split_group) == ("a copy of hopper.jpg", "hopper.jpg", best.split_group)
    assert crop(photos, faces) == rows
    assert crop(photos, faces, gates={"copy": 1})["again.png"].status == "kept"


def test_other_thresholds_move_faces_without_opening_a_photo(photos, faces, monkeypatch):
    rows = crop(photos, faces)
    monkeypatch.setattr(dataset, "cut_all", lambda jobs, *_: [AssertionError() for _ in jobs])
    strict = crop(photos, faces, gates={"eyes": 60})
    assert re.fullmatch(r"too small: 4\d pixels between the eyes, 60 are needed", strict["space/astronaut.jpg"].reason)
    assert (faces / "rejected/selfie/space__astronaut.jpg").is_file()
    assert not (faces / rows["space/astronaut.jpg"].face).exists()
    assert crop(photos, faces) == rows
    assert (faces / rows["space/astronaut.jpg"].face).is_file()
    with pytest.raises(DragFaceError, match="no gate 'size'"):
        crop(photos, faces, gates={"size": 3})


def test_a_decision_by_hand_outlives_the_gates_and_cutting_anew(photos, faces):
    crop(photos, faces)
    curate(faces).decide({"selfie/hopper.jpg": "reject", "selfie/space__astronaut.jpg": "keep"})
    (faces / "rejected/selfie/hopper.jpg").unlink()
    rows = crop(photos, faces, gates={"eyes": 60})
    hopper, astronaut = rows["hopper.jpg"], rows["space/astronaut.jpg"]
    assert (hopper.status, hopper.decision) == ("rejected", "reject")
    assert (astronaut.status, astronaut.reason[:9]) == ("kept", "too small")  # what the gates hold against it stays
    assert all((faces / row.face).is_file() for row in rows.values())
    assert crop(photos, faces, gates={"eyes": 60}) == rows


def test_a_crops_file_that_somebody_cut_down_or_edited_is_mended(photos, faces):
    rows = crop(photos, faces)
    whole = (faces / "crops.csv").read_text()
    short = "photo,status,reason\nhopper.jpg,kept,\nspace/astronaut.jpg,rejected,I say so\n"
    (faces / "crops.csv").write_text(short)
    assert crop(photos, faces) == rows
    edited = whole.replace("kept", "nice", 1).replace("train", "holiday", 1).replace(",1,", ",one,")
    (faces / "crops.csv").write_text(edited)
    assert crop(photos, faces) == rows


def test_a_line_that_is_in_the_crops_file_twice_costs_no_face(photos, faces):
    rows = crop(photos, faces)
    table = faces / "crops.csv"
    table.write_text(table.read_text() + table.read_text().split("\n", 1)[1])
    assert crop(photos, faces) == rows
    assert all((faces / row.face).is_file() for row in rows.values() if row.status == "kept")
    assert len(read_crops(faces)) == len(rows)


def test_a_crops_file_that_cannot_be_opened_is_one_sentence(photos, faces):
    (faces / "crops.csv").mkdir(parents=True)
    with pytest.raises(DragFaceError, match="cannot be read"):
        crop(photos, faces)


def test_all_faces_of_a_photo_are_kept_in_files_of_their_own(tmp_path, photos, faces):
    hopper = open_photo(photos / "hopper.jpg")
    save_photo(tmp_path / "two" / "two.jpg", np.hstack([hopper, hopper[:, ::-1]]))
    rows = crop_photos(tmp_path / "two", faces, detector=DETECTOR, progress=False, gates={"copy": 1})
    assert [row.status for row in rows] == ["kept", "kept"]
    assert len({row.face for row in rows}) == 2


def test_the_manifest_decides_the_split_and_a_withdrawn_row_takes_the_face_away(tmp_path, photos, faces):
    rows = crop(
        photos, faces, manifest=manifest(tmp_path, a=("space/astronaut.jpg", "test", ""), h=("hopper.jpg", "train", ""))
    )
    assert (rows["space/astronaut.jpg"].split, rows["hopper.jpg"].split) == ("test", "train")
    face = faces / rows["space/astronaut.jpg"].face
    assert face.parent == faces / "selfie" / "test"
    rows = crop(
        photos,
        faces,
        manifest=manifest(tmp_path, a=("space/astronaut.jpg", "test", "withdrawn"), h=("hopper.jpg", "test", "")),
    )
    assert "space/astronaut.jpg" not in rows
    assert not face.exists()
    assert [path.name for path in faces.glob("*/*/*.jpg")] == ["hopper.jpg"]
    assert rows["hopper.jpg"].face.startswith("selfie/test/")  # the split changed, and the face moved with it


def test_photos_of_one_group_never_land_on_both_sides(tmp_path, photos, faces):
    for n in range(2):
        shutil.copy(photos / "hopper.jpg", photos / f"someone_{n}.jpg")
    rows = crop(photos, faces)
    assert rows["someone_0.jpg"].split == rows["someone_1.jpg"].split
    assert rows["someone_0.jpg"].split_group == rows["someone_1.jpg"].split_group


def test_running_again_does_nothing_but_mend_what_is_missing(photos, faces):
    rows = crop(photos, faces)
    kept = faces / rows["hopper.jpg"].face
    lost = faces / rows["space/astronaut.jpg"].face
    lost.unlink()
    before = kept.stat().st_mtime_ns
    assert crop(photos, faces) == rows
    assert kept.stat().st_mtime_ns == before
    assert lost.exists()


def test_the_other_domain_keeps_its_rows(photos, faces):
    crop(photos, faces)
    crop_photos(photos, faces, "drag", detector=DETECTOR, progress=False)
    assert [row.domain for row in read_crops(faces)].count("selfie") == 2
    assert [row.domain for row in read_crops(faces)].count("drag") == 2


@pytest.mark.parametrize("names", [("a/b.jpg", "a__b.jpg"), ("x.jpg", "x.png"), ("p q.jpg", "p_q.jpg")])
def test_photos_with_confusable_names_get_faces_of_their_own(tmp_path, photos, faces, names):
    hopper = open_photo(photos / "hopper.jpg")
    for name in names:
        save_photo(tmp_path / "more" / name, hopper)
    rows = crop(tmp_path / "more", faces)
    assert len({row.face.split("/")[-1] for row in rows.values()}) == 2


def test_a_folder_without_pictures_is_one_sentence(tmp_path, faces):
    (tmp_path / "none").mkdir()
    with pytest.raises(DragFaceError, match="holds no pictures"):
        crop_photos(tmp_path / "none", faces)
    with pytest.raises(DragFaceError, match="not a folder"):
        crop_photos(tmp_path / "nowhere", faces)


def test_pack_and_unpack_give_back_the_same_faces_and_leave_those_alone_that_are_there(tmp_path, photos, faces):
    crop(photos, faces)
    archive = pack(faces, tmp_path / "faces.zip")
    copy = unpack(archive, tmp_path / "copy")
    files = sorted(path.relative_to(faces) for path in faces.rglob("*") if path.is_file() and path.name != ".lock")
    assert sorted(path.relative_to(copy) for path in copy.rglob("*") if path.is_file()) == files
    assert all((copy / file).read_bytes() == (faces / file).read_bytes() for file in files)
    assert pack(copy, tmp_path / "again.zip").read_bytes() == archive.read_bytes()
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*.jpg")}
    assert unpack(archive, copy) == unpack(tmp_path / "nowhere.zip", copy) == copy
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*.jpg")} == before
    (copy / "crops.csv").unlink()  # unpacking was killed
    (copy / files[-1]).unlink()
    unpack(archive, copy)
    assert all((copy / file).read_bytes() == (faces / file).read_bytes() for file in files)


def test_a_damaged_archive_and_one_that_escapes_are_refused(tmp_path, photos, faces):
    crop(photos, faces)
    archive = pack(faces, tmp_path / "faces.zip")
    content = bytearray(archive.read_bytes())
    content[len(content) // 3] ^= 255
    (tmp_path / "bad.zip").write_bytes(content)
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    for name in ("bad.zip", "cut.zip"):
        with pytest.raises(DragFaceError, match="cannot be read|not a whole zip"):
            unpack(tmp_path / name, tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr("../outside.jpg", b"x")
    with pytest.raises(DragFaceError, match="outside"):
        unpack(tmp_path / "evil.zip", tmp_path / "out")
    assert not (tmp_path / "outside.jpg").exists()
    with pytest.raises(DragFaceError, match="no faces"):
        pack(tmp_path / "empty", tmp_path / "empty.zip")


def test_a_photo_named_after_a_group_of_the_manifest_shares_its_split(tmp_path, photos, faces):
    """A painted copy of a test person must not be trained on."""
    listed = manifest(tmp_path, portrait_7=("portraits/7.jpg", "test", ""), portrait_8=("portraits/8.jpg", "train", ""))
    for name in ("portrait_7.jpg", "portrait_7_1.jpg", "portrait_8_0.jpg"):
        shutil.copy(photos / "hopper.jpg", photos / name)
    rows = {row.photo: row for row in crop_photos(photos, faces, "drag", listed, DETECTOR, False, gates={"copy": 1})}
    assert {rows[name].split_group for name in ("portrait_7.jpg", "portrait_7_1.jpg")} == {"portrait_7"}
    assert {rows[name].split for name in ("portrait_7.jpg", "portrait_7_1.jpg")} == {"test"}
    assert (rows["portrait_8_0.jpg"].split, rows["portrait_8_0.jpg"].split_group) == ("train", "portrait_8")
