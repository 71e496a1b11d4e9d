"""Decisions by hand go before the gates, survive a kill at any moment, and can be taken back."""

from __future__ import annotations

import pytest

from dragface_lib.crop.decisions import (
    apply_decisions,
    face_key,
    read_decisions,
    record_decisions,
    share_decisions,
)
from dragface_lib.crop.rows import CropRow
from dragface_lib.errors import DragFaceError

GOOD = CropRow("anna.jpg", "selfie", "test", "anna", "kept", "", "selfie/test/anna.jpg", "")
SOFT = CropRow("ben.jpg", "drag", "train", "ben", "rejected", "blurred: 3", "rejected/drag/ben.jpg", "")
NONE = CropRow("tree.jpg", "selfie", "train", "tree", "no_face", "no face was found", "", "")


@pytest.fixture
def faces(tmp_path):
    for row in (GOOD, SOFT):
        (tmp_path / row.face).parent.mkdir(parents=True)
        (tmp_path / row.face).write_text(row.photo)
    return tmp_path


def here(faces):
    return {path.relative_to(faces).as_posix(): path.read_text() for path in faces.rglob("*.jpg")}


def test_a_face_has_one_name_wherever_its_file_is():
    names = {face_key(face) for face in ("selfie/test/anna.jpg", "rejected/selfie/anna.jpg", "selfie/anna.jpg")}
    assert names == {"selfie/anna.jpg"}


def test_a_decision_moves_the_face_and_keeps_its_split_and_what_the_gates_said(faces):
    record_decisions(faces, {"selfie/anna.jpg": "reject", "drag/ben.jpg": "keep"})
    anna, ben, tree = apply_decisions(faces, [GOOD, SOFT, NONE])
    assert (anna.status, anna.reason, anna.split, anna.face) == (
        "rejected",
        "by hand",
        "test",
        "rejected/selfie/anna.jpg",
    )
    assert (ben.status, ben.reason, ben.face) == ("kept", "by hand, though blurred: 3", "drag/train/ben.jpg")
    assert tree == NONE
    assert here(faces) == {anna.face: "anna.jpg", ben.face: "ben.jpg"}


def test_a_decision_that_was_undone_leaves_the_face_to_the_gates_again(faces):
    record_decisions(faces, {"selfie/anna.jpg": "reject", "drag/ben.jpg": "keep"})
    rows = apply_decisions(faces, [GOOD, SOFT])
    record_decisions(faces, {"selfie/anna.jpg": "undo", "drag/ben.jpg": "undo"})
    assert read_decisions(faces) == {}
    assert apply_decisions(faces, rows) == [GOOD, SOFT]
    assert here(faces) == {GOOD.face: "anna.jpg", SOFT.face: "ben.jpg"}


def test_a_decision_that_the_gates_share_changes_nothing_but_holds_when_they_change_their_mind(faces):
    record_decisions(faces, {"selfie/anna.jpg": "keep"})
    assert apply_decisions(faces, [GOOD, SOFT]) == [GOOD, SOFT]
    judged_anew = CropRow(**{**vars(GOOD), "status": "rejected", "reason": "dark", "face": "rejected/selfie/anna.jpg"})
    (faces / GOOD.face).rename(faces / "anna_was_moved.jpg")
    (faces / judged_anew.face).parent.mkdir(parents=True)
    (faces / "anna_was_moved.jpg").rename(faces / judged_anew.face)
    (anna,) = apply_decisions(faces, [judged_anew])
    assert (anna.status, anna.reason) == ("kept", "by hand, though dark")
    assert (faces / "selfie/test/anna.jpg").is_file()


@pytest.mark.parametrize("moved", [False, True])
def test_killed_between_the_decision_and_its_consequences_the_next_start_goes_on(faces, moved):
    record_decisions(faces, {"selfie/anna.jpg": "reject"})
    if moved:
        apply_decisions(faces, [GOOD])  # the rows were never written
    (anna,) = apply_decisions(faces, [GOOD])
    assert anna.status == "rejected"
    assert anna.face in here(faces)
    record_decisions(faces, {"selfie/anna.jpg": "undo"})
    if moved:
        apply_decisions(faces, [anna])
    assert apply_decisions(faces, [anna]) == [GOOD]
    assert GOOD.face in here(faces)


def test_a_line_cut_short_by_a_kill_costs_that_line_alone(faces):
    record_decisions(faces, {"drag/ben.jpg": "keep"})
    record_decisions(faces, {"selfie/anna.jpg": "reject"})
    whole = (faces / "decisions.csv").read_bytes()
    for cut in range(1, len("selfie/anna.jpg,reject,") + 24):
        (faces / "decisions.csv").write_bytes(whole[:-cut])
        record_decisions(faces, {"selfie/cleo.jpg": "reject"})
        found = read_decisions(faces)
        assert found.pop("selfie/anna.jpg", "reject") == "reject"
        assert found == {"drag/ben.jpg": "keep", "selfie/cleo.jpg": "reject"}


def test_a_file_that_is_not_one_of_decisions_is_not_taken_for_an_empty_one(faces):
    (faces / "decisions.csv").write_text("name;verdict\nanna;keep\n")
    with pytest.raises(DragFaceError, match="decisions.csv"):
        apply_decisions(faces, [GOOD])


def test_two_copies_of_the_decisions_are_brought_together_the_later_decision_counts(faces, tmp_path_factory):
    drive = tmp_path_factory.mktemp("drive")
    record_decisions(faces, {"selfie/anna.jpg": "reject", "drag/ben.jpg": "keep"})
    share_decisions(faces, drive / "decisions.csv")  # there was none yet
    record_decisions(drive, {"selfie/anna.jpg": "undo"})
    record_decisions(faces, {"selfie/cleo.jpg": "reject"})
    share_decisions(faces, drive / "decisions.csv")
    assert read_decisions(faces) == read_decisions(drive) == {"drag/ben.jpg": "keep", "selfie/cleo.jpg": "reject"}
    size = (drive / "decisions.csv").stat().st_size
    share_decisions(faces, drive / "decisions.csv")
    assert (drive / "decisions.csv").stat().st_size == size
