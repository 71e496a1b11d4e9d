"""What is measured of a generator: on people, bare and painted."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from stand_in import StandIn

from dragface_lib.crop import pack
from dragface_lib.errors import DragFaceError
from dragface_lib.evaluate.validation import LEFT_EYE, OUTSIDE, Validation
from dragface_lib.images import open_photo, save_photo
from dragface_lib.model import Generator
from dragface_lib.model.weights import load_generator, starter_path


@pytest.fixture(scope="module")
def validation(painted):
    return Validation(painted)


@pytest.fixture(scope="module")
def crowd(people):
    return Validation(people)


@pytest.fixture
def unpaired(painted, tmp_path):
    """The same faces without pairs."""
    for domain in ("selfie", "drag"):
        (tmp_path / domain).symlink_to(painted / domain)
    return Validation(tmp_path)


def truth(validation):
    return StandIn(lambda n, rgb: validation.faces[n].truth)


def bare(n, rgb):
    return rgb


def shifted(n, faces):
    return np.roll(faces[n].truth, (2, 2), (0, 1))


def blurred(n, faces):
    return cv2.GaussianBlur(faces[n].truth, (0, 0), 1.5)


def at_half_strength(n, faces):
    return faces[n].truth / 2 + faces[n].bare / 2


def with_a_bare_eye(n, faces):
    return np.where(faces[n].parts[LEFT_EYE, ..., None], faces[n].bare, faces[n].truth)


def in_the_wrong_colours(n, faces):
    return faces[n].bare + (faces[n].truth.astype(float) - faces[n].bare)[..., ::-1]


def with_the_make_up_of_somebody_else(n, faces):
    other = faces[n - 1]
    return faces[n].bare + (other.truth.astype(float) - other.bare)


def of_somebody_else(n, faces):
    return faces[n - 1].truth


def spilt_over_the_background(n, faces):
    return np.where(faces[n].parts[OUTSIDE, ..., None], faces[n].bare + [50.0, -20, 20], faces[n].truth)


def score(validation, change):
    return validation(StandIn(lambda n, rgb: change(n, validation.faces)))


def test_the_truth_scores_1_and_the_selfie_0_at_every_level(crowd):
    true, selfie = crowd(truth(crowd)), crowd(StandIn(bare))
    for name in ("score", "line", "shape", "colour", "eyes", "mouth"):
        assert true[name] == pytest.approx(1)
        assert selfie[name] == pytest.approx(0)
    assert (selfie["makeup"], selfie["bare_eyes"], selfie["outside"], selfie["landmark_shift"]) == (0, 1, 60, 0)
    assert true["makeup"] > 20
    assert true["landmark_shift"] < 5


def test_the_truth_shifted_by_two_pixels_is_hardly_worse_than_the_truth(crowd):
    found = score(crowd, shifted)
    assert found["score"] > 0.82
    assert found["line"] > 0.8


@pytest.mark.parametrize(
    ("fault", "most"),
    [
        (blurred, 0.5),
        (at_half_strength, 0.5),
        (with_a_bare_eye, 0.72),
        (in_the_wrong_colours, 0.6),
        (with_the_make_up_of_somebody_else, 0.72),
        (of_somebody_else, 0.5),
        (spilt_over_the_background, 0.75),
    ],
)
def test_the_truth_with_a_fault_is_clearly_worse(crowd, fault, most):
    assert score(crowd, fault)["score"] < most < score(crowd, shifted)["score"]


def test_blur_costs_lines_and_wrong_colours_cost_colour(crowd):
    blur, colours = score(crowd, blurred), score(crowd, in_the_wrong_colours)
    assert blur["line"] < 0.2 < 0.8 < blur["colour"]
    assert colours["colour"] < 0.4 < colours["line"]


def test_the_starters_crisp_make_up_scores_more_than_the_same_make_up_smudged(crowd):
    generator = load_generator(starter_path("classic"))
    crisp = list(crowd.translate(generator))
    smudged = StandIn(lambda n, rgb: rgb + cv2.GaussianBlur(crisp[n] - rgb, (0, 0), 2.5))
    assert crowd(StandIn(lambda n, rgb: crisp[n]))["score"] > 0.5
    assert crowd(smudged)["score"] < 0.45


def test_the_change_of_a_smaller_generator_is_added_to_the_face(crowd):
    assert crowd(StandIn(bare, 128)) == crowd(StandIn(bare))
    small = StandIn(lambda n, rgb: cv2.resize(crowd.faces[n].truth, (128, 128), interpolation=cv2.INTER_AREA), 128)
    found = crowd(small)
    assert found["line"] < 0.7 < found["shape"]
    assert found["outside"] > 50


def test_a_painted_background_lowers_outside_and_not_makeup(validation):
    true, spilt = validation(truth(validation)), score(validation, spilt_over_the_background)
    assert spilt["outside"] < 25 < 50 < true["outside"]
    assert spilt["makeup"] == pytest.approx(true["makeup"], rel=0.1)


def test_lips_and_each_lid_are_measured_by_themselves(validation):
    both, left_bare = validation(truth(validation)), score(validation, with_a_bare_eye)
    assert both["bare_eyes"] == 0
    assert left_bare["bare_eyes"] == 0.5
    assert left_bare["makeup"] < both["makeup"] - 3
    assert left_bare["mouth"] == 1
    assert left_bare["eyes"] == pytest.approx(0.5, abs=0.1)


def test_where_no_truth_is_known_make_up_like_that_of_the_drag_domain_scores_more(unpaired, validation):
    made, selfie = unpaired(truth(validation)), unpaired(StandIn(bare))
    smudged = unpaired(StandIn(lambda n, rgb: blurred(n, validation.faces)))
    elsewhere = unpaired(StandIn(lambda n, rgb: spilt_over_the_background(n, validation.faces)))
    somebody = unpaired(StandIn(lambda n, rgb: of_somebody_else(n, validation.faces)))
    assert made["score"] > 0.4
    assert selfie["score"] == pytest.approx(0, abs=1e-5)
    assert max(smudged["score"], elsewhere["score"]) < made["score"] - 0.2
    assert somebody["score"] < 0


def test_where_drag_comes_in_several_looks_each_is_good(painted, validation, tmp_path):
    """Lipstick half of red and half of blue is on average grey: a face is compared to the nearest faces alone."""
    (tmp_path / "selfie").symlink_to(painted / "selfie")
    for path in sorted((painted / "drag").glob("*/*.jpg")):
        selfie = open_photo(painted / "selfie" / path.relative_to(painted / "drag")).astype(float)
        other = np.clip(selfie + (open_photo(path) - selfie)[..., ::-1], 0, 255).astype(np.uint8)
        save_photo(tmp_path / "drag" / "train" / path.name, open_photo(path))
        save_photo(tmp_path / "drag" / "train" / f"other_{path.parent.name}_{path.name}", other)
    both = Validation(tmp_path)
    for make in (lambda n, faces: faces[n].truth, in_the_wrong_colours):
        assert both(StandIn(lambda n, rgb, make=make: make(n, validation.faces)))["score"] > 0.3


def test_measuring_changes_neither_the_generator_nor_any_random_state(validation):
    generator = Generator(64, 2, 1).train()
    modes = [module.training for module in generator.modules()]
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second = validation(generator), validation(generator)
    assert first == second
    assert [module.training for module in generator.modules()] == modes
    assert all(parameter.requires_grad for parameter in generator.parameters())
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1] == state[1]).all()


def test_an_archive_gives_the_same_numbers_as_the_folder(painted, validation, tmp_path):
    archive = Validation(pack(painted, tmp_path / "faces.zip"))
    generator = Generator(64, 2, 1)
    assert archive(generator) == validation(generator)


def test_pictures_without_a_face_are_left_out_and_faces_without_any_are_an_error(painted, tmp_path):
    for domain in ("selfie", "drag"):
        (tmp_path / "pairs" / domain).mkdir(parents=True)
        (tmp_path / "pairs" / domain / "anna.png").symlink_to(painted / "pairs" / domain / "astronaut.png")
        save_photo(tmp_path / "pairs" / domain / "wall.png", np.full((256, 256, 3), 90, np.uint8))
        (tmp_path / "pairs" / domain / "torn.png").write_bytes(b"not a picture")
    found = Validation(tmp_path)
    assert [face.name for face in found.faces] == ["anna.png"]
    assert found.left_out == ["torn.png", "wall.png"]
    (tmp_path / "pairs" / "selfie" / "anna.png").unlink()
    with pytest.raises(DragFaceError, match=r"no test face .* no face is seen in its place on torn\.png"):
        Validation(tmp_path)
    with pytest.raises(DragFaceError, match="no test face .* make practice faces"):
        Validation(tmp_path / "pairs" / "selfie")
    with pytest.raises(DragFaceError, match="no faces at"):
        Validation(tmp_path / "elsewhere")


def test_neither_pairs_nor_drag_faces_are_an_error(painted, tmp_path):
    (tmp_path / "selfie").symlink_to(painted / "selfie")
    with pytest.raises(DragFaceError, match="no pairs and no drag faces"):
        Validation(tmp_path)
