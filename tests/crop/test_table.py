"""crops.csv and the manifest as people and strangers leave them: no name leads out, nobody withdrawn comes back."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import unicodedata
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from detecting import DETECTOR
from faces_to_curate import faces_to_curate

from dragface_lib.__main__ import main
from dragface_lib.archives import pack, read_faces
from dragface_lib.crop import crop_photos, read_crops, write_card
from dragface_lib.crop.table import CropRow, split_of, used_in, write_crops
from dragface_lib.errors import DragFaceError
from dragface_lib.images import open_photo, save_photo
from dragface_lib.manifest import Row, read_manifest, write_manifest
from dragface_lib.practice import practice_faces

HEAD = "photo,domain,split,status,reason,face,signature,eyes\n"
GOOD = "a.jpg,selfie,train,kept,,selfie/train/a.jpg,,\n"


@pytest.fixture
def photos(tmp_path, portraits):
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(portraits["astronaut"], folder / "ann.jpg")
    shutil.copy(portraits["grace_hopper"], folder / "grace.jpg")
    return folder


@pytest.fixture
def faces(tmp_path):
    return tmp_path / "faces"


def crop(photos, faces, domain="selfie", **options):
    rows = crop_photos(photos, faces, domain, detector=DETECTOR, progress=False, **options)
    return {row.photo: row for row in rows}


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "line",
    [
        "a.jpg,selfie,train,kept,,../victim/id_rsa,,\n",
        "a.jpg,selfie,train,kept,,selfie/train/../../../victim/id_rsa,,\n",
        "a.jpg,selfie,train,kept,,{victim},,\n",
        "a.jpg,selfie,train,kept,,selfie/train/.id_rsa,,\n",
        "a.jpg,selfie,train,kept,,selfie/train/link,,\n",
        "{victim},selfie,train,kept,,selfie/train/a.jpg,,\n",
        "../victim/id_rsa,selfie,train,unreadable,,,,\n",
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_name_in_a_table_leads_nowhere_else(tmp_path, photos, faces, line, packed):
    (tmp_path / "victim").mkdir()
    victim = tmp_path / "victim" / "id_rsa"
    victim.write_text("secret")
    faces_to_curate(faces, 2)
    (faces / "selfie/train").mkdir(parents=True, exist_ok=True)
    (faces / "selfie/train/link").symlink_to(victim)
    (faces / "crops.csv").write_text(HEAD + GOOD + line.format(victim=victim))
    archive = tmp_path / "faces.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(faces / "crops.csv", "crops.csv")
    if "link" not in line or not packed:
        with pytest.raises(DragFaceError, match="leads out of"):
            read_crops(archive if packed else faces)
    assert main(["crop", str(photos), "-o", str(faces), "--detector", DETECTOR]) == 2
    assert victim.read_text() == "secret"
    assert not list(faces.rglob("*id_rsa*"))


def test_a_split_that_is_none_moves_nothing(photos, faces, tmp_path):
    rows = crop(photos, faces)
    table = faces / "crops.csv"
    table.write_text(table.read_text().replace(",train,", ",../../x,"))
    assert crop(photos, faces) == rows
    assert not (tmp_path / "x").exists()
    assert all((faces / row.face).is_file() for row in rows.values())


@pytest.mark.parametrize("folder", ["selfie/train", "selfie/test", "rejected/selfie", "selfie"])
def test_a_linked_folder_of_faces_is_left_alone(tmp_path, photos, faces, folder):
    """A withdrawn photo takes its face along, but nothing that lies elsewhere."""
    outside = tmp_path / "outside" / Path(folder).name
    for part in (outside, outside / "train"):
        part.mkdir(parents=True)
        (part / "ann.jpg").write_text("mine")
    (faces / folder).parent.mkdir(parents=True, exist_ok=True)
    (faces / folder).symlink_to(outside)
    manifest = write_manifest(tmp_path / "m.csv", [Row("ann", "selfie", "ann.jpg", status="withdrawn")])
    assert manifest
    with pytest.raises(DragFaceError, match="leads out of .* remove the link"):
        crop(photos, faces, manifest=tmp_path / "m.csv")
    assert (outside / "ann.jpg").read_text() == "mine"


def test_what_a_row_says_oddly_is_not_known_rather_than_a_traceback(faces):
    faces.mkdir()
    lines = [
        "a.jpg,anime,train,kept,,selfie/train/a.jpg,,\n",
        f"{'x' * 5000}.jpg,selfie,train,kept,,selfie/train/b.jpg,not hexadecimal,nan\n",
        "c.jpg,selfie,train,kept,,selfie/train/c.jpg,,1e999\n",
        'd.jpg,selfie,train,kept,,selfie/train/d.jpg,,"51,5"\n',
    ]
    (faces / "crops.csv").write_text(HEAD + "".join(lines))
    rows = read_crops(faces)
    assert [row.domain for row in rows] == ["", "selfie", "selfie", "selfie"]
    assert {row.signature for row in rows} == {""}
    assert [row.numbers for row in rows] == [{}, {}, {}, {"eyes": 51.5}]


@pytest.mark.parametrize(
    "command", ["crop {photos} -o {long}", "crop {long} -o {faces}", "practice -o {long} --photos {photos}"]
)
def test_a_path_of_5000_characters_is_one_sentence(photos, faces, command, capsys):
    words = command.format(photos=photos, faces=faces, long="x" * 5000).split()
    assert main([*words, "--manifest", "y" * 5000] if "long" not in command else words) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8-sig"])
def test_decisions_in_a_table_that_a_spreadsheet_saved_hold(photos, faces, encoding):
    os.rename(photos / "ann.jpg", photos / "Zoë.jpg")
    crop(photos, faces)
    rows = read_crops(faces)
    write_crops(faces, [replace(row, decision="reject") if row.photo == "Zoë.jpg" else row for row in rows])
    table = faces / "crops.csv"
    text = table.read_text(encoding="utf-8").replace(",", ";").replace("\n", "\r\n")
    table.write_bytes(text.encode(encoding))
    rows = crop(photos, faces)
    assert {name: row.status for name, row in rows.items()} == {"Zoë.jpg": "rejected", "grace.jpg": "kept"}


def test_a_manifest_saved_by_pandas_is_accepted(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("id,domain,file,image_url,licence,width,height\na,selfie,a.jpg,,CC0,512.0,\nb,drag,b.jpg,,,7,8.0\n")
    assert [(row.width, row.height) for row in read_manifest(path)] == [(512, None), (7, 8)]


NFD = unicodedata.normalize("NFD", "Zoë Ann.jpg")


@pytest.mark.parametrize("name", ["ZOË ANN.JPG", NFD, NFD.upper(), "renamed.jpg", "more/Zoë Ann.jpg", "more/other.jpg"])
@pytest.mark.parametrize("status", ["withdrawn", "stored"])
def test_a_withdrawn_photo_and_a_test_person_are_known_by_bytes_and_by_any_form_of_the_name(
    tmp_path, photos, faces, name, status
):
    row = Row("zoe", "selfie", "Zoë Ann.jpg", licence="CC0", split="test", split_group="Zoë", status=status)
    (photos / name).parent.mkdir(exist_ok=True)
    os.rename(photos / "ann.jpg", photos / name)
    if "nn" not in name.casefold():
        row = replace(row, stored_sha256=sha256(photos / name))
    write_manifest(tmp_path / "m.csv", [row])
    rows = crop(photos, faces, manifest=tmp_path / "m.csv")
    assert rows["grace.jpg"].split == "train"
    assert (name in rows) == (status != "withdrawn")
    if status == "withdrawn":
        assert [path.name for path in faces.rglob("*.jpg")] == ["grace.jpg"]
        with pytest.raises(DragFaceError, match="1 person"):
            practice_faces(photos, tmp_path / "painted", tmp_path / "m.csv", detector=DETECTOR, progress=False)
        assert not list((tmp_path / "painted").rglob("*.jpg"))
    else:
        assert rows[name].split == "test"
        assert len(used_in(faces, read_manifest(tmp_path / "m.csv"))) == 1


def test_a_face_goes_when_its_photo_was_withdrawn_under_another_name_and_is_gone(tmp_path, photos, faces):
    crop(photos, faces)
    row = Row("x", "drag", "elsewhere.jpg", sha256=sha256(photos / "ann.jpg"), status="withdrawn")
    (photos / "ann.jpg").unlink()
    write_manifest(tmp_path / "m.csv", [row])
    crop(photos, faces, manifest=tmp_path / "m.csv")
    assert [path.name for path in faces.rglob("*.jpg")] == ["grace.jpg"]
    assert [row.photo for row in read_crops(faces)] == ["grace.jpg"]


def test_a_photo_that_is_gone_is_named_and_no_copy_is_named_after_it(photos, faces, capsys):
    photo = open_photo(photos / "grace.jpg")
    save_photo(photos / "again.jpg", photo[10:-10, 20:], 60)
    assert crop(photos, faces)["again.jpg"].copy_of == "grace.jpg"
    assert "not in" not in capsys.readouterr().err
    (photos / "grace.jpg").unlink()
    rows = crop(photos, faces)
    assert "grace.jpg" in capsys.readouterr().err
    assert (rows["again.jpg"].status, rows["again.jpg"].copy_of) == ("kept", "")
    next(faces.rglob("grace.jpg")).unlink()
    crop(photos, faces)
    assert capsys.readouterr().err == ""
    assert {row.photo for row in read_crops(faces)} == {"again.jpg", "ann.jpg"}


def test_photos_of_anybody_are_not_one_person():
    def groups(*names):
        return len({split_of(None, name, {}, ())[1] for name in names})

    assert groups(*(f"photo_{number}.jpg" for number in range(1, 7))) == 6
    assert groups("IMG_1.JPG", "IMG_2.JPG", "a/Selfie-1.png", "a/Selfie-2.png") == 4
    assert groups("anna_1.jpg", "Anna_2.JPG", "ANNA-3.png") == 1


def test_two_crops_at_once_lose_no_row(photos, faces):
    program = (
        "import sys; from dragface_lib.crop import crop_photos; "
        f"crop_photos(sys.argv[1], sys.argv[2], sys.argv[3], detector={DETECTOR!r}, progress=False)"
    )
    runs = [subprocess.Popen([sys.executable, "-c", program, photos, faces, d]) for d in ("selfie", "drag")]
    assert [run.wait(300) for run in runs] == [0, 0]
    assert sorted((row.domain, row.photo) for row in read_crops(faces)) == [
        ("drag", "ann.jpg"),
        ("drag", "grace.jpg"),
        ("selfie", "ann.jpg"),
        ("selfie", "grace.jpg"),
    ]


def test_a_folder_of_two_domains_is_one_sentence(tmp_path, photos, faces):
    for name in ("trainA", "trainB"):
        shutil.copytree(photos, tmp_path / "port" / name)
    with pytest.raises(DragFaceError, match="holds two domains: crop .*trainA"):
        crop(tmp_path / "port", faces)


def test_faces_in_sub_folders_are_read_and_packed(tmp_path, faces):
    faces_to_curate(faces, 6)
    (faces / "drag/train/more").mkdir()
    (faces / "drag/train/face_001.jpg").rename(faces / "drag/train/more/face_001.jpg")
    folder = dict(read_faces(faces, "drag", "train"))
    assert list(folder) == ["face_005.jpg", "more/face_001.jpg"]
    assert dict(read_faces(pack(faces, tmp_path / "faces.zip"), "drag", "train")) == folder


def test_what_a_killed_packing_left_goes_with_the_next(tmp_path, faces):
    faces_to_curate(faces, 3)
    drive = tmp_path / "drive"
    drive.mkdir()
    for name in (".faces.zip.0a1b2c3d.part", ".other.zip.0a1b2c3d.part", "faces.zip.part"):
        (drive / name).write_bytes(b"half")
    pack(faces, drive / "faces.zip")
    assert sorted(path.name for path in drive.iterdir()) == [".other.zip.0a1b2c3d.part", "faces.zip", "faces.zip.part"]


def test_a_linked_face_is_not_packed(tmp_path, faces):
    faces_to_curate(faces, 3)
    (tmp_path / "secret.jpg").write_text("secret")
    (faces / "drag/train/link.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(DragFaceError, match="leads out of"):
        pack(faces, tmp_path / "faces.zip")
    assert not (tmp_path / "faces.zip").exists()


def test_the_card_shows_what_a_stranger_wrote_and_obeys_nothing(tmp_path):
    write_crops(tmp_path, [CropRow("a.jpg", "selfie", "train", "a", "kept", face="selfie/train/a.jpg")])
    author = "<script>alert(1)</script> | ![x](http://a.example)\nb `c` \\"
    write_manifest(tmp_path / "m.csv", [Row("a", "selfie", "a.jpg", licence="CC0 | x", author=author)])
    line = write_card(tmp_path, tmp_path / "m.csv").read_text().splitlines()[-1]
    assert line == (r"| CC0 \| x | &lt;script&gt;alert(1)&lt;/script&gt; \| !\[x\](http://a.example) b \`c\` \\ | 1 |")
