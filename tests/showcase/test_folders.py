"""A folder or zip of photos in, a folder or zip of pictures out."""

import os
import re
import shutil
import tracemalloc
import zipfile
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from dragface_lib.__main__ import main
from dragface_lib.errors import DragFaceError
from dragface_lib.images import encode_photo, open_photo
from dragface_lib.model import starter_path
from dragface_lib.showcase import crop_only, folders
from dragface_lib.showcase.folders import photos_in, transform_all

GOOD = ["Zoë & 東京.png", "deep/er/me.jpg"]
BAD = {
    "coffee.jpg": "No face was found in {}",
    "empty.jpg": "{} is empty (0 bytes)",
    "letter.jpg": "{} is not a picture",
    "torn.png": "{} is damaged",
}


@pytest.fixture(scope="module")
def selfie():
    """The bytes of a small photo with a face, as PNG."""
    return encode_photo(cv2.resize(data.astronaut()[:300, 80:380], (240, 240)), "PNG")


@pytest.fixture(scope="module")
def photos(selfie, tmp_path_factory):
    """A folder of two photos with a face, each kind of bad one, and files that are no photos."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "deep/er").mkdir(parents=True)
    (folder / GOOD[0]).write_bytes(selfie)
    (folder / GOOD[1]).write_bytes(encode_photo(open_photo(selfie)))
    (folder / "coffee.jpg").write_bytes(encode_photo(data.coffee()))
    (folder / "empty.jpg").touch()
    (folder / "letter.jpg").write_text("Dear Sir or Madam")
    (folder / "torn.png").write_bytes(selfie[: len(selfie) // 2])
    for other in ("notes.txt", ".hidden.jpg", "Thumbs.db"):
        (folder / other).write_text("not a photo")
    return folder


@pytest.fixture(scope="module", params=["folder", "zip"])
def source(request, photos, tmp_path_factory):
    """The same as a folder and as a zip."""
    if request.param == "folder":
        return photos
    return Path(shutil.make_archive(str(tmp_path_factory.mktemp("zip") / "photos"), "zip", photos))


def pictures(output):
    """{name: picture} of a folder or zip."""
    with photos_in(output) as photos:
        return {name: open_photo(read()) for name, read in photos}


@pytest.mark.parametrize("target", ["out", "out.zip"])
def test_good_photos_are_put_into_drag_under_their_names_and_bad_ones_named(
    source, target, generator, tmp_path, capsys
):
    result = transform_all(source, tmp_path / target, generator)
    assert sorted(result.pictures) == sorted(GOOD)
    told = dict(result.left_out)
    assert told.keys() == BAD.keys()
    where = f"{source}/" if source.is_dir() else ""
    assert all(told[name].startswith(reason.format(where + name)) for name, reason in BAD.items())
    found = pictures(tmp_path / target)
    assert found.keys() == set(GOOD)
    for name in GOOD:
        assert found[name].shape == (240, 240, 3)
    printed = capsys.readouterr().err
    assert all(f"left out: {reason}" in printed for reason in told.values())
    assert "6/6" in printed
    assert [path.name for path in tmp_path.iterdir()] == [target]


def test_the_command_counts_and_a_single_bad_photo_does_not_fail_it(photos, tmp_path, capsys):
    assert main(["transform", str(photos), "-o", str(tmp_path / "faces.zip"), "--crop-only"]) == 0
    assert "2 pictures in" in (printed := capsys.readouterr().out)
    assert "4 photos left out" in printed
    assert {face.shape for face in pictures(tmp_path / "faces.zip").values()} == {(256, 256, 3)}


def test_none_replaces_another_not_even_in_other_letters_case(selfie, tmp_path):
    with zipfile.ZipFile(tmp_path / "names.zip", "w") as archive:
        for name in ("win\\down.png", "Ab.png", "aB.PNG", "ab.jpg", "__MACOSX/a.png", ".x/b.png"):
            archive.writestr(name, selfie)
    result = transform_all(tmp_path / "names.zip", tmp_path / "out", crops=True)
    assert sorted(result.pictures) == ["Ab.png", "aB_2.png", "ab.jpg", "win/down.png"]
    assert {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")} == set(
        result.pictures
    )


def test_files_of_one_name_from_several_folders_all_become_pictures(photos, selfie, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "me.png").write_bytes(selfie)
    files = [tmp_path / "a/me.png", tmp_path / "b/me.png"]
    assert transform_all(files, tmp_path / "out", crops=True).pictures == ["me.png", "me_2.png"]


def test_many_photos_take_no_more_memory_than_few(selfie, generator, tmp_path):
    peaks = []
    for count in (2, 12):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            (folder / f"{number}.png").write_bytes(selfie)
        tracemalloc.start()
        transform_all(folder, tmp_path / f"{count}.zip", generator)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 500_000  # a single decoded photo has 170 kB, its PNG 100 kB


@pytest.mark.parametrize("output", ["photos", "photos/out", "out.jpg", "file"])
def test_an_output_that_makes_no_sense_is_refused_before_anything_is_done(photos, output, tmp_path, generator):
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DragFaceError, match=output):
        transform_all(tmp_path / "photos", tmp_path / output, generator)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_stood_in_the_folder_before_is_never_written_over(selfie, tmp_path):
    for name in ("party.png", "party_2.png", "party.jpg"):
        (tmp_path / name).write_bytes(selfie)
    assert transform_all(tmp_path / "party_2.png", tmp_path, crops=True).pictures == ["party_2_2.png"]
    assert transform_all([tmp_path / "party.jpg"], tmp_path, crops=True).pictures == ["party_2.jpg"]
    assert {path.read_bytes() == selfie for path in tmp_path.glob("*") if path.stem in ("party",)} == {True}
    assert (tmp_path / "party_2.png").read_bytes() == selfie


def test_the_second_face_of_a_photo_is_not_written_over_another_photo(selfie, tmp_path):
    both = np.hstack([open_photo(selfie)] * 2)
    (tmp_path / "party_2.png").write_bytes(encode_photo(both, "PNG"))
    before = (tmp_path / "party_2.png").read_bytes()
    result = transform_all(tmp_path / "party_2.png", tmp_path / "party.png", crops=True)
    assert result.pictures == ["party.png", "party_3.png"]
    assert (tmp_path / "party_2.png").read_bytes() == before


@pytest.mark.parametrize(
    "command", ["transform", "transform --crop-only", "demo", "progression --run .", "gallery", "export"]
)
def test_no_command_writes_over_what_it_reads(command, selfie, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "own.html"
    own.write_bytes(selfie)
    os.symlink("own.html", "link.html")
    os.link("own.html", "hard.html")
    for photo, output in product(("own.html", "link.html"), ("own.html", "link.html", "hard.html")):
        assert main([*command.split(), photo, "-o", output]) == 2
        assert f"{output} is {photo} itself" in capsys.readouterr().err
        assert own.read_bytes() == selfie


def test_no_command_writes_over_its_generator_manifest_faces_or_run(selfie, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("me.jpg").write_bytes(selfie)
    names = ("photos/me.jpg", "faces/selfie/test/me.jpg", "g.png", "run/losses.png", "list.csv", "old.html")
    for name in (*names, "mine/faces.csv"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"mine")
    for arguments in (
        "transform me.jpg -o g.png --weights g.png",
        "transform me.jpg photos -o photos/sub --crop-only",
        "demo me.jpg -o g.png --weights g.png",
        "gallery photos -o old.html --weights old.html",
        "gallery photos -o photos/who.html",
        "progression me.jpg --run run -o run/losses.png",
        "evaluate --faces faces -o faces",
        "evaluate --faces faces -o faces/selfie/test",
        "evaluate --faces faces -o mine",
        "export g.png -o g.png",
        "credits --manifest list.csv -o list.csv",
    ):
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert main(arguments.split()) == 2, arguments
        assert re.search("itself, or lies within it|of no earlier evaluation", capsys.readouterr().err), arguments
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert main(["export", "--look", "goth", "-o", str(starter_path("goth"))]) == 2
    assert "itself" in capsys.readouterr().err


def test_a_result_is_not_written_over_another_photo_of_its_name(selfie, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in/party.webp").write_bytes(encode_photo(open_photo(selfie), "WEBP"))
    (tmp_path / "out/party.jpg").write_bytes(b"mine")
    assert transform_all(tmp_path / "in", tmp_path / "out", crops=True).pictures == ["party_2.jpg"]
    assert (tmp_path / "out/party.jpg").read_bytes() == b"mine"


def test_photos_folders_and_zips_can_be_named_together(photos, selfie, tmp_path):
    (tmp_path / "me.png").write_bytes(selfie)
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("me.png", selfie)
    result = transform_all([tmp_path / "me.png", photos / "deep", tmp_path / "more.zip"], tmp_path / "out", crops=True)
    assert result.pictures == ["me.png", "er/me.jpg", "me_2.png"]


def test_a_folder_may_have_the_name_of_a_picture(selfie, tmp_path):
    (tmp_path / "me.png").write_bytes(selfie)
    (tmp_path / "folder.jpg").mkdir()
    assert transform_all(tmp_path / "me.png", tmp_path / "folder.jpg", crops=True).pictures == ["me.png"]


def test_an_unexpected_failure_costs_one_photo_alone(photos, tmp_path, monkeypatch):
    failing = iter([True, False])

    def crop(photo):
        if next(failing):
            raise MemoryError("no memory left")
        return crop_only(photo)

    monkeypatch.setattr(folders, "crop_only", crop)
    result = transform_all([photos / name for name in GOOD], tmp_path / "out", crops=True)
    assert result.pictures == ["me.jpg"]
    assert "no memory left" in result.left_out[0][1]


def test_sources_that_hold_nothing_end_with_one_sentence(tmp_path, generator, selfie):
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.zip").write_bytes(selfie)
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as archive:
        archive.writestr("read.txt", "me")
    shutil.copytree(tmp_path / "empty", tmp_path / "bad")
    (tmp_path / "bad/a.jpg").write_text("no photo")
    for name, said in {
        "empty": "holds no photos",
        "text.zip": "holds no photos",
        "no.zip": "is not a whole zip",
        "nowhere.zip": "No such file",
        "bad": "is not a picture",
    }.items():
        with pytest.raises(DragFaceError, match=said):
            transform_all(tmp_path / name, tmp_path / "out.zip", generator)
        assert not (tmp_path / "out.zip").exists()
