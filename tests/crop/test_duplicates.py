"""Copies of one picture are found however they were altered, and different pictures are not taken for copies."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from dragface_lib.crop import duplicates
from dragface_lib.crop.duplicates import near_duplicates, signature
from dragface_lib.images import encode_photo, open_photo, resize

ALTERED = {
    "recompressed": lambda photo: photo,
    "half the size": lambda photo: resize(photo, photo.shape[0] // 2, photo.shape[1] // 2),
    "mirrored": lambda photo: photo[:, ::-1],
    "border cut": lambda photo: photo[25:-25, 25:-25],
    "one side cut": lambda photo: photo[:, 20:],
    "border cut and mirrored": lambda photo: photo[25:-25, -25:25:-1],
    "brighter": lambda photo: np.clip(photo * 0.8 + 40, 0, 255).astype(np.uint8),
    "stretched": lambda photo: resize(photo, 300, 500),
}


def save(folder: Path, *photos: np.ndarray) -> list[Path]:
    paths = [folder / f"{number}.jpg" for number in range(len(photos))]
    for path, photo in zip(paths, photos, strict=True):
        path.write_bytes(encode_photo(photo, quality=60))
    return paths


def groups_of(paths: list[Path]) -> list[list[int]]:
    return near_duplicates(paths, [signature(open_photo(path)) for path in paths])


@pytest.fixture(scope="module")
def different(portraits) -> list[np.ndarray]:
    """Five pictures of different things, faces among them."""
    return [*map(open_photo, portraits.values()), data.chelsea(), data.coffee(), data.rocket()]


@pytest.mark.parametrize("kind", ALTERED)
def test_an_altered_copy_is_found_among_other_pictures(kind, different, tmp_path):
    for number in (0, 1):
        paths = save(tmp_path, *different, ALTERED[kind](different[number]))
        assert groups_of(paths) == [[number, 5]]


def test_a_copy_of_a_copy_belongs_to_the_group_and_what_is_gone_to_none(different, tmp_path):
    photo = different[0]
    paths = save(tmp_path, photo, different[1], photo[:, ::-1], photo[20:-20, 20:-20][:, ::-1])
    signatures = [signature(open_photo(path)) for path in paths]
    assert near_duplicates([*paths, tmp_path / "nowhere.jpg"], [*signatures, signatures[0]]) == [[0, 2, 3]]


def test_nothing_and_one_picture_have_no_copies(different, tmp_path):
    assert groups_of([]) == []
    assert groups_of(save(tmp_path, different[0])) == []


def test_the_pixels_decide_where_hashes_are_alike(different, tmp_path):
    """What the hashes see, the coarse shapes, is the same in both; the fine structure is another picture's."""
    photo = resize(different[0], 512, 512).astype(np.float32)
    other = resize(different[3], 512, 512).astype(np.float32)
    mixed = cv2.GaussianBlur(photo, (0, 0), 12) + other - cv2.GaussianBlur(other, (0, 0), 12)
    pair = [picture.clip(0, 255).astype(np.uint8) for picture in (photo, mixed)]
    first, second = (int(signature(picture)[:16], 16) for picture in pair)
    assert (first ^ second).bit_count() <= duplicates.PROPOSED
    assert groups_of(save(tmp_path, *pair)) == []


def test_only_pictures_that_resemble_another_are_opened(different, tmp_path, monkeypatch):
    paths = save(tmp_path, *different, different[0][:, ::-1])
    known = [signature(open_photo(path)) for path in paths]
    assert all(len(text) == 64 for text in known)
    opened = []
    monkeypatch.setattr(duplicates, "open_photo", lambda path: opened.append(path) or open_photo(path))
    assert near_duplicates(paths, known) == [[0, 5]]
    assert opened == [paths[0], paths[5]]
