"""What the widget answers to the questions of its page; tests/browser has the page itself."""

import gc
import json
import os
import re
import weakref
from pathlib import Path

import numpy as np
import pytest

from dragface_lib import widgets
from dragface_lib.crop.align import aligned_face
from dragface_lib.crop.find import find_faces
from dragface_lib.images import encode_photo, open_photo
from dragface_lib.model import Generator, find_looks, save_generator, starter_path
from dragface_lib.showcase import transform as transforming
from dragface_lib.showcase import widget
from dragface_lib.showcase.transform import crop_only, transform
from dragface_lib.showcase.widget import Showcase

PART = 100_000
ROOM = Path(widget.__file__).parent


class Page:
    """The other end of the widget: asks what widget.js asks, and keeps what comes back."""

    def __init__(self, showcase):
        self.showcase, self.heard = showcase, []
        showcase.send = lambda content, buffers=None: self.heard.append((content, list(buffers or ())))

    def ask(self, kind, buffers=(), request="", **more):
        """The answer and its pictures."""
        view = {"look": self.showcase.look, "faces": None, "alone": False, "heat": False}
        question = view | {"kind": kind, "request": request or f"{kind} {len(self.heard)}"} | more
        self.showcase._handle_custom_msg(question, [memoryview(data) for data in buffers])
        content, answered = self.heard[-1]
        assert content["request"] == question["request"]
        return content, answered

    def view(self, **more):
        """Before, after, at full strength, and the heat map where it is asked for."""
        content, buffers = self.ask("view", **more)
        return [open_photo(data) for data in buffers[content["faces"] :]]

    def drop(self, data, name="me.jpg"):
        pieces = [data[start : start + PART] for start in range(0, len(data), PART)] or [b""]
        for part, piece in enumerate(pieces):
            answer = self.ask("photo", [piece], name=name, upload="drop", part=part, parts=len(pieces))
            if answer[0]["state"] == "error":
                break
        return answer

    def download(self, strength=1, **more):
        """Name and bytes of the finished picture."""
        content, _ = self.ask("download", strength=strength, **({"format": "JPEG"} | more))
        return content["name"], self.fetch(content["file"])

    def fetch(self, file):
        """The bytes of a file that the widget holds."""
        pieces, parts = [], 1
        while len(pieces) < parts:
            told, (piece,) = self.ask("part", file=file, part=len(pieces))
            pieces.append(piece)
            parts = told["parts"]
        return b"".join(pieces)

    def refusal(self, kind, **more):
        content, _ = self.ask(kind, **more)
        assert content["state"] == "error"
        return content["text"]


@pytest.fixture
def page(generator):
    return Page(Showcase(generator))


def difference(one, other):
    return np.abs(one.astype(int) - other.astype(int)).mean()


def test_a_dropped_photo_comes_back_before_and_in_drag_after_what_is_done_on_the_way(page, astronaut, generator):
    content, (face, *pictures) = page.drop(encode_photo(astronaut, "PNG"))
    assert [told["text"] for told, _ in page.heard if told["state"] == "progress"] == [
        "Reading the photo",
        "Looking for faces",
        "Painting",
    ]
    assert (content["faces"], content["remarks"]) == (1, "")
    assert open_photo(face).shape == (88, 88, 3)
    for picture, strength in zip(pictures, (0, 1, 1.5), strict=True):
        assert difference(open_photo(picture), transform(astronaut, generator, strength)) < 3


def test_a_large_photo_is_shown_small_and_downloaded_whole(page, astronaut, generator, monkeypatch):
    large = np.kron(astronaut, np.ones((3, 3, 1), np.uint8))
    _, buffers = page.drop(encode_photo(large, "JPEG"), name="holiday.jpeg")
    assert open_photo(buffers[1]).shape == (1000, 1000, 3)
    assert sum(map(len, buffers)) < 1 << 20
    monkeypatch.setattr(widgets, "PART", 20_000)
    name, data = page.download(0.5)
    assert name == "holiday_drag.jpg"
    assert max(len(piece) for _, buffers in page.heard[-20:] for piece in buffers) <= 20_000
    expected = transform(encode_photo(large, "JPEG"), generator, 0.5)
    assert open_photo(data).shape == expected.shape
    assert difference(open_photo(data), expected) < 2


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"Dear diary, today", "me.jpg is not a picture"),
        (encode_photo(np.full((300, 300, 3), 200, np.uint8)), "No face was found in me.jpg"),
    ],
)
def test_a_file_that_cannot_become_drag_is_a_sentence_and_the_photo_before_stays(page, astronaut, data, sentence):
    page.drop(encode_photo(astronaut))
    content, _ = page.drop(data)
    assert content["state"] == "error"
    assert content["text"].startswith(sentence)
    assert page.view()[0].shape == astronaut.shape


def test_of_thirty_faces_each_can_be_chosen_and_no_message_is_too_large(page, astronaut, monkeypatch):
    face = find_faces(astronaut)[0]
    moves = [(256 * column - 96, 256 * row) for row in range(5) for column in range(6)]
    crowd = [face._replace(points=face.points + np.float32(move)) for move in moves]
    monkeypatch.setattr(transforming, "find_faces", lambda rgb: crowd)
    content, buffers = page.drop(encode_photo(np.tile(astronaut[:256, 96:352], (5, 6, 1))))
    assert content["faces"] == len(buffers) - 3 == 30
    assert sum(map(len, buffers)) < 1 << 20
    before, after, _ = page.view(faces=[29])
    changed = np.abs(before.astype(int) - after).max(axis=2) > 20
    assert changed[-150:, -150:].any()
    assert not changed[:500].any()


@pytest.mark.parametrize(
    "strange", [{"part": 2}, {"part": 0}, {"upload": "b"}, {"part": -1}, {"part": "1"}, {"part": [1]}]
)
def test_parts_out_of_order_or_of_another_photo_are_asked_for_again(page, strange):
    first = {"name": "a.jpg", "upload": "a", "part": 0, "parts": 3}
    page.ask("photo", [b"abc"], **first)
    last = first | {"part": 1, "parts": 2} | strange
    text = page.refusal("photo", buffers=[b"ghi"], **last) if strange != {"part": 0} else "did not arrive whole"
    assert "did not arrive whole" in text
    assert page.showcase._drag is None


def test_a_photo_has_a_largest_size_and_empty_parts_take_no_memory(page, monkeypatch):
    for part in range(2000):
        page.ask("photo", [b""], name="a.jpg", upload="a", part=part, parts=10**9)
    assert len(page.showcase._arriving) == 0
    monkeypatch.setattr(widget, "MAX_PHOTO_BYTES", 100)
    assert "did not arrive whole" in page.refusal(
        "photo", buffers=[bytes(101)], name="a.jpg", upload="b", part=0, parts=1
    )


@pytest.mark.parametrize(
    "message",
    [None, "open", [], {}, {"request": "a"}, {"kind": "open"}, {"request": ["a"], "kind": "open"}]
    + [{"request": "a", "kind": ["open"]}, {"request": {}, "kind": "part"}, {"request": "a", "kind": 5}],
)
def test_a_message_of_another_shape_gets_no_answer_and_does_no_harm(page, message):
    page.showcase._handle_custom_msg(message, [])
    assert page.heard == []
    assert page.ask("open")[0]["state"] == "done"


@pytest.mark.parametrize(
    "strange",
    [
        {"faces": [9**9, "x", None]},
        {"faces": "all"},
        {"faces": 5},
        {"look": ["goth"]},
        {"look": "nowhere"},
        {"look": 7},
    ],
)
def test_a_question_that_makes_no_sense_is_a_sentence(page, strange):
    page.ask("open")
    assert page.refusal("view", **strange)
    assert page.ask("open")[0]["state"] == "done"


def test_two_views_of_a_widget_do_not_cut_each_others_download(page, astronaut, monkeypatch):
    monkeypatch.setattr(widgets, "PART", 20_000)
    page.drop(encode_photo(astronaut, "PNG"))
    alone, other = page.download(0.5)[1], page.download(1.5)[1]
    first, _ = page.ask("download", strength=0.5, format="JPEG")
    start = page.ask("part", file=first["file"], part=0)[1][0]
    second, _ = page.ask("download", strength=1.5, format="JPEG")  # by the other view, in between
    assert start == alone[:20_000]
    assert page.fetch(first["file"]) == alone
    assert page.fetch(second["file"]) == other
    assert len(page.showcase.files) <= 3
    assert "no longer here" in page.refusal("part", file="gone", part=0)


def test_a_question_that_is_asked_again_gets_the_same_answer_without_the_work(page, astronaut, monkeypatch):
    data = encode_photo(astronaut)
    question = {"buffers": [data], "request": "once", "name": "a.jpg", "upload": "a", "part": 0, "parts": 1}
    first = page.ask("photo", **question)
    monkeypatch.setattr(widget, "make_drag", None)
    assert page.ask("photo", **question) == first
    assert page.ask("photo", **question | {"request": "twice"})[0]["state"] == "error"


def test_there_is_a_portrait_to_play_with_until_a_photo_is_dropped(page, astronaut, hopper):
    content, buffers = page.ask("open")
    before, after, _ = (open_photo(data) for data in buffers[1:])
    assert "public domain" in content["example"]
    assert difference(before, astronaut[:384, 40:424]) < 3
    assert difference(before, after) > 0.2
    assert page.download()[0] == "portrait_drag.jpg"
    page.drop(encode_photo(hopper))
    content, buffers = page.ask("open")  # another view of the same widget
    assert content["example"] == ""
    assert difference(open_photo(buffers[1]), hopper) < 3


def test_a_face_that_was_not_chosen_stays_bare(page, astronaut, hopper, generator):
    both = np.hstack([astronaut, hopper[:512]])
    page.drop(encode_photo(both, "PNG"))
    right = int(np.argmax([face.face.points[0, 0] for face in page.showcase._drag.faces]))
    before, after, _ = page.view(faces=[right])
    picture, whole = open_photo(page.download(faces=[right], format="PNG")[1]), transform(both, generator)
    assert difference(before[:, :500], after[:, :500]) == 0
    assert difference(before[:, 500:], after[:, 500:]) > 1
    assert np.array_equal(picture, np.hstack([both[:, :512], whole[:, 512:]]))
    assert "choose at least one" in page.refusal("view", faces=[])


def test_a_face_alone_is_cut_as_training_sees_it(page, astronaut, hopper, generator):
    page.drop(encode_photo(astronaut, "PNG"))
    before, after, _ = page.view(alone=True)
    assert before.shape == after.shape == (256, 256, 3)
    assert difference(before, crop_only(astronaut)[0]) < 3
    expected = aligned_face(transform(astronaut, generator), page.showcase._drag.faces[0].face.points, 256)
    assert np.array_equal(open_photo(page.download(alone=True, format="PNG")[1]), expected)
    page.drop(encode_photo(np.hstack([astronaut, hopper[:512]]), "PNG"))
    height, width = page.view(alone=True)[0].shape[:2]
    assert width == 2 * height  # both faces, side by side


def test_the_heat_map_lies_over_the_face_alone_and_is_made_when_it_is_asked_for(page, astronaut):
    page.drop(encode_photo(astronaut, "PNG"))
    before, after, _, heat = page.view(heat=True)
    for picture in (before, after):
        assert difference(heat[80:160, 180:270], picture[80:160, 180:270]) > 20
    assert difference(heat[300:], before[300:]) < 3
    assert page.view(heat=True, alone=True)[3].shape == (256, 256, 3)


def test_another_look_paints_the_same_photo_without_looking_for_its_faces_again(
    generator, published, astronaut, tmp_path, monkeypatch
):
    save_generator(published, tmp_path / "other.safetensors", {"look": "goth"})
    page = Page(Showcase(generator, looks={"my run": tmp_path / "other.safetensors"}))
    assert page.showcase.looks == ["your generator", "my run"]
    page.drop(encode_photo(astronaut, "PNG"))
    monkeypatch.setattr(transforming, "find_faces", None)
    _, after, _ = page.view(look="my run")
    monkeypatch.undo()
    assert page.showcase.look == "my run"
    assert difference(after, transform(astronaut, published)) < 3
    assert b"look goth" in page.download()[1]


def _damaged(path, generator):
    save_generator(generator, path, {})
    path.write_bytes(path.read_bytes()[:5000])


def _broken_down(path, generator):
    broken = Generator(size=64, channels=4, blocks=1).requires_grad_(False)
    broken.to_rgb[1].weight.fill_(float("nan"))
    save_generator(broken, path, {})


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path, _: None, "no generator file"),
        (_damaged, "is damaged or of another architecture"),
        (_broken_down, "returns no picture"),
    ],
)
def test_a_look_that_cannot_be_used_is_a_sentence_and_the_one_before_stays(
    generator, astronaut, tmp_path, spoil, sentence
):
    spoil(tmp_path / "other.safetensors", generator)
    page = Page(Showcase(generator, looks={"spoiled": tmp_path / "other.safetensors"}))
    page.drop(encode_photo(astronaut, "PNG"))
    before = page.download(format="PNG")
    assert sentence in page.refusal("view", look="spoiled")
    assert page.showcase.look == "your generator"
    assert page.download(format="PNG") == before


def test_nothing_of_a_photo_is_in_the_state_that_a_notebook_saves(page, astronaut):
    before = page.showcase.get_state()
    page.drop(encode_photo(astronaut))
    page.download()
    assert page.showcase.get_state() == before
    assert not any(isinstance(value, (bytes, memoryview)) for value in before.values())
    json.dumps({key: value for key, value in before.items() if key != "layout"}, default=str)


@pytest.mark.parametrize("forget", [lambda page: page.ask("forget"), lambda page: page.showcase.close()])
def test_a_removed_photo_is_gone(page, astronaut, forget):
    page.drop(encode_photo(astronaut))
    page.download()
    drag = page.showcase._drag
    photo, change = weakref.ref(drag.photo), weakref.ref(drag.faces[0].change)
    del drag
    forget(page)
    gc.collect()
    assert photo() is None
    assert change() is None
    assert page.showcase.files == {}
    assert not any(buffers for _, buffers in page.showcase._answers.values())
    assert "drop it once more" in page.refusal("view")


def test_an_unexpected_failure_is_shown_and_not_swallowed(page, astronaut, monkeypatch):
    def out_of_memory(*_):
        raise MemoryError("no memory left")

    monkeypatch.setattr(widget, "make_drag", out_of_memory)
    assert "no memory left" in page.drop(encode_photo(astronaut))[0]["text"]
    assert "KeyError" in page.refusal("photo", buffers=[b""])  # a message that lacks something


def test_the_looks_are_those_that_come_along_and_the_newest_runs_with_what_they_kept(tmp_path, generator):
    for run, age in (("older", 100), ("classic", 10)):
        save_generator(generator, tmp_path / run / "generator.safetensors", {})
        os.utime(tmp_path / run / "generator.safetensors", (1e9 - age, 1e9 - age))
    save_generator(generator, tmp_path / "classic" / "best.safetensors", {})
    for step in ("00000500", "00020000", "before7"):
        save_generator(generator, tmp_path / "classic" / "milestones" / f"step_{step}.safetensors", {})
    (tmp_path / "just begun").mkdir()
    looks = find_looks(tmp_path)
    assert list(looks) == [
        "classic",
        "goth",
        "classic, newest",
        "classic, best on test faces",
        "classic, step 20,000",
        "classic, step 500",
        "older, newest",
    ]
    assert all(path.is_file() for path in looks.values())
    assert looks["goth"] == starter_path("goth")
    assert list(find_looks(tmp_path / "no such folder")) == list(find_looks()) == ["classic", "goth"]


def test_the_widget_offers_what_it_is_given_beside_the_looks(tmp_path, generator):
    assert (Showcase().look, Showcase().looks) == ("classic", ["classic", "goth"])
    assert Showcase("goth").looks == ["goth", "classic"]
    assert Showcase(starter_path("goth")).look == "goth"
    assert Showcase(tmp_path / "classic.safetensors").looks == ["your generator", "classic", "goth"]
    assert Showcase(generator).look == "your generator"


def test_the_page_asks_nothing_of_other_addresses():
    joined = Showcase._esm + Showcase._css
    assert not re.search("^(import|export (?!default))", joined, re.MULTILINE)
    assert joined.count("http") == joined.count("http://www.w3.org/2000/svg") + joined.count("(https)")
