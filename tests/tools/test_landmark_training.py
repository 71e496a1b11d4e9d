"""The training of the landmark network, in miniature."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from detecting import DETECTOR
from skimage import data

from dragface_lib.crop.align import apply, interocular
from dragface_lib.crop.detect import open_detector
from dragface_lib.crop.find import find_faces
from dragface_lib.crop.landmarks import POINTS, WEIGHTS, Landmarks
from dragface_lib.errors import DragFaceError
from dragface_lib.images import open_photo, save_photo


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
    import landmarks

    sys.path.pop(0)
    return landmarks


@pytest.fixture(scope="module")
def astronaut():
    photo = np.ascontiguousarray(data.astronaut())
    return photo, find_faces(photo, open_detector(DETECTOR))[0]


def write_tem(path, points):
    path.write_text("\r\n".join([str(len(points)), *(f"{x:.2f}\t{y:.2f}" for x, y in points), "0"]))


@pytest.fixture
def london(tmp_path, astronaut):
    """Ten people, two of them for testing, in the London set's layout: one photo, made longer and longer."""
    photo, face = astronaut
    folder = tmp_path / "london"
    for number in range(1, 11):
        longer = np.array([[1.0, 0, 0], [0, 1 + 0.02 * number, 0]])
        save_photo(folder / f"{number:03}_03.jpg", cv2.warpAffine(photo, longer, (512, 620)))
        write_tem(folder / f"{number:03}_03.tem", apply(longer, face.points))
    return folder


@pytest.fixture
def small_batches(tool, monkeypatch):
    monkeypatch.setattr(tool, "FACES_A_BATCH", 6)
    monkeypatch.setattr(tool, "OTHERS_A_BATCH", 2)


def test_points_of_a_tem_file_are_read_in_order(tool, tmp_path, astronaut):
    write_tem(tmp_path / "a.tem", astronaut[1].points)
    np.testing.assert_allclose(tool.read_tem(tmp_path / "a.tem"), astronaut[1].points, atol=0.01)
    for text in ("", "189\n1 2", "3\n1 2\n3 4\n5 6", "no numbers"):
        (tmp_path / "b.tem").write_text(text)
        with pytest.raises(DragFaceError, match=r"b\.tem"):
            tool.read_tem(tmp_path / "b.tem")


def test_nobody_kept_for_measuring_is_trained_on(tool, london):
    assert len(tool.load_samples(london, test_people=True)) == 2  # numbers 1 and 7
    assert len(tool.load_samples(london)) == 8
    assert tool.is_test_person("portrait_male_15")
    assert not tool.is_test_person("portrait_female_16")


def test_painted_pictures_take_the_points_of_the_bare_one(tool, london):
    bare = open_photo(london / "002_03.jpg")
    save_photo(london / "painted" / "london_002_0.jpg", cv2.resize(bare, (256, 310), interpolation=cv2.INTER_AREA))
    samples = tool.load_samples(london)
    assert len(samples) == 9
    np.testing.assert_allclose(samples[0].points, samples[1].points, atol=0.5)
    difference = samples[0].canvas.astype(float) - samples[1].canvas
    assert np.abs(difference).mean() < 6  # the same canvas, though cut from half the pixels


@pytest.mark.usefixtures("small_batches")
def test_a_training_of_seconds_writes_weights_that_load_and_locate(tool, london, tmp_path, astronaut):
    tool.train(london, tmp_path / "l.safetensors", minutes=0.02)
    photo, face = astronaut
    points, _ = Landmarks.load(tmp_path / "l.safetensors").locate(photo, face.box)
    assert points.shape == (POINTS, 2)
    # After a second of training the points lie on the head, no more.
    assert np.linalg.norm(points.mean(0) - face.points.mean(0)) < 2 * interocular(face.points)


@pytest.mark.usefixtures("small_batches")
def test_training_goes_on_from_weights(tool, london, tmp_path, astronaut):
    tool.train(london, tmp_path / "l.safetensors", minutes=0.02, start=WEIGHTS)
    photo, face = astronaut
    points, _ = Landmarks.load(tmp_path / "l.safetensors").locate(photo, face.box)
    apart = np.linalg.norm(points - face.points, axis=1).mean() / interocular(face.points)
    assert 0 < apart < 0.12  # anew, a second brings them no nearer than the head


def test_too_few_photos_are_refused(tool, tmp_path):
    with pytest.raises(DragFaceError, match="0 pictures with a .tem file"):
        tool.train(tmp_path, tmp_path / "l.safetensors")


def test_three_faces_in_four_are_of_those_placed_by_hand_where_there_are_others(tool):
    samples = [tool.Sample(None, None, None, by_hand) for by_hand in (True, False, False, False, True)]
    np.testing.assert_allclose(tool.chances(samples), [3 / 8, 1 / 12, 1 / 12, 1 / 12, 3 / 8])
    np.testing.assert_allclose(tool.chances(samples[:1]), [1])
    np.testing.assert_allclose(tool.chances(samples[1:4]), [1 / 3] * 3)


def test_the_basis_knows_eyes_and_lips_better_than_the_rest_of_the_face(tool):
    rng = np.random.default_rng(0)
    shapes = rng.normal(0, 0.03, (150, POINTS, 2))  # independent points: the hardest to sum up
    shapes[:, :2] += [[[-0.165, 0], [0.165, 0]]]
    mean, basis = tool.shape_basis(shapes, np.arange(POINTS), rng)
    directions = np.linalg.qr(basis.reshape(len(basis), -1).T)[0]
    others = rng.normal(0, 0.03, (20, mean.size))
    left = np.square(others - others @ directions @ directions.T).reshape(20, *mean.shape)
    assert left[:, 87:109].mean() < 0.6 * left[:, 110:134].mean()  # lips, jaw
