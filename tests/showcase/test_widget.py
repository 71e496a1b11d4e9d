import io
import json

import numpy as np
import pytest
from PIL import Image

from dragface_lib.errors import DragFaceError
from dragface_lib.images import encode_photo, open_photo
from dragface_lib.showcase import transform, widget
from dragface_lib.showcase.widget import Showcase

PART = 100_000


class Page:
    """The other end of the widget: sends what widget.js sends, and keeps what comes back."""

    def __init__(self, showcase):
        self.showcase, self.answers = showcase, []
        showcase.send = lambda content, buffers=None: self.answers.append((content, buffers))

    def tell(self, content, buffers=()):
        self.showcase._handle_custom_msg(content, [memoryview(b) for b in buffers])

    def drop(self, data, request="one", name="me.jpg"):
        pieces = [data[start : start + PART] for start in range(0, len(data), PART)] or [b""]
        for part, piece in enumerate(pieces):
            message = {"kind": "photo", "request": request, "name": name, "size": len(data)}
            self.tell(message | {"part": part, "parts": len(pieces)}, [piece])

    def download(self, strength, request="two", photo="one"):
        self.tell({"kind": "download", "request": request, "photo": photo, "strength": strength})
        if self.answers[-1][0]["kind"] == "error":
            return None
        parts = self.answers[-1][0]["parts"]
        for part in range(parts):
            self.tell({"kind": "part", "request": request, "part": part})
        return open_photo(b"".join(buffers[0] for _, buffers in self.answers[-parts:]))

    def kinds(self):
        return [content["kind"] for content, _ in self.answers]

    def last(self):
        return self.answers[-1][0]


@pytest.fixture
def page(generator):
    return Page(Showcase(generator))


def difference(one, other):
    return np.abs(one.astype(int) - other.astype(int)).mean()


def test_a_dropped_photo_comes_back_before_and_in_drag(page, astronaut, generator):
    page.drop(encode_photo(astronaut, "PNG"))
    assert page.kinds() == ["progress"] * 3 + ["shown"]
    assert page.last()["faces"] == 1
    before, after, strong = (open_photo(picture) for picture in page.answers[-1][1])
    assert difference(before, astronaut) < 3
    assert difference(after, transform(astronaut, generator)) < 3
    assert difference(strong, transform(astronaut, generator, 1.5)) < 3


def test_a_large_photo_is_shown_small_and_downloaded_whole(page, astronaut, generator):
    large = np.kron(astronaut, np.ones((3, 3, 1), np.uint8))
    page.drop(encode_photo(large, "JPEG"), name="holiday.jpeg")
    assert open_photo(page.answers[-1][1][1]).shape == (1000, 1000, 3)
    assert sum(map(len, page.answers[-1][1])) < 1 << 20
    picture = page.download(0.5)
    assert picture.shape == large.shape
    assert difference(picture, transform(encode_photo(large, "JPEG"), generator, 0.5)) < 2
    assert next(c["name"] for c, _ in page.answers if c["kind"] == "file") == "holiday_drag.jpg"


def test_no_message_is_larger_than_a_server_lets_through(page, hopper, monkeypatch):
    monkeypatch.setattr(widget, "PART", 20_000)
    page.drop(encode_photo(hopper, "PNG"))
    page.download(1)
    assert max(len(b[0]) for c, b in page.answers if c["kind"] == "part") <= 20_000
    assert page.kinds().count("part") > 3


def test_the_download_holds_nothing_of_the_photos_metadata(page, astronaut):
    exif = Image.Exif()
    exif[0x010F] = "A phone"
    file = io.BytesIO()
    Image.fromarray(astronaut).save(file, "JPEG", exif=exif)
    page.drop(file.getvalue())
    page.download(1)
    assert b"A phone" in file.getvalue()
    assert not any(b"A phone" in bytes(piece) for _, buffers in page.answers for piece in buffers or ())


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"Dear diary, today", "me.jpg is not a picture"),
        (b"", "me.jpg is empty"),
        (encode_photo(np.full((300, 300, 3), 200, np.uint8)), "No face"),
        (encode_photo(np.full((300, 300, 3), 200, np.uint8))[:900], "damaged"),
    ],
)
def test_a_file_that_cannot_become_drag_is_answered_with_a_sentence(page, data, sentence):
    page.drop(data)
    assert page.last()["kind"] == "error"
    assert sentence in page.last()["text"]
    assert page.last()["request"] == "one"


def test_a_photo_that_is_too_large_is_refused_without_being_kept(page, monkeypatch):
    monkeypatch.setattr(widget, "LARGEST_FILE", 1 << 20)
    page.drop(bytes(2 << 20))
    assert page.kinds() == ["error"]
    assert "more than 1 MB" in page.last()["text"]
    assert page.showcase._parts == []


def test_a_photo_of_which_a_part_is_missing_is_asked_for_again(page):
    page.tell({"kind": "photo", "request": "one", "name": "a.jpg", "size": 9, "part": 0, "parts": 3}, [b"abc"])
    page.tell({"kind": "photo", "request": "one", "name": "a.jpg", "size": 9, "part": 2, "parts": 3}, [b"ghi"])
    assert "did not arrive whole" in page.last()["text"]


def test_the_same_photo_twice_is_answered_twice(page, astronaut):
    data = encode_photo(astronaut)
    page.drop(data, "one")
    page.drop(data, "two")
    shown = [content["request"] for content, _ in page.answers if content["kind"] == "shown"]
    assert shown == ["one", "two"]


def test_a_photo_dropped_while_another_arrives_takes_its_place(page, astronaut):
    data = encode_photo(astronaut)
    half = {"kind": "photo", "request": "first", "name": "a.jpg", "size": len(data), "parts": 2}
    page.tell(half | {"part": 0}, [data[:1000]])
    page.drop(data, "second")
    page.tell(half | {"part": 1}, [data[1000:]])
    assert {content["request"] for content, _ in page.answers} == {"second"}
    assert page.kinds()[-1] == "shown"
    assert page.download(1, photo="second").shape == astronaut.shape


def test_nothing_of_a_photo_is_in_the_state_that_a_notebook_saves(page, astronaut):
    before = page.showcase.get_state()
    page.drop(encode_photo(astronaut))
    page.download(1)
    assert page.showcase.get_state() == before
    assert not any(isinstance(value, (bytes, memoryview)) for value in before.values())
    json.dumps({key: value for key, value in before.items() if key != "layout"}, default=str)


@pytest.mark.parametrize("forget", [lambda page: page.tell({"kind": "forget"}), lambda page: page.showcase.close()])
def test_a_removed_photo_is_gone(page, astronaut, forget):
    page.drop(encode_photo(astronaut))
    page.download(1)
    forget(page)
    held = [v for v in vars(page.showcase).values() if v is not page.showcase._generator]
    assert not any(isinstance(value, (np.ndarray, widget.DragPhoto)) or value == [1] for value in held)
    assert page.showcase._file == b""
    assert page.download(1) is None
    assert "drop it once more" in page.last()["text"]


def test_a_view_cannot_download_the_photo_that_another_view_dropped(page, astronaut):
    page.drop(encode_photo(astronaut), "ours")
    page.drop(encode_photo(astronaut), "theirs")
    assert page.download(1, photo="ours") is None


def test_an_unexpected_failure_is_shown_and_not_swallowed(page, astronaut, monkeypatch):
    def out_of_memory(*_):
        raise MemoryError("no memory left")

    monkeypatch.setattr(widget, "make_drag", out_of_memory)
    page.drop(encode_photo(astronaut))
    assert "no memory left" in page.last()["text"]


@pytest.mark.parametrize("content", ["text", None, {"kind": "dance"}, {}])
def test_messages_of_others_are_ignored(page, content):
    page.tell(content)
    assert page.answers == []


def test_a_message_that_lacks_something_ends_in_an_error_not_in_a_traceback(page):
    page.tell({"kind": "photo", "request": "one"})
    assert page.kinds() == ["error"]


def test_a_strength_out_of_range_is_refused():
    with pytest.raises(DragFaceError, match="strength"):
        Showcase(strength=2)
