"""The test faces that a run translates worst are listed and shown, for whoever goes through the faces."""

import csv

from dragface_lib.evaluate import worst_faces
from dragface_lib.model import Generator


def test_the_worst_faces_are_written_to_a_table_and_shown(painted, tmp_path):
    sheet = worst_faces(Generator(64, 2, 1), painted, tmp_path / "evaluation")
    with open(tmp_path / "evaluation/faces.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["score"]) for row in rows] == sorted(float(row["score"]) for row in rows)
    assert all((painted / row["face"]).is_file() for row in rows)
    assert sheet.shape[1] == 160 * len(rows)
    assert sheet.shape[0] > 2 * 160
