"""What is measured of a generator: on the two portraits, bare and painted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stand_in import StandIn

from dragface_lib.crop import pack
from dragface_lib.errors import DragFaceError
from dragface_lib.evaluate.validation import OUTSIDE, Validation
from dragface_lib.images import open_photo, save_photo
from dragface_lib.model import Generator

SIZE = 64


@pytest.fixture(scope="module")
def validation(painted):
    return Validation(painted, SIZE)


@pytest.fixture
def unpaired(painted, tmp_path):
    """The same faces without pairs."""
    for domain in ("selfie", "drag"):
        (tmp_path / domain).symlink_to(painted / domain)
    return Validation(tmp_path, SIZE)


def truth(validation):
    return StandIn(lambda n, rgb: validation.faces[n].truth)


def noise(n, rgb):
    return np.random.default_rng(n).uniform(0, 255, rgb.shape)


def test_the_truth_scores_1_the_selfie_0_and_noise_less(validation):
    found = [validation(generator) for generator in (truth(validation), StandIn(lambda n, rgb: rgb), StandIn(noise))]
    true, bare, noisy = found
    assert true["score"] > 0.95
    assert bare["score"] == pytest.approx(0, abs=0.01)
    assert noisy["score"] < -1
    assert true["truth_error"] == pytest.approx(0, abs=0.01)
    assert bare["truth_error"] > 5
    assert (bare["makeup"], bare["bare_eyes"], bare["background_db"]) == (0, 1, 60)


def test_make_up_in_the_wrong_colour_scores_less_than_half_of_the_right_make_up(validation):
    def recoloured(n, rgb):
        return rgb + (validation.faces[n].truth - rgb)[..., ::-1]

    def half(n, rgb):
        return (validation.faces[n].truth + rgb) / 2

    assert validation(StandIn(recoloured))["score"] < validation(StandIn(half))["score"] < 0.7


def test_a_painted_background_lowers_background_db_and_score(validation):
    def spilt(n, rgb):
        face = validation.faces[n]
        return np.where(face.parts[OUTSIDE, ..., None] > 127, rgb + 20, face.truth)

    true, worse = validation(truth(validation)), validation(StandIn(spilt))
    assert worse["background_db"] < 25 < 50 < true["background_db"]
    assert worse["score"] < true["score"] - 0.2
    assert worse["makeup"] == pytest.approx(true["makeup"], rel=0.1)


def test_lips_and_each_lid_are_measured_by_themselves(validation):
    def one_eye(n, rgb):
        face = validation.faces[n]
        return np.where(np.arange(SIZE)[None, :, None] < SIZE // 2, face.truth, rgb)

    both, half = validation(truth(validation)), validation(StandIn(one_eye))
    assert both["bare_eyes"] == 0
    assert half["bare_eyes"] == 0.5
    assert both["lips"] > 12
    assert both["lids"] > 12
    assert 0.4 < half["lids"] / both["lids"] < 0.6


def test_where_no_truth_is_known_make_up_like_that_of_the_drag_domain_scores_more(unpaired, validation):
    made = unpaired(truth(validation))
    bare, noisy = unpaired(StandIn(lambda n, rgb: rgb)), unpaired(StandIn(noise))
    assert "truth_error" not in made
    assert made["score"] > 0.5
    assert bare["score"] == pytest.approx(0, abs=0.01)
    assert noisy["score"] < -1


def test_where_drag_comes_in_several_looks_each_is_good(painted, validation, tmp_path):
    """Lipstick half of red and half of blue is on average grey: a face is compared to the nearest looks alone."""
    (tmp_path / "selfie").symlink_to(painted / "selfie")
    for path in sorted((painted / "drag").glob("*/*.jpg")):
        bare = open_photo(painted / "selfie" / path.relative_to(painted / "drag")).astype(float)
        other = np.clip(bare + (open_photo(path) - bare)[..., ::-1], 0, 255).astype(np.uint8)
        save_photo(tmp_path / "drag" / "train" / path.name, open_photo(path))
        save_photo(tmp_path / "drag" / "train" / f"other_{path.parent.name}_{path.name}", other)
    assert Validation(tmp_path, SIZE)(truth(validation))["score"] > 0.5


def test_measuring_changes_neither_the_generator_nor_any_random_state(validation):
    generator = Generator(SIZE, 2, 1)
    generator.train()
    generator.encoder.eval()
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
    archive = Validation(pack(painted, tmp_path / "faces.zip"), SIZE)
    generator = Generator(SIZE, 2, 1)
    assert archive(generator) == validation(generator)


def test_the_same_face_measures_alike_at_every_size(painted, validation):
    larger = Validation(painted, 256)
    small, large = validation(truth(validation)), larger(truth(larger))
    assert small["makeup"] == pytest.approx(large["makeup"], rel=0.15)


def test_pictures_without_a_face_are_left_out_and_faces_without_any_are_an_error(painted, tmp_path):
    for domain in ("selfie", "drag"):
        (tmp_path / "pairs" / domain).mkdir(parents=True)
        (tmp_path / "pairs" / domain / "anna.png").symlink_to(painted / "pairs" / domain / "astronaut.png")
        save_photo(tmp_path / "pairs" / domain / "wall.png", np.full((256, 256, 3), 90, np.uint8))
    found = Validation(tmp_path, SIZE)
    assert [face.name for face in found.faces] == ["anna.png"]
    assert found.left_out == ["wall.png"]
    (tmp_path / "pairs" / "selfie" / "anna.png").unlink()
    with pytest.raises(DragFaceError, match="no test face"):
        Validation(tmp_path, SIZE)
    with pytest.raises(DragFaceError, match="no faces at"):
        Validation(tmp_path / "elsewhere", SIZE)
