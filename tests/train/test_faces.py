"""Faces for training: read from folders and archives, drawn as a pure function of seed and step."""

import errno
import shutil
import threading
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from dragface_lib import files
from dragface_lib.errors import DragFaceError
from dragface_lib.files import Unavailable
from dragface_lib.images import save_photo
from dragface_lib.model.generator import to_bytes, to_unit
from dragface_lib.train import data
from dragface_lib.train.data import FaceSet, MaskCache, Sampler, load_domains, prefetched


def sampler(faces, seed=0, size=64):
    return Sampler(FaceSet(faces, "selfie", "train", size), size, seed)


def numbered(count, size=64):
    """A set whose face number n has the grey value 10 n everywhere."""
    faces = FaceSet("nowhere", "selfie", "train", size)
    faces.images = (torch.arange(count) * 10)[:, None, None, None].expand(count, 3, size, size).byte()
    return faces


def test_faces_are_a_pure_function_of_seed_and_step(faces):
    forwards, backwards = sampler(faces), sampler(faces)
    in_order = [forwards.batch(step, 2).faces for step in range(12)]
    reversed_order = [backwards.batch(step, 2).faces for step in reversed(range(12))][::-1]
    assert torch.equal(torch.stack(in_order), torch.stack(reversed_order))
    assert not torch.equal(
        torch.stack(in_order), torch.stack([sampler(faces, seed=1).batch(s, 2).faces for s in range(12)])
    )


def test_the_global_random_state_is_neither_used_nor_changed(faces):
    torch.manual_seed(1)
    before, first = torch.get_rng_state(), sampler(faces).batch(3, 2).faces
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(sampler(faces).batch(3, 2).faces, first)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_face_comes_once_an_epoch_in_a_new_order(count):
    drawn = Sampler(numbered(10), 64, seed=4)
    faces = torch.cat([drawn.batch(step, count).faces for step in range(60 // count)])
    numbers = ((faces.mean((1, 2, 3)) + 1) * 127.5 / 10).round().int().tolist()
    epochs = [numbers[start : start + 10] for start in range(0, 60, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_faces_are_flipped_half_of_the_time_and_cropped_everywhere():
    faces = numbered(1)
    columns = torch.arange(64, dtype=torch.uint8)
    faces.images = torch.stack([columns.expand(64, 64), columns.expand(64, 64).t(), columns.expand(64, 64)])[None]
    drawn = Sampler(faces, 64, seed=0)
    batch = (drawn.batch(0, 300).faces + 1) * 127.5
    flipped = batch[:, 0, 0, 0] > batch[:, 0, 0, -1]
    assert 100 < flipped.sum() < 200
    tops = batch[:, 1, 0, 0].round().unique()
    assert len(tops) >= 6  # 64 px enlarged to 72 leave nine places for the crop


def test_a_batch_fills_minus_one_to_one(faces):
    batch = sampler(faces).batch(0, 5).faces
    assert batch.shape == (5, 3, 64, 64)
    assert batch.dtype == torch.float32
    assert -1 <= batch.min() < -0.8
    assert 0.5 < batch.max() <= 1


def test_a_mask_is_flipped_and_cropped_with_its_face(faces):
    found = FaceSet(faces, "selfie", "train", 64, MaskCache(faces))
    assert found.masks.shape == (5, 1, 64, 64)
    found.masks = found.images[:, :1].clone()  # a mask that tells where its face went
    for step in range(10):
        batch = Sampler(found, 64, 7).batch(step, 1)
        assert batch.masks.shape == (1, 1, 64, 64)
        assert torch.equal(to_unit((batch.masks * 255).round()), batch.faces[:, :1])
    assert FaceSet(faces, "selfie", "train", 64).masks is None


@pytest.mark.parametrize("packed", [False, True])
def test_masks_are_made_once_for_each_face(faces, tmp_path, monkeypatch, packed):
    made = []
    monkeypatch.setattr(data, "mask_of_face", lambda face: made.append(face) or face[..., 0] / 255)
    folder = shutil.copytree(faces, tmp_path / "faces", ignore=shutil.ignore_patterns("masks.npz"))
    if packed:
        shutil.make_archive(str(tmp_path / "faces"), "zip", folder)
        folder = tmp_path / "faces.zip"
    first = load_domains(folder, 64, with_masks=True)
    assert len(made) == 8
    again = load_domains(folder, 64, with_masks=True)
    assert len(made) == 8
    for key, found in first.items():
        assert found.masks is None if key[1] == "test" else torch.equal(found.masks, again[key].masks)
    load_domains(folder, 64)
    assert len(made) == 8


def test_a_cache_of_masks_that_is_damaged_or_cannot_be_written_is_no_fault(faces, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(data, "mask_of_face", lambda face: made.append(face) or face[..., 0] / 255)
    folder = shutil.copytree(faces, tmp_path / "faces", ignore=shutil.ignore_patterns("masks.npz"))
    path = folder / "masks.npz"
    known = load_domains(folder, 64, with_masks=True)["drag", "train"].masks
    whole = path.read_bytes()
    for content in (b"", whole[:-50], whole[:200] + b"x" * 100 + whole[300:]):
        path.write_bytes(content)
        assert torch.equal(load_domains(folder, 64, with_masks=True)["drag", "train"].masks, known)
        count = len(made)
        load_domains(folder, 64, with_masks=True)
        assert len(made) == count  # written anew
    path.unlink()
    path.mkdir()
    assert torch.equal(load_domains(folder, 64, with_masks=True)["drag", "train"].masks, known)


def test_a_mask_of_another_size_in_the_cache_is_made_anew(faces, tmp_path):
    folder = shutil.copytree(faces, tmp_path / "faces")
    known = load_domains(folder, 64, with_masks=True)["drag", "train"].masks
    masks = dict(np.load(folder / "masks.npz"))
    np.savez(folder / "masks.npz", **dict.fromkeys(masks, np.zeros(7)))
    assert torch.equal(load_domains(folder, 64, with_masks=True)["drag", "train"].masks, known)


def test_the_mask_of_a_face_that_has_gone_goes_too(faces, tmp_path):
    folder = shutil.copytree(faces, tmp_path / "faces")
    load_domains(folder, 64, with_masks=True)
    before = set(np.load(folder / "masks.npz").files)
    (folder / "drag/train/face_7.jpg").unlink()
    load_domains(folder, 64, with_masks=True)
    assert len(before - set(np.load(folder / "masks.npz").files)) == 1


def test_bytes_and_units_are_each_others_inverse():
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert (to_bytes(to_unit(pixels)) == pixels.permute(0, 2, 3, 1).numpy()).all()


@pytest.mark.parametrize("top", ["", "faces/"])
def test_an_archive_holds_the_same_faces_as_its_folder(faces, tmp_path, top):
    archive = tmp_path / "faces.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(faces.rglob("*.jpg"), reverse=True):
            file.write(path, top + str(path.relative_to(faces)))
    folder, packed = load_domains(faces, 64), load_domains(archive, 64)
    for key in folder:
        assert folder[key].names == packed[key].names
        assert folder[key].digest == packed[key].digest
        assert torch.equal(folder[key].images, packed[key].images)


def test_a_changed_face_changes_the_digest(faces, tmp_path):
    shutil.copytree(faces, tmp_path / "faces")
    before = FaceSet(tmp_path / "faces", "drag", "train", 64).digest
    first = next((tmp_path / "faces/drag/train").glob("*.jpg"))
    first.write_bytes((faces / "selfie/test/face_5.jpg").read_bytes())
    assert FaceSet(tmp_path / "faces", "drag", "train", 64).digest != before


def test_a_damaged_face_of_an_archive_is_left_out_and_the_others_are_read(faces, tmp_path):
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w") as archive:  # stored, not compressed: the bytes of each face can be found
        for face in sorted((faces / "selfie/train").glob("*.jpg")):
            archive.write(face, f"selfie/train/{face.name}")
    content = bytearray(path.read_bytes())
    whole = (faces / "selfie/train/face_0.jpg").read_bytes()
    content[content.index(whole) + len(whole) // 2] ^= 255
    path.write_bytes(content)
    found = FaceSet(path, "selfie", "train", 64)
    assert len(found) == 4
    assert [name for name, _ in found.unreadable] == ["face_0.jpg"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("failures", [2, 100])
def test_a_face_that_cannot_be_read_now_is_not_taken_for_damaged(faces, tmp_path, monkeypatch, packed, failures):
    monkeypatch.setattr(files, "RETRY_AFTER", (0, 0, 0))
    folder, owner, name = faces, Path, "read_bytes"
    if packed:
        folder, owner, name = Path(shutil.make_archive(str(tmp_path / "faces"), "zip", faces)), zipfile.ZipFile, "read"
    left, read = [failures], getattr(owner, name)

    def fail(*arguments):
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(errno.EIO, "Input/output error")
        return read(*arguments)

    monkeypatch.setattr(owner, name, fail)
    if failures == 2:
        assert len(FaceSet(folder, "selfie", "train", 64)) == 5
    else:
        with pytest.raises(Unavailable, match="cannot be read now .*try again"):
            FaceSet(folder, "selfie", "train", 64)


def test_an_archive_that_cannot_be_read_now_is_not_said_to_be_no_zip(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "RETRY_AFTER", (0, 0, 0))
    path = shutil.make_archive(str(tmp_path / "faces"), "zip", faces)

    def fail(file):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(zipfile, "_EndRecData", fail)
    with pytest.raises(Unavailable, match=r"faces\.zip cannot be read now"):
        FaceSet(path, "selfie", "train", 64)


FLAT = {"black": (72, 0), "white": (72, 255), "one_pixel": (1, 99), "grey": (256, 128)}


@pytest.mark.parametrize("name", FLAT)
def test_a_picture_of_one_flat_colour_is_left_out_with_its_name(faces, tmp_path, name):
    folder = shutil.copytree(faces, tmp_path / "faces")
    size, shade = FLAT[name]
    for path in (f"drag/train/{name}.jpg", f"selfie/test/{name}.jpg"):
        save_photo(folder / path, np.full((size, size, 3), shade, np.uint8))
    for (domain, split), count in {("drag", "train"): 3, ("selfie", "test"): 2}.items():
        found = FaceSet(folder, domain, split, 64)
        assert len(found) == count
        assert found.unreadable == [(f"{name}.jpg", "it has one flat colour")]
        assert found.digest == FaceSet(faces, domain, split, 64).digest


def test_a_face_that_is_not_square_is_left_out_rather_than_squashed(faces, tmp_path):
    folder = shutil.copytree(faces, tmp_path / "faces")
    save_photo(folder / "drag/train/wide.jpg", np.random.default_rng(0).integers(0, 255, (72, 90, 3), np.uint8))
    assert FaceSet(folder, "drag", "train", 64).unreadable == [("wide.jpg", "90 x 72 pixels are not a square")]


def test_missing_faces_are_named(faces, tmp_path):
    with pytest.raises(DragFaceError, match="nowhere"):
        load_domains(tmp_path / "nowhere", 64)
    shutil.copytree(faces / "selfie", tmp_path / "half/selfie")
    with pytest.raises(DragFaceError, match="drag/train"):
        load_domains(tmp_path / "half", 64)
    (tmp_path / "broken.zip").write_bytes(b"PK no archive")
    with pytest.raises(DragFaceError, match=r"broken\.zip"):
        load_domains(tmp_path / "broken.zip", 64)
    shutil.copytree(faces / "selfie/train", tmp_path / "port/trainA")
    with pytest.raises(DragFaceError, match="trainA"):
        load_domains(tmp_path / "port", 64)


def test_the_next_batches_are_made_while_one_is_computed_on():
    made = []
    drawn, busy = threading.Event(), 4

    def draw(number):
        made.append(number)
        if len(made) == busy:
            drawn.set()
        return number

    with closing(prefetched(draw, 7, ahead=3)) as batches:
        assert next(batches) == 7
        assert drawn.wait(10)  # nobody asked for 8, 9 and 10 yet
        assert made == [7, 8, 9, 10]
        assert [next(batches) for _ in range(5)] == [8, 9, 10, 11, 12]
    assert not any(thread.name.startswith("faces") for thread in threading.enumerate())


def test_what_goes_wrong_with_a_batch_is_raised_where_it_is_asked_for():
    with closing(prefetched(lambda number: 1 / (2 - number), 0)) as batches:
        assert [next(batches), next(batches)] == [0.5, 1]
        with pytest.raises(ZeroDivisionError):
            next(batches)
