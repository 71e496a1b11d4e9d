"""Going through the faces: what the page is told, and what of a decision is on disk, without a browser."""

from __future__ import annotations

import multiprocessing
import signal
import time

import pytest
from faces_to_curate import faces_to_curate

from dragface_lib.archives import read_faces
from dragface_lib.crop import curation, pack, read_crops, unpack
from dragface_lib.crop.curation import curate
from dragface_lib.errors import DragFaceError
from dragface_lib.images import open_photo
from dragface_lib.manifest import read_csv

GOOD, BAD = "drag/face_001.jpg", "selfie/face_000.jpg"  # a kept and a rejected one


@pytest.fixture
def faces(tmp_path):
    faces_to_curate(tmp_path / "faces", 12)
    return tmp_path / "faces"


class Page:
    """The other end of the widget: sends what curation.js sends, and keeps what comes back."""

    def __init__(self, widget):
        self.widget, self.answers = widget, []
        widget.send = lambda content, buffers=None: self.answers.append((content, buffers))

    def ask(self, kind, **more):
        self.widget._handle_custom_msg({"kind": kind, "request": f"view-{len(self.answers)}", **more}, [])
        return self.answers[-1]

    def faces(self, shown="All", order="worst first", start=0):
        return self.ask("page", shown=shown, order=order, start=start)[0]["faces"]

    def decide(self, decisions):
        return self.ask("decide", decisions=decisions)[0]


def row_of(faces, key):
    return next(row for row in read_crops(faces) if row.key == key)


def test_the_page_is_told_of_every_face_a_page_at_a_time(faces, monkeypatch):
    monkeypatch.setattr(curation, "PAGE", 5)
    page = Page(curate(faces))
    told = [face for start in (0, 5, 10) for face in page.faces(start=start)]
    assert len(told) == len({face["key"] for face in told}) == page.answers[0][0]["total"] == 12
    bad = next(face for face in told if face["key"] == BAD)
    assert (bad["kept"], bad["why"], bad["decided"]) == (False, "blurred: sharpness 0.20, 0.30 is needed", False)
    assert bad["about"] == "face_000.jpg, selfie"
    assert page.answers[0][0]["summary"] == "Kept: 4 selfies, 4 in drag. Rejected: 4"


def test_pages_do_not_shift_while_faces_are_decided(faces, monkeypatch):
    monkeypatch.setattr(curation, "PAGE", 5)
    page = Page(curate(faces))
    first = page.faces("Not looked at")
    page.decide({face["key"]: "keep" for face in first})
    rest = [face["key"] for start in (5, 10) for face in page.faces("Not looked at", start=start)]
    assert len({*rest, *(face["key"] for face in first)}) == 12
    assert len(page.faces("Not looked at")) == 5
    assert page.answers[-1][0]["total"] == 7


def test_filters_and_orders(faces):
    page = Page(curate(faces))
    rows = {row.key: row for row in read_crops(faces)}
    for order in ("worst first", "sharpness"):
        sharpness = [rows[face["key"]].numbers["sharpness"] for face in page.faces(order=order)]
        assert sharpness == sorted(sharpness)
    assert {face["kept"] for face in page.faces("Rejected")} == {False}
    assert {face["kept"] for face in page.faces("Kept")} == {True}
    page.decide({GOOD: "keep"})
    assert GOOD not in [face["key"] for face in page.faces("Not looked at")]


def test_pictures_come_with_the_page_and_a_damaged_one_is_empty(faces):
    (faces / row_of(faces, GOOD).face).write_bytes(b"")
    content, buffers = Page(curate(faces)).ask("page", shown="All", order="worst first", start=0)
    pictures = {face["key"]: picture for face, picture in zip(content["faces"], buffers, strict=True)}
    assert pictures.pop(GOOD) == b""
    assert {open_photo(picture).shape for picture in pictures.values()} == {(256, 256, 3)}


def test_a_decision_is_on_disk_before_the_page_hears_of_it(faces):
    answer = Page(curate(faces)).decide({GOOD: "reject", BAD: "keep"})
    assert {face["key"]: face["kept"] for face in answer["faces"]} == {GOOD: False, BAD: True}
    good, bad = row_of(faces, GOOD), row_of(faces, BAD)
    assert (good.status, good.decision, good.reason) == ("rejected", "reject", "")
    assert (bad.status, bad.face, bad.reason[:7]) == ("kept", "selfie/train/face_000.jpg", "blurred")
    assert all((faces / row.face).is_file() for row in read_crops(faces))
    assert len([*read_faces(faces, "selfie", "train")]) == 4


def test_a_decision_that_the_gates_share_holds_when_they_change_their_mind(faces):
    Page(curate(faces)).decide({GOOD: "keep", BAD: "reject"})
    assert [(row_of(faces, key).status, row_of(faces, key).decision) for key in (GOOD, BAD)] == [
        ("kept", "keep"),
        ("rejected", "reject"),
    ]


def test_faces_that_do_not_exist_and_words_that_are_no_decision_change_nothing(faces):
    before = read_crops(faces)
    assert Page(curate(faces)).decide({"../../etc/passwd": "reject", GOOD: "delete"})["faces"] == []
    assert read_crops(faces) == before


def test_a_new_session_goes_on_where_the_last_one_ended(faces):
    Page(curate(faces)).decide({GOOD: "reject", BAD: "keep"})
    told = {face["key"]: face["kept"] for face in Page(curate(faces)).faces() if face["decided"]}
    assert told == {GOOD: False, BAD: True}


def test_decisions_survive_the_loss_of_the_machine_when_they_have_a_copy(faces, tmp_path):
    Page(curate(faces)).decide({"selfie/face_002.jpg": "reject"})  # without a copy, but packed
    pack(faces, tmp_path / "faces.zip")
    drive = tmp_path / "drive" / "decisions.csv"
    page = Page(curate(faces, copy=drive))
    page.decide({GOOD: "reject", BAD: "keep"})
    elsewhere = unpack(tmp_path / "faces.zip", tmp_path / "another_machine")
    faces_to_curate(tmp_path / "anew", 12)  # cropped anew, without the archive
    for folder in (elsewhere, tmp_path / "anew"):
        curate(folder, copy=drive)
        assert {row.key: row.decision for row in read_crops(folder) if row.decision} == {
            GOOD: "reject",
            BAD: "keep",
            "selfie/face_002.jpg": "reject",
        }
        assert (folder / "rejected/drag/face_001.jpg").is_file()


def test_faces_that_were_cropped_meanwhile_are_not_forgotten(faces):
    page = Page(curate(faces))
    faces_to_curate(faces, 14)  # crops.csv now has two more
    page.decide({GOOD: "reject"})
    assert len(read_crops(faces)) == 14
    assert row_of(faces, GOOD).status == "rejected"
    assert len(page.faces()) == 14


def test_faces_that_evaluate_picked_come_first_in_its_order(faces, tmp_path):
    table = tmp_path / "faces.csv"
    table.write_text("score,face\n0.12,face_008.jpg\n0.34,drag/train/face_005.jpg\n0.5,gone.jpg\n")
    told = Page(curate(faces, first=table)).faces()
    assert [face["key"] for face in told[:2]] == ["selfie/face_008.jpg", "drag/face_005.jpg"]
    assert [face["why"] for face in told[:2]] == ["score 0.12", "score 0.34"]
    table.write_text("face,score\npairs/selfie/face_005.png,0.1\nselfie/train/face_008.jpg,0.2\n")  # of practice faces
    told = Page(curate(faces, first=table)).faces()
    assert [face["key"] for face in told[:2]] == ["drag/face_005.jpg", "selfie/face_008.jpg"]


def test_what_cannot_be_curated_is_answered_with_a_sentence(faces, tmp_path):
    with pytest.raises(DragFaceError, match="crop photos first"):
        curate(tmp_path / "nowhere")
    for text, sentence in (("face,score\nx.jpg,1\n", "names none"), ("file,score\nx.jpg,1\n", "no column face")):
        (tmp_path / "faces.csv").write_text(text)
        with pytest.raises(DragFaceError, match=sentence):
            curate(faces, first=tmp_path / "faces.csv")


def test_a_decision_that_cannot_be_saved_says_so(faces):
    page = Page(curate(faces, copy=faces / "copy.csv"))
    (faces / "copy.csv").unlink()
    (faces / "copy.csv").mkdir()
    answer = page.decide({GOOD: "reject"})
    assert (answer["state"], "copy.csv" in answer["text"]) == ("error", True)
    assert row_of(faces, GOOD).status == "kept"


def decide_on_and_on(faces, copy):
    curation = curate(faces, copy=copy)
    for key in [row.key for row in curation.rows()] * 1000:
        curation.decide({key: "reject" if row_of(faces, key).status == "kept" else "keep"})


def test_killed_at_any_moment_a_new_session_finds_every_decision_carried_out(faces, tmp_path):
    before, copy = {row.photo: row.split for row in read_crops(faces)}, tmp_path / "copy.csv"
    curate(faces, copy=copy)
    for wait in (0.0, 0.003, 0.01, 0.02, 0.05):
        process = multiprocessing.get_context("fork").Process(target=decide_on_and_on, args=(faces, copy))
        process.start()
        text, limit = copy.read_text(), time.monotonic() + 60
        while copy.read_text() == text and time.monotonic() < limit:
            time.sleep(0.001)
        time.sleep(wait)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        decisions = {cells["face"]: cells["decision"] for _, cells in read_csv(copy, ("face", "decision"))}
        curate(faces, copy=copy)
        rows = {row.key: row for row in read_crops(faces)}
        assert decisions
        assert all(rows[key].status == {"keep": "kept", "reject": "rejected"}[word] for key, word in decisions.items())
        assert sorted(row.face for row in rows.values()) == sorted(
            path.relative_to(faces).as_posix() for path in faces.glob("*/*/*.jpg") if path.name[0] != "."
        )
        assert {row.photo: row.split for row in rows.values()} == before
