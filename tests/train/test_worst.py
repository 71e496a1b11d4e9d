"""The test faces that a run translates worst are listed and shown, for whoever goes through the faces."""

import csv

import pytest

from dragface_lib.errors import DragFaceError
from dragface_lib.model import Generator, save_generator
from dragface_lib.train import worst_faces


def test_the_worst_faces_are_written_to_a_table_and_shown(tiny, painted, tmp_path):
    config = tiny(tmp_path / "run", faces=str(painted))
    with pytest.raises(DragFaceError, match="no generator file"):
        worst_faces(config, tmp_path / "evaluation")
    save_generator(Generator(64, 2, 1), tmp_path / "run/generator.safetensors", {})
    sheet = worst_faces(config, tmp_path / "evaluation")
    with open(tmp_path / "evaluation/faces.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["score"]) for row in rows] == sorted(float(row["score"]) for row in rows)
    assert all((painted / row["face"]).is_file() for row in rows)
    assert sheet.shape[1] == 160 * len(rows)
    assert sheet.shape[0] > 2 * 160
