"""Going through the faces: what the page is told, and what of a decision is on disk, without a browser."""

from __future__ import annotations

import multiprocessing
import signal
import time

import pytest
from faces_to_curate import faces_to_curate

from dragface_lib.crop import curation, pack, read_crops, unpack
from dragface_lib.crop.curation import Review, curate
from dragface_lib.crop.decisions import read_decisions
from dragface_lib.crop.packing import read_faces
from dragface_lib.errors import DragFaceError
from dragface_lib.images import open_photo

GOOD, BAD = "drag/face_001.jpg", "selfie/face_000.jpg"  # a kept and a rejected one


@pytest.fixture
def faces(tmp_path):
    faces_to_curate(tmp_path / "faces", 12)
    return tmp_path / "faces"


class Page:
    """The other end of the widget: sends what curation.js sends, and keeps what comes back."""

    def __init__(self, widget):
        self.widget, self.answers, self.requests = widget, [], 0
        widget.send = lambda content, buffers=None: self.answers.append((content, buffers))

    def ask(self, kind, **more):
        self.requests += 1
        content = {"kind": kind, "request": f"view-{self.requests}", **more}
        self.widget._handle_custom_msg(content, [])
        return self.answers[-1]

    def faces(self):
        first = len(self.answers)
        self.ask("open")
        return [face for content, _ in self.answers[first:] for face in content["faces"]]


def row_of(faces, key):
    return next(row for row in read_crops(faces) if row.face.endswith(key.split("/")[-1]))


def test_the_page_is_told_of_every_face_in_parts(faces, monkeypatch):
    monkeypatch.setattr(curation, "PART", 5)
    page = Page(curate(faces))
    told = page.faces()
    assert len(told) == len({face["key"] for face in told}) == 12
    assert [content["part"] for content, _ in page.answers] == [0, 1, 2]
    bad = next(face for face in told if face["key"] == BAD)
    assert (bad["kept"], bad["reason"], bad["decision"]) == (False, "blurred: sharpness 0.20, 0.30 is needed", "")


def test_the_worst_faces_come_first(faces):
    rows = {f"{row.domain}/{row.photo}": row for row in read_crops(faces)}
    sharpness = [rows[face["key"]].numbers["sharpness"] for face in Page(curate(faces)).faces()]
    assert sharpness == sorted(sharpness)


def test_pictures_are_small_unless_one_is_looked_at_closely(faces):
    page = Page(curate(faces))
    _, (small,) = page.ask("thumbs", faces=[GOOD])
    _, (large,) = page.ask("thumbs", faces=[GOOD], large=True)
    assert open_photo(small).shape == (curation.THUMBNAIL, curation.THUMBNAIL, 3)
    assert open_photo(large).shape == (256, 256, 3)
    (faces / row_of(faces, GOOD).face).write_bytes(b"")
    content, buffers = page.ask("thumbs", faces=[GOOD, "selfie/unheard_of.jpg", "../../etc/passwd", BAD])
    assert [bool(buffer) for buffer in buffers] == [False, False, False, True]


def test_a_decision_is_on_disk_before_the_page_hears_of_it(faces):
    page = Page(curate(faces))
    answer, _ = page.ask("decide", decisions={GOOD: "reject", BAD: "keep"})
    assert answer["kind"] == "saved"
    assert {face["key"]: face["kept"] for face in answer["faces"]} == {GOOD: False, BAD: True}
    assert read_decisions(faces) == {GOOD: "reject", BAD: "keep"}
    assert (row_of(faces, GOOD).status, row_of(faces, GOOD).reason) == ("rejected", "by hand")
    assert row_of(faces, BAD).face == "selfie/train/face_000.jpg"
    assert all((faces / row.face).is_file() for row in read_crops(faces))
    assert len([*read_faces(faces, "selfie", "train")]) == 4


def test_an_answer_that_was_lost_and_asked_for_again_is_carried_out_once(faces):
    page = Page(curate(faces))
    first, _ = page.ask("decide", decisions={GOOD: "reject"})
    page.requests -= 1
    assert page.ask("decide", decisions={GOOD: "reject"})[0] == first
    assert first["undo"] == 1


def test_undo_goes_back_step_by_step_to_what_the_gates_said(faces):
    before = read_crops(faces)
    page = Page(curate(faces))
    page.ask("decide", decisions={GOOD: "reject"})
    page.ask("decide", decisions={GOOD: "keep", BAD: "keep"})
    answer, _ = page.ask("undo")
    assert {face["key"]: (face["kept"], face["decision"]) for face in answer["faces"]} == {
        GOOD: (False, "reject"),
        BAD: (False, ""),
    }
    assert page.ask("undo")[0]["undo"] == 0
    assert page.ask("undo")[0]["faces"] == []
    assert read_crops(faces) == before
    assert read_decisions(faces) == {}


def test_a_new_session_goes_on_where_the_last_one_ended(faces):
    Page(curate(faces)).ask("decide", decisions={GOOD: "reject", BAD: "keep"})
    told = {face["key"]: face for face in Page(curate(faces)).faces()}
    assert {key for key, face in told.items() if face["decision"]} == {GOOD, BAD}
    assert (told[GOOD]["kept"], told[BAD]["kept"]) == (False, True)


def test_decisions_survive_the_loss_of_the_machine_when_they_have_a_copy(faces, tmp_path):
    pack(faces, tmp_path / "faces.zip")
    drive = tmp_path / "drive" / "decisions.csv"
    Page(curate(faces, copy=drive)).ask("decide", decisions={GOOD: "reject"})
    elsewhere = unpack(tmp_path / "faces.zip", tmp_path / "another_machine")
    assert row_of(elsewhere, GOOD).status == "kept"
    curate(elsewhere, copy=drive)
    assert row_of(elsewhere, GOOD).status == "rejected"


def test_faces_that_were_cropped_meanwhile_are_not_forgotten(faces):
    page = Page(curate(faces))
    faces_to_curate(faces, 14)  # crops.csv now has two more
    page.ask("decide", decisions={GOOD: "reject"})
    assert len(read_crops(faces)) == 14
    assert row_of(faces, GOOD).status == "rejected"
    assert len(page.faces()) == 14


def test_faces_that_evaluate_picked_come_first_in_its_order(faces, tmp_path):
    table = tmp_path / "faces.csv"
    table.write_text("score,face\n0.12,face_008.jpg\n0.34,drag/train/face_005.jpg\n0.5,gone.jpg\n")
    told = Page(curate(faces, first=table)).faces()
    assert [face["key"] for face in told[:2]] == ["selfie/face_008.jpg", "drag/face_005.jpg"]
    assert [face["note"] for face in told[:3]] == ["score 0.12", "score 0.34", ""]
    table.write_text("face,score\npairs/selfie/face_005.png,0.1\nselfie/train/face_008.jpg,0.2\n")  # of practice faces
    told = Page(curate(faces, first=table)).faces()
    assert [(face["key"], face["note"]) for face in told[:2]] == [
        ("drag/face_005.jpg", "score 0.1"),
        ("selfie/face_008.jpg", "score 0.2"),
    ]


def test_what_cannot_be_curated_is_answered_with_a_sentence(faces, tmp_path):
    with pytest.raises(DragFaceError, match="crop photos first"):
        curate(tmp_path / "nowhere")
    for text, sentence in (("face,score\nx.jpg,1\n", "names none"), ("file,score\nx.jpg,1\n", "no column 'face'")):
        (tmp_path / "faces.csv").write_text(text)
        with pytest.raises(DragFaceError, match=sentence):
            curate(faces, first=tmp_path / "faces.csv")
    with pytest.raises(DragFaceError, match="cannot be read"):
        curate(faces, first=tmp_path / "missing.csv")


def test_a_decision_that_cannot_be_saved_says_so(faces):
    page = Page(curate(faces))
    (faces / "decisions.csv").mkdir()
    answer, _ = page.ask("decide", decisions={GOOD: "reject"})
    assert answer["kind"] == "error"
    assert "decisions.csv" in answer["text"]
    assert row_of(faces, GOOD).status == "kept"


def decide_on_and_on(faces):
    review = Review(faces)
    for key in review.order * 1000:
        review.decide({key: "reject" if review.rows[key].status == "kept" else "keep"})


def test_killed_at_any_moment_a_new_session_finds_every_decision_carried_out(faces):
    before = {row.photo: row for row in read_crops(faces)}
    file = faces / "decisions.csv"
    for wait in (0.0, 0.003, 0.01, 0.02, 0.05):
        process = multiprocessing.get_context("fork").Process(target=decide_on_and_on, args=(faces,))
        process.start()
        enough, limit = (file.stat().st_size if file.exists() else 0) + 100, time.monotonic() + 60
        while (not file.exists() or file.stat().st_size < enough) and time.monotonic() < limit:
            time.sleep(0.001)
        time.sleep(wait)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        decisions = read_decisions(faces)
        review = Review(faces)
        assert decisions
        assert all(review.rows[key].status == {"keep": "kept", "reject": "rejected"}[w] for key, w in decisions.items())
        rows = read_crops(faces)
        assert sorted(row.face for row in rows) == sorted(
            path.relative_to(faces).as_posix() for path in faces.glob("*/*/*.jpg")
        )
        assert {row.photo: row.split for row in rows} == {photo: row.split for photo, row in before.items()}
