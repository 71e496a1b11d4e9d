"""The landmark network: its training in miniature, its weights' file, heads held at a slant."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from detecting import DETECTOR
from skimage import data

from dragface_lib.crop import landmark_training as training
from dragface_lib.crop.align import apply, crop_face, interocular
from dragface_lib.crop.detect import Box, open_detector
from dragface_lib.crop.find import find_faces
from dragface_lib.crop.landmark_views import Sample
from dragface_lib.crop.landmarks import WEIGHTS, Landmarks
from dragface_lib.errors import DragFaceError
from dragface_lib.images import open_photo, save_photo


@pytest.fixture(scope="module")
def astronaut():
    photo = np.ascontiguousarray(data.astronaut())
    return photo, find_faces(photo, open_detector(DETECTOR))[0]


def write_tem(path, points):
    lines = [str(len(points)), *(f"{x:.2f}\t{y:.2f}" for x, y in points), "0"]
    path.write_text("\r\n".join(lines))


@pytest.fixture
def london(tmp_path, astronaut):
    """Nine people, two of them for testing, in the London set's layout: one photo, made longer and longer."""
    photo, found = astronaut
    folder = tmp_path / "london"
    folder.mkdir()
    for number in range(1, 10):
        shear = np.array([[1.0, 0, 0], [0, 1 + 0.02 * number, 0]])
        save_photo(folder / f"{number:03}_03.jpg", cv2.warpAffine(photo, shear, (512, 600)))
        write_tem(folder / f"{number:03}_03.tem", apply(shear, found.points))
    return folder


def test_points_of_a_tem_file_are_read_in_order(tmp_path, astronaut):
    write_tem(tmp_path / "a.tem", astronaut[1].points)
    np.testing.assert_allclose(training.read_tem(tmp_path / "a.tem"), astronaut[1].points, atol=0.01)
    for text in ("", "189\n1 2", "3\n1 2\n3 4\n5 6", "no numbers"):
        (tmp_path / "b.tem").write_text(text)
        with pytest.raises(DragFaceError, match=r"b\.tem"):
            training.read_tem(tmp_path / "b.tem")


def test_nobody_kept_for_measuring_is_trained_on(london):
    tested = training.load_samples(london, test_people=True)
    trained = training.load_samples(london)
    assert (len(tested), len(trained)) == (2, 7)  # numbers 1 and 7 of 9
    assert training.is_test_person("london_013")
    assert not training.is_test_person("london_012")
    assert training.is_test_person("portrait_male_15")
    assert not training.is_test_person("portrait_female_16")


def test_painted_pictures_take_the_points_of_the_bare_one(london, tmp_path):
    painted = tmp_path / "london" / "painted"
    painted.mkdir()
    bare = open_photo(london / "002_03.jpg")
    save_photo(painted / "london_002_0.jpg", cv2.resize(bare, (256, 300), interpolation=cv2.INTER_AREA))
    samples = training.load_samples(london)
    assert len(samples) == 8
    np.testing.assert_allclose(samples[0].points, samples[1].points, atol=0.5)
    difference = samples[0].canvas.astype(float) - samples[1].canvas
    assert np.abs(difference).mean() < 6  # the same canvas, though cut from half the pixels


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_of_seconds_writes_weights_that_load_and_locate(precision, london, tmp_path, astronaut, monkeypatch):
    monkeypatch.setattr(training, "FACES_A_BATCH", 6)
    monkeypatch.setattr(training, "OTHERS_A_BATCH", 2)
    write_tem(london / "010_03.tem", astronaut[1].points)
    save_photo(london / "010_03.jpg", astronaut[0])
    out = tmp_path / "out" / "l.safetensors"
    training.train_landmarks(london, out, minutes=0.02, progress=False, precision=precision)
    photo, found = astronaut
    points = Landmarks.load(out).locate(photo, found.box)[0]
    assert points.shape == (189, 2)
    centre = points.mean(0)  # after a second of training the points lie on the head, no more
    assert np.linalg.norm(centre - found.points.mean(0)) < 2 * interocular(found.points)


def test_training_goes_on_from_weights(london, tmp_path, astronaut, monkeypatch):
    monkeypatch.setattr(training, "FACES_A_BATCH", 6)
    monkeypatch.setattr(training, "OTHERS_A_BATCH", 2)
    write_tem(london / "010_03.tem", astronaut[1].points)
    save_photo(london / "010_03.jpg", astronaut[0])
    out = tmp_path / "l.safetensors"
    training.train_landmarks(london, out, minutes=0.02, start=WEIGHTS, progress=False)
    photo, found = astronaut
    points = Landmarks.load(out).locate(photo, found.box)[0]
    apart = np.linalg.norm(points - found.points, axis=1).mean() / interocular(found.points)
    assert 0 < apart < 0.12  # anew, a second brings them no nearer than the head
    with pytest.raises(DragFaceError, match=r"none\.safetensors is missing"):
        training.train_landmarks(london, out, start=tmp_path / "none.safetensors", progress=False)


def test_three_faces_in_four_are_of_those_placed_by_hand_where_there_are_others():
    samples = [Sample(None, None, None, by_hand) for by_hand in (True, False, False, False, True)]
    np.testing.assert_allclose(training._chances(samples), [3 / 8, 1 / 12, 1 / 12, 1 / 12, 3 / 8])
    np.testing.assert_allclose(training._chances(samples[:1]), [1])
    np.testing.assert_allclose(training._chances(samples[1:4]), [1 / 3] * 3)


def test_too_few_photos_are_refused(tmp_path):
    with pytest.raises(DragFaceError, match="0 pictures with a .tem file"):
        training.train_landmarks(tmp_path, tmp_path / "out.safetensors", minutes=0.01, progress=False)


def test_left_and_right_points_are_paired(astronaut):
    mirror = Landmarks.load()._mirror
    assert (mirror[mirror] == np.arange(189)).all()
    assert {0: 1, 18: 27, 71: 82, 87: 93, 111: 114}.items() <= dict(enumerate(mirror)).items()


def test_a_damaged_or_missing_file_of_weights_is_named(tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(WEIGHTS.read_bytes()[:5000])
    with pytest.raises(DragFaceError, match=r"cut\.safetensors is damaged"):
        Landmarks.load(tmp_path / "cut.safetensors")
    with pytest.raises(DragFaceError, match="missing"):
        Landmarks.load(tmp_path / "none.safetensors")


def test_the_mirrored_photo_has_the_mirrored_points(astronaut):
    photo, found = astronaut
    width = photo.shape[1]
    box = found.box._replace(x=width - found.box.x - found.box.width)
    mirrored = Landmarks.load().locate(np.ascontiguousarray(photo[:, ::-1]), box)[0][Landmarks.load()._mirror]
    mirrored[:, 0] = width - 1 - mirrored[:, 0]
    apart = np.linalg.norm(mirrored - found.points, axis=1).max()
    assert apart < 0.01 * interocular(found.points)


@pytest.mark.parametrize("degrees", [-50, 50])
def test_a_head_held_at_a_slant_is_found(astronaut, degrees):
    class Boxes:
        name = "boxes"

        def find(self, rgb):
            return [box]

    photo, found = astronaut
    x, y, width, height, *_ = box = found.box
    turn = cv2.getRotationMatrix2D((x + width / 2, y + height / 2), degrees, 1.0)
    photo = cv2.warpAffine(photo, turn, photo.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
    slanted = find_faces(photo, Boxes())[0]
    expected = apply(turn, found.points[:2])
    assert np.linalg.norm(slanted.points[:2] - expected, axis=1).max() < 0.08 * interocular(found.points)


def test_pictures_of_any_shape_can_be_searched():
    detector = open_detector(DETECTOR)
    for shape in ((1, 1, 3), (1, 3000, 3), (3000, 2, 3), (20, 20, 3)):
        assert find_faces(np.full(shape, 128, np.uint8), detector) == []
    dots = np.zeros((40, 40, 3), np.uint8)
    Landmarks.load().locate(dots, Box(500.0, -300.0, 4.0, 4.0, 1.0))  # far outside: an answer, whatever it is


def test_shrinking_reflects_at_the_same_border_as_not_shrinking():
    photo = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (131, 131, 3), np.uint8), (0, 0), 5)
    whole = crop_face(photo, np.array([[1.0, 0, 100], [0, 1, 100]]), 332)
    expected = cv2.resize(whole, (83, 83), interpolation=cv2.INTER_AREA).astype(float)
    shift = (100 + 0.5) / 4 - 0.5
    small = crop_face(photo, np.array([[0.25, 0, shift], [0, 0.25, shift]]), 83)
    assert np.abs(small - expected).mean() < 1.0


def test_the_basis_knows_eyes_and_lips_better_than_the_rest_of_the_face():
    rng = np.random.default_rng(0)
    shapes = rng.normal(0, 0.03, (150, training.POINTS, 2))  # nothing hangs together: the hardest to sum up
    shapes[:, :2] += [[[-0.165, 0], [0.165, 0]]]
    mean, basis = training._shape_basis(shapes, np.arange(training.POINTS), rng)
    directions = np.linalg.qr(basis.reshape(len(basis), -1).T)[0]
    others = (rng.normal(0, 0.03, (20, *mean.shape))).reshape(20, -1)
    left = (others - others @ directions @ directions.T).reshape(20, *mean.shape)
    unknown = {
        place: np.square(left[:, part]).mean() for place, part in (("lips", slice(87, 109)), ("jaw", slice(110, 134)))
    }
    assert unknown["lips"] < 0.6 * unknown["jaw"]


def test_left_and_right_points_pair_up_also_where_they_nearly_coincide():
    """As the inner lips of a closed mouth do: the cheapest assignment of these four goes round in a ring."""
    half = np.random.default_rng(0).normal(0, 1, (20, 2)) + [3, 0]
    mirror = training.mirror_of(np.vstack([half, half * [-1, 1]])[None])
    assert mirror.tolist() == [*range(20, 40), *range(20)]
    lips = np.array([[-0.121, 1.064], [0.135, 1.066], [-0.121, 1.064], [0.134, 1.067]])
    mirror = training.mirror_of(lips[None])
    assert mirror[mirror].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(lips[mirror], lips * [-1, 1], atol=0.02)
