"""Each gate's number moves with what it is named after and with little else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from detecting import DETECTOR
from skimage import data

from dragface_lib.crop import align, balance, card, crop_photos, cutting, pack, read_crops, write_card
from dragface_lib.crop.detect import Box, open_detector
from dragface_lib.crop.find import Face, find_faces
from dragface_lib.crop.landmarks import CONTOURS
from dragface_lib.crop.measure import FIVE, HEAD, hair, head_pose, measure, pose_of
from dragface_lib.crop.quality import GATES, changed_gates, fault, limits, quality
from dragface_lib.crop.table import CropRow, write_crops
from dragface_lib.errors import DragFaceError
from dragface_lib.images import open_photo, save_photo
from dragface_lib.manifest import read_manifest


@pytest.fixture(scope="module")
def seen(portraits):
    photos = {name: open_photo(path) for name, path in portraits.items()}
    return {name: (photo, find_faces(photo, open_detector(DETECTOR))[0]) for name, photo in photos.items()}


def numbers(photo, face, others=()):
    return measure(photo, face, align.aligned_face(photo, face.points), others)


def test_both_portraits_pass_all_gates(seen):
    for photo, face in seen.values():
        assert fault(numbers(photo, face)) == ""


@pytest.mark.parametrize(
    ("gate", "change"),
    [
        ("sharpness", lambda photo: cv2.GaussianBlur(photo, (0, 0), 3)),
        ("brightness", lambda photo: (photo * 0.28).astype(np.uint8)),
        ("blown", lambda photo: (photo.astype(float) * 2.6).clip(0, 255).astype(np.uint8)),
        ("contrast", lambda photo: (photo * 0.25 + 90).astype(np.uint8)),
        ("colour", lambda photo: cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)),
        ("colour", lambda photo: (photo.mean(2, keepdims=True) * [1, 0.85, 0.65]).astype(np.uint8)),
    ],
)
def test_a_photo_made_worse_falls_at_the_gate_of_that_name(seen, gate, change):
    photo, face = seen["grace_hopper"]
    (gate,) = (known for known in GATES if known.name == gate)
    assert gate.passes(numbers(photo, face)[gate.name], gate.limit)
    assert not gate.passes(numbers(change(photo), face)[gate.name], gate.limit)
    assert quality(numbers(change(photo), face)) < 1


def test_soft_light_is_not_blur_and_half_a_stop_less_not_darkness(seen):
    photo, face = seen["grace_hopper"]
    soft = numbers((photo * 0.5 + 50).astype(np.uint8), face)
    assert soft["sharpness"] == pytest.approx(numbers(photo, face)["sharpness"], abs=0.05)
    assert fault(numbers((photo * 0.85).astype(np.uint8), face)) == ""


def test_a_face_that_was_enlarged_has_less_detail_than_its_pixels_promise(seen):
    photo, face = seen["grace_hopper"]
    scale = 12 / np.linalg.norm(face.points[1] - face.points[0])
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    enlarged = cv2.resize(small, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    assert numbers(enlarged, face)["resolution"] < limits()["resolution"] < numbers(photo, face)["resolution"]


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (25, 0, 0), (-40, 0, 0), (0, 15, 0), (0, -15, 10)])
def test_a_head_turned_by_known_angles_is_measured(yaw, pitch, roll):
    y, p, r = np.radians([yaw, -pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    points = (HEAD @ (about_z @ about_x @ about_y).T)[:, :2] * 80 + 200
    np.testing.assert_allclose(pose_of(points), (yaw, pitch, roll), atol=2.5)


def test_glasses_are_told_from_none(seen):
    """Grace Hopper wears rimless ones, which come close to the threshold; she was not trained on."""
    assert numbers(*seen["grace_hopper"])["glasses"] > numbers(*seen["astronaut"])["glasses"] + 0.5


def test_a_gate_that_only_ranks_rejects_when_a_threshold_is_given(seen):
    measured = numbers(*seen["grace_hopper"])
    assert fault(measured) == ""
    assert fault(measured, limits({"glasses": -0.5})) == "glasses"
    assert fault(measured | {"glasses": -0.6}, limits({"glasses": -0.5})) == ""


def test_another_face_in_the_crop_is_counted(seen):
    photo, face = seen["grace_hopper"]
    apart = np.linalg.norm(face.points[1] - face.points[0])
    near, far = face._replace(points=face.points + [apart, 0]), face._replace(points=face.points + [9 * apart, 0])
    assert fault(numbers(photo, face, [near])) == "2 faces in one crop"
    assert fault(numbers(photo, face, [far])) == ""


def test_a_face_goes_back_to_its_place_within_half_a_pixel(seen):
    for photo, face in seen.values():
        matrix = align.similarity(face.points)
        marked = np.zeros_like(photo)
        x, y = face.points[55].round().astype(int)
        cv2.circle(marked, (int(x), int(y)), 5, (255, 255, 255), -1)
        back = cv2.warpAffine(
            align.aligned_face(marked, face.points),
            matrix,
            photo.shape[1::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        weights = back[..., 0].astype(float)
        rows, columns = np.indices(weights.shape)
        centre = (weights * columns).sum() / weights.sum(), (weights * rows).sum() / weights.sum()
        np.testing.assert_allclose(centre, (x, y), atol=0.5)


def kept(number, domain="selfie", **values):
    return CropRow(f"{number}.jpg", domain, "train", status="kept", face=f"{domain}/train/{number}.jpg", numbers=values)


def test_a_table_says_what_the_domains_differ_in():
    rng = np.random.default_rng(0)
    rows = [kept(n, light=rng.normal(150, 20), background=rng.normal(120, 40)) for n in range(30)]
    rows += [kept(n, "drag", light=rng.normal(70, 20), background=120.0) for n in range(30)]
    lines = {line.split(" | ")[0]: line.split(" | ")[1:4] for line in balance(rows).splitlines()[2:]}
    assert lines.keys() == {"| light", "| background"}
    assert lines["| background"][1] == "120"
    assert int(lines["| light"][2].rstrip("%")) < 10
    assert balance(rows[:30]).count("\n") == 1  # the header alone


def test_the_card_travels_with_the_faces_and_is_the_same_twice(tmp_path, portraits):
    faces = tmp_path / "faces"
    crop_photos(portraits["astronaut"].parent, faces, detector=DETECTOR, progress=False)
    text = write_card(faces, gates={"yaw": 20}).read_text()
    assert "| selfie | 2 | 0 | 0 | 0 | 0 |" in text
    assert "| yaw | at most 20 |" in text
    assert "only ranks" in text
    first = pack(faces, tmp_path / "faces.zip").read_bytes()
    write_card(faces, gates={"yaw": 20})
    assert pack(faces, tmp_path / "again.zip").read_bytes() == first
    assert b"card.png" in first
    mean = card.mean_face(faces, read_crops(faces))
    both = [open_photo(faces / row.face).astype(int) for row in read_crops(faces)]
    np.testing.assert_array_equal(mean, sum(both) // 2)


def test_several_threads_give_what_one_gives_and_a_fault_with_one_photo_costs_itself(tmp_path, portraits, monkeypatch):
    for number in range(3):
        save_photo(tmp_path / "photos" / f"{number} ü.jpg", np.roll(open_photo(portraits["astronaut"]), number * 9, 1))
    options = {"detector": DETECTOR, "progress": False, "gates": {"copy": 1}}
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    rows = crop_photos(tmp_path / "photos", tmp_path / "one", **options)
    assert [row.status for row in rows] == ["kept"] * 3
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert crop_photos(tmp_path / "photos", tmp_path / "several", **options) == rows
    save_photo(tmp_path / "photos" / "bad.jpg", np.full((64, 64, 3), 7, np.uint8))

    def find(photo, detector):
        assert photo.shape != (64, 64, 3), "broken"
        return find_faces(photo, detector)

    monkeypatch.setattr(cutting, "find_faces", find)
    bad, *others = sorted(
        crop_photos(tmp_path / "photos", tmp_path / "third", **options), key=lambda row: row.status != "unreadable"
    )
    assert (bad.photo, bad.status) == ("bad.jpg", "unreadable")
    assert "bad.jpg cannot be cropped (AssertionError: broken" in bad.reason
    assert others == rows


def test_a_face_without_numbers_can_be_put_in_order():
    assert quality({}) == 2.0


def test_an_unknown_gate_is_one_sentence():
    with pytest.raises(DragFaceError, match="no gate 'size': use one of eyes"):
        limits({"size": 1})


def test_the_card_knows_the_sources_of_photos_cropped_from_a_folder_further_down(tmp_path):
    manifest = Path(__file__).parents[2] / "data_manifest.csv"
    entry = read_manifest(manifest)[1]
    row = CropRow(Path(entry.file).name, "selfie", "train", entry.split_group, "kept", face="selfie/train/1.jpg")
    stranger = replace(row, photo="nobody.jpg", split_group="nobody.jpg")
    write_crops(tmp_path, [row, stranger])
    text = write_card(tmp_path, manifest).read_text()
    assert f"| {entry.licence} | {entry.author} | 1 |" in text
    assert "| not in the manifest |  | 1 |" in text


def test_the_detectors_points_are_not_believed_where_the_eyes_lie_otherwise():
    """A photo on its side: YuNet sorts its eyes as if the head were upright, and a frontal face looked turned by 70."""
    points = np.zeros((189, 2))
    points[list(FIVE)] = HEAD[:, :2] @ np.array([[0.0, 100.0], [-100.0, 0.0]])  # leaning by 90 degrees
    mistaken = points[list(FIVE)][[0, 2, 1, 3, 4]]
    box = Box(0, 0, 1, 1, 1.0, points=mistaken)
    yaw, pitch, roll = head_pose(Face(box, points, 1.0))
    assert (yaw, pitch) == pytest.approx((0, 0), abs=1)
    assert roll == pytest.approx(90)
    agreed = points[list(FIVE)] + [[0, 0], [0, 0], [0, 20], [0, 0], [0, 0]]  # its nose further to the side
    assert head_pose(Face(box._replace(points=agreed), points, 1.0)) == pose_of(agreed)


def test_a_form_gives_thresholds():
    assert changed_gates("pitch=15 copy=1", yaw="20", eyes="") == {"yaw": 20, "pitch": 15, "copy": 1}
    for text in ("pitch", "pitch=much", "size=3"):
        with pytest.raises(DragFaceError, match="gate"):
            changed_gates(text)


def test_hair_worn_long_is_told_from_hair_worn_short():
    astronaut = np.ascontiguousarray(data.astronaut())
    found = find_faces(astronaut, open_detector(DETECTOR))[0]
    face = align.aligned_face(astronaut, found.points)
    points = align.apply(align.similarity(found.points), found.points)
    jaw = points[list(CONTOURS["jaw"])]
    head = cv2.fillConvexPoly(np.zeros((256, 256), np.uint8), cv2.convexHull(jaw.round().astype(np.int32)), 1)
    below = (np.arange(256) > points[:2, 1].mean())[:, None] & (head == 0)
    colour = np.median(face[40:52, 110:146].reshape(-1, 3), axis=0)  # of the fringe
    worn_long, short = (np.where(below[..., None], fill, face).astype(np.uint8) for fill in (colour, (90, 140, 220)))
    values = [hair(cv2.cvtColor(np.float32(f) / 255, cv2.COLOR_RGB2LAB), points) for f in (worn_long, short)]
    assert values[0] > 0.9
    assert values[1] < 0.1
