"""The eyes land in the same place, whoever found the face, however it lies in the photo."""

from __future__ import annotations

import hashlib
import os

import cv2
import numpy as np
import pytest
from detecting import DETECTOR
from matplotlib.cbook import get_sample_data
from skimage import data

from dragface_lib import network, transform
from dragface_lib.crop import align, detect
from dragface_lib.crop.align import interocular
from dragface_lib.crop.detect import Box, open_detector
from dragface_lib.crop.find import Face, _share_an_eye, find_faces
from dragface_lib.crop.measure import FIVE, head_pose
from dragface_lib.crop.quality import limits
from dragface_lib.errors import DragFaceError
from dragface_lib.files import write_atomically
from dragface_lib.images import open_photo

PORTRAITS = {
    "astronaut": np.ascontiguousarray(data.astronaut()),
    "grace_hopper": open_photo(get_sample_data("grace_hopper.jpg", asfileobj=False)),
}
EYES = {"astronaut": [(201.5, 101.2), (246.2, 103.7)], "grace_hopper": [(221.5, 189.5), (306.5, 186.5)]}  # by hand


@pytest.fixture(scope="module")
def detector():
    return open_detector(DETECTOR)


@pytest.mark.parametrize("name", PORTRAITS)
def test_the_pupils_are_found_where_they_are(name, detector):
    points = find_faces(PORTRAITS[name], detector)[0].points
    apart = interocular(np.array(EYES[name]))
    np.testing.assert_allclose(points[:2], EYES[name], atol=0.08 * apart)


@pytest.mark.parametrize("degrees", [0, 15, -15])
def test_eyes_are_level_and_in_place_on_the_crop(degrees, detector):
    photo = PORTRAITS["astronaut"]
    turn = cv2.getRotationMatrix2D((227, 106), degrees, 1.0)
    photo = cv2.warpAffine(photo, turn, photo.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
    points = find_faces(photo, detector)[0].points
    matrix = align.similarity(points)
    np.testing.assert_allclose((align.apply(matrix, points[:2]) + 0.5) / 256, [[0.375, 0.46], [0.625, 0.46]], atol=1e-6)
    face = align.aligned_face(photo, points)
    again = find_faces(face, detector)[0].points  # an independent look at the crop itself
    np.testing.assert_allclose((again[:2] + 0.5) / 256, [[0.375, 0.46], [0.625, 0.46]], atol=0.02)


def test_any_reasonable_box_leads_to_the_same_eyes(detector):
    from dragface_lib.crop.landmarks import Landmarks

    box = detector.find(PORTRAITS["astronaut"])[0]
    here, _ = Landmarks.load().locate(PORTRAITS["astronaut"], box)
    for dx, dy, scale in ((0.1, 0, 1), (-0.1, 0.05, 1), (0, -0.1, 1.1), (0, 0.1, 0.9)):
        x, y = box.x + dx * box.width, box.y + dy * box.height
        moved = Box(x, y, box.width * scale, box.height * scale, 1.0)
        points, _ = Landmarks.load().locate(PORTRAITS["astronaut"], moved)
        assert np.linalg.norm(points[:2] - here[:2], axis=1).max() < 0.03 * interocular(here)


@pytest.mark.haar
def test_both_detectors_align_alike(photos_folder):
    """Within 3 % of the interocular distance; where YuNet's file is not at hand, against a box like YuNet's."""
    photos = [*PORTRAITS.values(), *map(open_photo, sorted(photos_folder.glob("portraits/male/?.jpg")))]
    for photo in photos:
        by_haar = find_faces(photo, open_detector("haar"))[0]
        if os.environ.get("DRAGFACE_MODELS"):
            by_yunet = find_faces(photo, open_detector("yunet"))[0]
        else:
            x, y, width, height, *_ = by_haar.box
            by_yunet = find_faces(photo, Boxes(Box(x + 0.12 * width, y, 0.76 * width, 1.05 * height, 1.0)))[0]
        apart = np.linalg.norm(by_haar.points[:2] - by_yunet.points[:2], axis=1).max()
        assert apart < 0.03 * interocular(by_yunet.points)


@pytest.mark.parametrize(
    ("eyes_and_nose", "turned"),
    [
        ([(10, 20), (50, 20), (30, 45)], 0.0),
        ([(10, 20), (50, 20), (50, 45)], 0.5),
        ([(20, 10), (20, 50), (0, 10)], -0.5),  # the head lies on its side: along the eyes counts
        ([(30, 20), (30, 20), (30, 45)], 0.0),
    ],
)
def test_how_far_a_face_is_turned(eyes_and_nose, turned):
    assert Box(0, 0, 1, 1, 1.0, np.array(eyes_and_nose, np.float32)).turned == pytest.approx(turned)


@pytest.mark.yunet
def test_yunet_tells_a_turned_face_from_a_straight_one(photos_folder):
    yunet = open_detector("yunet")
    for photo in PORTRAITS.values():
        assert abs(yunet.find(photo)[0].turned) < 0.2
    for path in photos_folder.glob("portraits/female/66.jpg"):
        photo = open_photo(path)
        assert head_pose(find_faces(photo, yunet)[0])[0] > limits()["yaw"]
        assert head_pose(find_faces(np.ascontiguousarray(photo[:, ::-1]), yunet)[0])[0] < -limits()["yaw"]


class Boxes:
    """A detector that always proposes these boxes."""

    name = "boxes"

    def __init__(self, *boxes: Box):
        self.boxes = list(boxes)

    def find(self, rgb, *how):
        return self.boxes


def test_a_box_without_a_face_is_left_out_and_a_face_proposed_twice_counts_once(detector):
    photo = PORTRAITS["astronaut"]
    box = detector.find(photo)[0]
    nothing = Box(20.0, 20.0, 120.0, 120.0, 1.0)  # the flag
    faces = find_faces(photo, Boxes(box, box._replace(x=box.x + 5), nothing))
    assert len(faces) == 1


def test_two_faces_that_share_an_eye_are_one():
    points = np.zeros((189, 2), np.float32)
    points[0], points[1] = (100, 100), (200, 100)
    half = points - (100, 0)
    apart = points + (300, 0)
    whole, shifted, distant = (Face(Box(0, 0, 1, 1, 1), p, 1.0) for p in (points, half, apart))
    assert _share_an_eye(whole, shifted)
    assert not _share_an_eye(whole, distant)


def test_the_largest_face_comes_first(detector):
    large = PORTRAITS["grace_hopper"]
    small = cv2.resize(large, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    photo = np.full((600, 800, 3), 128, np.uint8)
    photo[: small.shape[0], :256] = small
    photo[:, 280:792] = large[:, :512]
    faces = find_faces(photo, detector)
    assert len(faces) == 2
    assert interocular(faces[0].points) > 1.6 * interocular(faces[1].points)


def test_a_crop_beyond_the_border_reflects_the_photo():
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    shift = np.array([[1.0, 0, 32], [0, 1.0, 0]])  # the crop begins 32 pixels to the left of the photo
    crop = align.crop_face(photo, shift, 64)
    np.testing.assert_array_equal(crop[:, 32:], photo[:, :32])
    np.testing.assert_array_equal(crop[:, :32], photo[:, 31::-1])


def test_shrinking_a_large_photo_averages_instead_of_skipping_pixels():
    checks = (np.indices((1024, 1024)).sum(0) % 2 * 255).astype(np.uint8)
    crop = align.crop_face(np.dstack([checks] * 3), np.array([[0.25, 0, 0], [0, 0.25, 0]]), 256)
    assert np.abs(crop[8:-8, 8:-8].astype(float) - 127.5).max() < 3


def test_shrinking_reflects_at_the_same_border_as_not_shrinking():
    photo = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (131, 131, 3), np.uint8), (0, 0), 5)
    whole = align.crop_face(photo, np.array([[1.0, 0, 100], [0, 1, 100]]), 332)
    expected = cv2.resize(whole, (83, 83), interpolation=cv2.INTER_AREA).astype(float)
    shift = (100 + 0.5) / 4 - 0.5
    small = align.crop_face(photo, np.array([[0.25, 0, shift], [0, 0.25, shift]]), 83)
    assert np.abs(small - expected).mean() < 1.0


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """A folder of its own as working folder and home, without YuNet's file and without a network."""
    monkeypatch.delenv("DRAGFACE_MODELS", raising=False)
    for name in ("HOME", "XDG_CACHE_HOME", "DRAGFACE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("DRAGFACE_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setattr(network, "BACKOFF", 0.01)
    monkeypatch.chdir(tmp_path)
    open_detector.cache_clear()
    yield tmp_path
    open_detector.cache_clear()


def test_without_haar_and_without_yunet_a_sentence_says_what_to_do(alone, monkeypatch):
    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)  # as in OpenCV 5
    with pytest.raises(DragFaceError, match="DRAGFACE_MODELS"):
        open_detector("auto")


@pytest.mark.haar
def test_without_a_network_haar_stands_in_and_says_so_once_and_no_folder_is_made(alone, capsys):
    for _ in range(2):
        assert transform(PORTRAITS["astronaut"]).shape == PORTRAITS["astronaut"].shape
    assert capsys.readouterr().err.count("YuNet is not available") == 1
    assert not list(alone.iterdir())


def test_yunets_file_is_fetched_once_into_the_cache_folder(monkeypatch, tmp_path):
    def fetch(url, path, sha256, max_bytes):
        requests.append(url)
        write_atomically(path, b"yunet")
        return path

    requests = []
    monkeypatch.setattr(detect, "YUNET_SHA256", hashlib.sha256(b"yunet").hexdigest())
    monkeypatch.setattr(network, "fetch_pinned", fetch)
    monkeypatch.delenv("DRAGFACE_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for _ in range(2):
        assert detect._yunet_file() == tmp_path / "dragface" / detect.YUNET_FILE
    assert requests == [detect.YUNET_URL]


DETECTORS = [pytest.param("yunet", marks=pytest.mark.yunet), pytest.param("haar", marks=pytest.mark.haar)]


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 600), (3000, 2), (20, 100), (640, 31)])
def test_pictures_of_any_shape_can_be_searched(name, shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert open_detector(name).find(noise) == []
    assert find_faces(np.full_like(noise, 128), open_detector(name)) == []


@pytest.mark.yunet
@pytest.mark.parametrize(("portrait", "face"), [("astronaut", (170, 57, 107)), ("grace_hopper", (162, 102, 204))])
def test_yunet_finds_a_face_that_fills_the_photo(portrait, face):
    left, top, side = face
    close_up = PORTRAITS[portrait][top : top + side, left : left + side]
    close_up = cv2.resize(close_up, (1024, 1024), interpolation=cv2.INTER_CUBIC)
    (face_close_up,) = find_faces(close_up, open_detector("yunet"))
    eyes = (np.array(EYES[portrait]) - (left, top)) * 1024 / side
    np.testing.assert_allclose(face_close_up.points[:2], eyes, atol=0.08 * interocular(eyes))


@pytest.mark.yunet
@pytest.mark.parametrize("portrait", PORTRAITS)
def test_yunet_finds_a_small_face_in_a_large_photo(portrait):
    """80 pixels wide in 12 megapixels, as in a photo of a group, or of somebody far away."""
    whole = PORTRAITS[portrait]
    (face,) = find_faces(whole, open_detector("yunet"))
    small = cv2.resize(whole, None, fx=80 / face.box.width, fy=80 / face.box.width, interpolation=cv2.INTER_AREA)
    photo = cv2.resize(data.coffee(), (4000, 3000), interpolation=cv2.INTER_CUBIC)
    photo[2000 : 2000 + small.shape[0], 3000 : 3000 + small.shape[1]] = small
    (far,) = find_faces(photo, open_detector("yunet"))
    eyes = (np.array(EYES[portrait]) + 0.5) * 80 / face.box.width + (3000, 2000) - 0.5
    np.testing.assert_allclose(far.points[:2], eyes, atol=0.1 * interocular(eyes))
    assert not find_faces(cv2.resize(data.coffee(), (4000, 3000)), open_detector("yunet"))


def test_a_detector_that_is_not_known_is_refused():
    with pytest.raises(DragFaceError, match="auto, yunet or haar"):
        open_detector("dlib")


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_photo_on_its_side_gives_the_face_that_it_gives_upright(quarters, detector):
    photo = PORTRAITS["astronaut"]
    upright = find_faces(photo, detector)[0]
    turned = np.ascontiguousarray(np.rot90(photo, -quarters))
    (face,) = find_faces(turned, detector)
    assert face.quarters == quarters
    assert head_pose(face) == pytest.approx(head_pose(upright), abs=2)
    faces = [align.aligned_face(p, f.points) for p, f in ((photo, upright), (turned, face))]
    assert np.abs(faces[0].astype(int) - faces[1]).mean() < 6
    middle = face.box.x + face.box.width / 2, face.box.y + face.box.height / 2
    assert np.linalg.norm(face.points[55] - middle) < interocular(face.points)


@pytest.mark.yunet
@pytest.mark.parametrize("quarters", [1, 3])
def test_yunets_points_are_those_of_a_photo_on_its_side(quarters):
    for photo in PORTRAITS.values():
        turned = np.ascontiguousarray(np.rot90(photo, -quarters))
        (face,) = find_faces(turned, open_detector("yunet"))
        apart = np.linalg.norm(face.box.points - face.points[list(FIVE)], axis=1).max()
        assert apart < 0.25 * interocular(face.points)


def test_nothing_is_found_in_photos_without_a_face_whichever_way_up(detector, photos_folder):
    nothing = [np.ascontiguousarray(PORTRAITS["astronaut"][250:, 300:])]  # a model of the shuttle
    for photo in [*nothing, *map(open_photo, photos_folder.glob("detector/noface_[a-d]*.jpg"))]:
        assert find_faces(photo, detector) == []
