"""The table, the pictures and the files of an evaluation, and the intervals in them."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from stand_in import StandIn

from dragface_lib.__main__ import main
from dragface_lib.evaluate import MEANINGS, Validation, evaluate
from dragface_lib.evaluate.measures import mean_interval
from dragface_lib.images import open_photo
from dragface_lib.model import Generator, save_generator

FILES = {"evaluation.json", "evaluation.md", "evaluation.jpg", "faces.csv"}


@pytest.fixture(scope="module")
def report(painted):
    """Of a generator that paints the first face rightly and the second one not at all."""
    truths = [face.truth for face in Validation(painted).faces]
    return evaluate(StandIn(lambda n, rgb: rgb if n else truths[n]), painted)


def test_every_measure_stands_beside_the_untouched_selfie_and_the_truth(report):
    measures = report.numbers["measures"]
    assert list(MEANINGS) == list(measures)
    assert measures["score"]["value"] == pytest.approx(0.5)
    assert measures["bare_eyes"]["value"] == 0.5
    assert measures["landmark_shift"]["untouched"] == 0 < measures["landmark_shift"]["truth"] < 5
    for name, measure in measures.items():
        assert measure["low"] <= measure["value"] <= measure["high"], name


def test_files_hold_the_table_the_picture_and_the_worst_face_first(report, tmp_path):
    report.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written == report.numbers
    assert written["faces"] == 2
    table = (tmp_path / "evaluation.md").read_text()
    assert table == f"{report.table()}\n"
    assert all(f"| {label}" in table and meaning in table for label, meaning in MEANINGS.values())
    with open(tmp_path / "faces.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["face"] for row in rows] == ["pairs/selfie/grace_hopper.png", "pairs/selfie/astronaut.png"]
    assert float(rows[0]["score"]) == 0
    assert float(rows[1]["score"]) == 1
    height, width = open_photo(tmp_path / "evaluation.jpg").shape[:2]
    assert height > 3 * 160
    assert width >= 2 * 160


def test_without_pairs_the_table_says_nothing_of_a_truth(painted, tmp_path):
    for domain in ("selfie", "drag"):
        (tmp_path / domain).symlink_to(painted / domain)
    found = evaluate(StandIn(lambda n, rgb: rgb), tmp_path)
    assert found.numbers["measures"]["score"]["truth"] is None
    assert "| score | 0 (0 to 0) | 0 |  |" in found.table()
    assert found.rows[0]["face"].startswith("selfie/test/")


def test_the_worst_faces_are_written_to_a_table_and_shown(painted, tmp_path):
    report = evaluate(Generator(64, 2, 1), painted)
    report.save(tmp_path)
    sheet = report.worst
    with open(tmp_path / "faces.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["score"]) for row in rows] == sorted(float(row["score"]) for row in rows)
    assert all((painted / row["face"]).is_file() for row in rows)
    assert sheet.shape[1] == 160 * len(rows)
    assert sheet.shape[0] > 2 * 160


def test_the_interval_of_a_mean_holds_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    intervals = [mean_interval(rng.normal(5, 2, size=40)) for _ in range(200)]
    assert 0.88 <= np.mean([interval["low"] <= 5 <= interval["high"] for interval in intervals]) <= 0.99
    assert mean_interval([1.0, 2.0, 4.0]) == mean_interval([1.0, 2.0, 4.0])


def test_the_command_prints_a_table_and_writes_the_files(painted, tmp_path, capsys):
    weights, out = tmp_path / "generator.safetensors", tmp_path / "out"
    save_generator(Generator(64, 2, 1), weights, {"look": "none"})
    command = ["evaluate", "--faces", str(painted), "--weights", str(weights), "-o", str(out)]
    assert main(command) == 0
    assert "| measure | this generator |" in capsys.readouterr().out
    assert json.loads((out / "evaluation.json").read_text())["faces"] == 2
    assert {path.name for path in out.iterdir()} == FILES
    assert main([*command[:1], "--faces", str(tmp_path / "nowhere"), "-o", str(out)]) == 2
    assert "no faces at" in capsys.readouterr().err
