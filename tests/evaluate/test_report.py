"""The table, the picture and the files of an evaluation, and the statistics in them."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
import torchvision
from photo_server import Answer
from stand_in import StandIn

from dragface_lib.__main__ import main
from dragface_lib.errors import DragFaceError
from dragface_lib.evaluate import features
from dragface_lib.evaluate.features import own_features
from dragface_lib.evaluate.measures import kid, mean_interval
from dragface_lib.evaluate.report import MEANINGS, evaluate
from dragface_lib.evaluate.validation import Validation
from dragface_lib.images import open_photo
from dragface_lib.model import Generator, save_generator

SIZE = 64


@pytest.fixture(scope="module")
def truths(painted):
    return [face.truth for face in Validation(painted, SIZE).faces]


@pytest.fixture(scope="module")
def report(painted, truths):
    """Of a generator that paints the first face rightly and the second one not at all."""
    return evaluate(StandIn(lambda n, rgb: rgb if n else truths[n]), painted, features=own_features)


def test_every_measure_stands_beside_the_untouched_selfie_and_the_truth(report):
    assert list(report.measures) == list(MEANINGS)
    for name in MEANINGS.keys() - {"cam_logit"}:
        assert name in report.untouched
        assert name in report.truth
    assert report.measures["score"].value == pytest.approx(0.5, abs=0.03)
    assert report.measures["bare_eyes"].value == 0.5
    assert report.measures["cam_logit"].value == 0.5
    assert report.untouched["landmark_shift"] == 0 < report.truth["landmark_shift"] < 5
    assert report.truth["truth_lips"] < 0.5 < 5 < report.untouched["truth_lips"]
    for name, (value, low, high) in report.measures.items():
        assert low <= value <= high or name.startswith("kid"), name


def test_painted_faces_are_nearer_to_the_drag_domain_than_bare_ones(report):
    assert report.truth["kid_drag"] < report.untouched["kid_drag"]
    assert report.untouched["kid_selfie"] < report.truth["kid_selfie"] < 100  # in a range that can be read


def test_files_hold_the_table_the_picture_and_the_worst_face_first(report, tmp_path):
    report.save(tmp_path)
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["measures"]["score"]["value"] == report.measures["score"].value
    assert written["features"] == "our landmark network, 96 features"
    table = (tmp_path / "evaluation.md").read_text()
    assert all(f"| {label}" in table and meaning in table for label, _, meaning in MEANINGS.values())
    assert "our landmark network" in table
    with open(tmp_path / "faces.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["face"] for row in rows] == ["pairs/selfie/grace_hopper.png", "pairs/selfie/astronaut.png"]
    assert float(rows[0]["score"]) < 0.05 < 0.9 < float(rows[1]["score"])
    height, width = open_photo(tmp_path / "evaluation.jpg").shape[:2]
    assert height > 4 * 160
    assert width >= 2 * 160


def test_without_pairs_the_table_says_nothing_of_a_truth(painted, tmp_path):
    for domain in ("selfie", "drag"):
        (tmp_path / domain).symlink_to(painted / domain)
    found = evaluate(StandIn(lambda n, rgb: rgb), tmp_path, features=own_features)
    assert not found.truth
    assert "psnr" not in found.measures
    assert "truth" not in found.rows[0]
    assert {"score", "makeup", "kid_drag", "background_db", "landmark_shift"} <= found.measures.keys()
    assert found.rows[0]["face"].startswith("selfie/test/")


def test_faces_without_a_drag_domain_are_refused(painted, tmp_path):
    for name in ("pairs", "selfie"):
        (tmp_path / name).symlink_to(painted / name)
    with pytest.raises(DragFaceError, match="drag/train"):
        evaluate(StandIn(lambda n, rgb: rgb), tmp_path, features=own_features)


def test_kid_is_the_unbiased_estimate_written_out():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(4, 3)), rng.normal(1, 1, size=(5, 3))

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    within_x = np.mean([k(x[i], x[j]) for i in range(4) for j in range(4) if i != j])
    within_y = np.mean([k(y[i], y[j]) for i in range(5) for j in range(5) if i != j])
    across = np.mean([k(a, b) for a in x for b in y])
    assert kid(x, y).value == pytest.approx(within_x + within_y - 2 * across)


def test_kid_of_two_samples_of_one_kind_is_about_0_and_grows_with_the_difference():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(150, 8))
    same, near, far = (kid(rng.normal(shift, 1, size=(80, 8)), real) for shift in (0, 0.5, 1))
    assert same.low < 0 < same.high
    assert 0 < near.low < near.value < far.low


def test_the_interval_of_a_mean_holds_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    intervals = [mean_interval(rng.normal(5, 2, size=40)) for _ in range(200)]
    assert 0.88 <= np.mean([low <= 5 <= high for _, low, high in intervals]) <= 0.99
    assert mean_interval([1.0, 2.0, 4.0]) == mean_interval([1.0, 2.0, 4.0])


def test_inception_is_used_where_its_weights_lie(monkeypatch, tmp_path, truths):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(features, "INCEPTION_SHA256", "")  # these weights are random
    path = tmp_path / "hub" / "checkpoints" / "inception_v3_google-0cc3c7bd.pth"
    path.parent.mkdir(parents=True)
    torch.save(torchvision.models.inception_v3(init_weights=False).state_dict(), path)
    found = features.open_features()
    assert found.name.startswith("Inception v3")
    assert found.of(truths[:2]).shape == (2, 2048)


def test_other_bytes_than_inceptions_are_not_stored_and_our_own_features_are_named(
    monkeypatch, tmp_path, mirror, capsys
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    mirror.misbehave(features.INCEPTION, Answer(200, b"something else"))
    assert "landmark" in features.open_features().name
    assert "other bytes" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.pth"))


def test_the_command_prints_a_table_or_json_and_writes_the_files(painted, mirror, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights, out = tmp_path / "generator.safetensors", tmp_path / "out"
    save_generator(Generator(SIZE, 2, 1), weights, {"look": "none"})
    command = ["evaluate", "--faces", str(painted), "--weights", str(weights), "-o", str(out)]
    assert main(command) == 0
    assert "| measure | this generator |" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faces"] == 2
    assert {path.name for path in out.iterdir()} == {
        "evaluation.json",
        "evaluation.md",
        "evaluation.jpg",
        "faces.csv",
    }
    assert main([*command[:1], "--faces", str(tmp_path / "nowhere"), "-o", str(out)]) == 2
    assert "no faces at" in capsys.readouterr().err
