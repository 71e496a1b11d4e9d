"""Two domains of different people, and test pairs that match pixel for pixel outside the make-up."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from detecting import DETECTOR

from dragface_lib.__main__ import main
from dragface_lib.crop import crop_photos, pack, read_crops, unpack
from dragface_lib.errors import DragFaceError
from dragface_lib.images import open_photo, save_photo
from dragface_lib.practice import clear_practice, practice_faces
from dragface_lib.practice import faces as practice_module

HEAD = "id,domain,file,image_url,licence,split,split_group,status\n"


@pytest.fixture(scope="module")
def photos(tmp_path_factory, portraits):
    """Three people, of whom one has two photos and one is for testing, a picture of nobody, and a text."""
    folder = tmp_path_factory.mktemp("people") / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("anna_1", "anna_2", "more/tina"):
        shutil.copy(portraits["astronaut"], folder / f"{name}.jpg")
    shutil.copy(portraits["grace_hopper"], folder / "grace.jpg")
    save_photo(folder / "wall.png", np.full((300, 300, 3), 90, np.uint8))
    (folder / "text.jpg").write_text("not a picture")
    return folder


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Says that tina is for testing."""
    people = {"anna_1": "train", "anna_2": "train", "more/tina": "test", "grace": "train"}
    lines = [
        f"{name.replace('/', '_')},selfie,{name}.jpg,https://example.org/{n},CC0 1.0,{split},{name.split('_')[0]},\n"
        for n, (name, split) in enumerate(people.items())
    ]
    path = tmp_path_factory.mktemp("manifest") / "manifest.csv"
    path.write_text(HEAD + "".join(lines))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory, photos, manifest):
    """The finished data set, which no test may change."""
    faces = tmp_path_factory.mktemp("whole") / "faces"
    build(photos, faces, manifest)
    return faces


@pytest.fixture
def faces(tmp_path, whole):
    """A copy of it."""
    return Path(shutil.copytree(whole, tmp_path / "faces"))


def build(photos, faces, manifest=None, **options):
    rows = practice_faces(photos, faces, manifest, detector=DETECTOR, progress=False, **options)
    return {row.photo: row for row in rows}


def files(faces):
    return {
        path.relative_to(faces).as_posix(): path.read_bytes()
        for path in Path(faces).rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_people_are_in_one_domain_only_and_each_photo_has_a_row(whole):
    rows = {row.photo: row for row in read_crops(whole)}
    kept = {name: row for name, row in rows.items() if row.status == "kept"}
    assert set(kept) == {"anna_1.jpg", "anna_2.jpg", "more/tina.jpg", "grace.jpg"}
    assert (rows["wall.png"].status, rows["text.jpg"].status) == ("no_face", "unreadable")
    assert all(row.reason for row in rows.values() if row.status != "kept")
    assert rows["anna_1.jpg"].domain == rows["anna_2.jpg"].domain
    domains = {split: {row.domain for row in kept.values() if row.split == split} for split in ("train", "test")}
    assert domains["train"] == {"selfie", "drag"}
    people = {
        domain: {row.split_group for row in kept.values() if row.domain == domain} for domain in ("selfie", "drag")
    }
    assert not people["selfie"] & people["drag"]
    for row in kept.values():
        assert row.face.startswith(f"{row.domain}/{row.split}/")
        assert open_photo(whole / row.face).shape == (256, 256, 3)


def test_running_again_mends_what_is_missing_and_the_archive_holds_the_pairs(photos, manifest, faces, tmp_path):
    rows = {row.photo: row for row in read_crops(faces)}
    before = files(faces)
    lost = faces / rows["grace.jpg"].face
    lost.unlink()
    assert build(photos, faces, manifest) == rows
    assert files(faces) == before

    archive = pack(faces, tmp_path / "faces.zip")
    unpack(archive, tmp_path / "copy")
    assert (tmp_path / "copy" / "pairs" / "drag" / "more__tina.png").exists()


def test_pairs_differ_in_the_make_up_alone(whole):
    pairs = whole / "pairs"
    assert [path.name for path in (pairs / "selfie").iterdir()] == ["more__tina.png"]
    bare, truth = (open_photo(pairs / domain / "more__tina.png").astype(int) for domain in ("selfie", "drag"))
    differs = np.abs(truth - bare).max(-1) > 0
    assert differs[100:200, 70:180].mean() > 0.9
    assert not differs[:, :16].any()
    assert not differs[:, -16:].any()
    assert not differs[:16].any()


def test_other_settings_paint_everything_anew(photos, manifest, faces):
    first = {row.photo: row for row in read_crops(faces)}
    painted = next(row.face for row in first.values() if row.domain == "drag" and row.split == "train")
    before = files(faces)
    assert build(photos, faces, manifest, look="goth") == first
    after = files(faces)
    for face in (painted, "pairs/drag/more__tina.png"):
        assert after[face] != before[face]


def test_a_run_that_stopped_ends_like_one_that_did_not(photos, manifest, whole, tmp_path, monkeypatch):
    make_face, seen = practice_module._make_face, []

    def stops(path, *rest):
        seen.append(path)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return make_face(path, *rest)

    monkeypatch.setattr(practice_module, "_make_face", stops)
    with pytest.raises(KeyboardInterrupt):
        build(photos, tmp_path / "stopped", manifest)
    build(photos, tmp_path / "stopped", manifest)
    assert files(tmp_path / "stopped") == files(whole)


def test_a_withdrawn_photo_goes(photos, manifest, faces, tmp_path):
    row = next(row for row in read_crops(faces) if row.photo == "more/tina.jpg")
    withdrawn = tmp_path / "withdrawn.csv"
    withdrawn.write_text(manifest.read_text().replace("test,more/tina,", "test,more/tina,withdrawn"))
    assert "more/tina.jpg" not in build(photos, faces, withdrawn)
    assert not (faces / row.face).exists()
    assert not list((faces / "pairs").glob("*/*.png"))


def test_what_cannot_be_built_is_said_in_one_sentence(photos, tmp_path, portraits):
    with pytest.raises(DragFaceError, match="no photos to paint"):
        practice_faces(None, tmp_path / "faces")
    (tmp_path / "one").mkdir()
    shutil.copy(portraits["astronaut"], tmp_path / "one" / "a_1.jpg")
    shutil.copy(portraits["astronaut"], tmp_path / "one" / "a_2.jpg")
    with pytest.raises(DragFaceError, match="1 person"):
        build(tmp_path / "one", tmp_path / "faces")
    crop_photos(tmp_path / "one", tmp_path / "cropped", detector=DETECTOR, progress=False)
    with pytest.raises(DragFaceError, match="name another folder"):
        build(photos, tmp_path / "cropped")


def test_an_unknown_look_or_a_negative_seed_removes_nothing(photos, manifest, faces):
    before = files(faces)
    with pytest.raises(DragFaceError, match="no look called 'disco'"):
        build(photos, faces, manifest, look="disco")
    with pytest.raises(DragFaceError, match="The seed -3 is negative"):
        build(photos, faces, manifest, seed=-3)
    assert files(faces) == before


def test_an_unexpected_error_costs_one_photo_and_names_it(photos, manifest, faces, monkeypatch):
    def fails(photo, *rest):
        if next(calls) == 0:
            raise IndexError("out of range")
        return paint(photo, *rest)

    paint, calls = practice_module.paint, itertools.count()
    monkeypatch.setattr(practice_module, "paint", fails)
    before = {row.photo: row for row in read_crops(faces)}
    after = build(photos, faces, manifest, look="goth")
    (failed,) = [row for name, row in after.items() if row != before[name]]
    assert failed.status == "unreadable"
    assert failed.reason.startswith(f"{photos / failed.photo} cannot be painted (IndexError: out of range)")
    assert failed.photo not in {row.photo for row in read_crops(faces) if row.status == "kept"}
    assert not list(faces.rglob(f"{Path(failed.photo).stem}*"))


def test_cropped_faces_are_not_mixed_into_practice_faces(photos, manifest, faces):
    before = {path: path.read_bytes() for path in faces.rglob("*") if path.is_file()}
    with pytest.raises(DragFaceError, match="holds practice faces"):
        crop_photos(photos, faces, manifest=manifest, detector=DETECTOR, progress=False)
    assert {path: path.read_bytes() for path in faces.rglob("*") if path.is_file()} == before


def test_practice_faces_travel_as_an_archive_and_make_room_for_cropped_ones(photos, manifest, faces, tmp_path):
    unpack(pack(faces, tmp_path / "faces.zip"), tmp_path / "arrived")
    assert files(tmp_path / "arrived") == files(faces)
    build(photos, tmp_path / "arrived", manifest)  # they are known for what they are
    (faces / "note.txt").write_text("mine")
    clear_practice(faces)
    assert [*files(faces)] == ["note.txt"]
    cropped = crop_photos(photos, faces, manifest=manifest, detector=DETECTOR, progress=False)
    clear_practice(faces)  # there are none now
    assert read_crops(faces) == sorted(cropped, key=lambda row: row.photo)


def test_the_command_builds_the_dataset_and_says_what_it_has(capsys, monkeypatch, tmp_path, portraits):
    folder = portraits["astronaut"].parent
    assert main(["practice", "-o", str(tmp_path / "faces"), "--photos", str(folder), "--look", "neon"]) == 0
    assert "1 drag/train, 1 selfie/train" in capsys.readouterr().out
    assert len(list((tmp_path / "faces").glob("*/train/*.jpg"))) == 2
    capsys.readouterr()
    assert main(["practice", "-o", str(tmp_path / "none")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
