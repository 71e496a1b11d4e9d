import gc
import io
import json
import weakref

import cv2
import numpy as np
import pytest
from PIL import Image

from dragface_lib.crop.align import aligned_face
from dragface_lib.crop.find import find_faces
from dragface_lib.errors import DragFaceError
from dragface_lib.images import encode_photo, open_photo
from dragface_lib.model import Generator, save_generator
from dragface_lib.showcase import crop_only, transform, transforming, widget
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

    def ask(self, kind, **more):
        """The kernel's last answer and its pictures."""
        view = {"photo": "one", "faces": None, "alone": False}
        self.tell(view | {"kind": kind, "request": f"{kind} {len(self.answers)}"} | more)
        content, buffers = self.answers[-1]
        return content, [open_photo(picture) for picture in buffers or ()]

    def download(self, strength, request="two", **more):
        self.ask("download", request=request, strength=strength, **({"format": "JPEG"} | more))
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
    assert len(page.last()["places"]) == 1
    before, after, strong, face = (open_photo(picture) for picture in page.answers[-1][1])
    assert face.shape == (88, 88, 3)
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


def test_a_drawn_face_is_painted_or_answered_with_a_sentence(page):
    cartoon = np.full((400, 400, 3), 255, np.uint8)
    cv2.circle(cartoon, (200, 200), 150, (255, 220, 60), -1)
    for x in (150, 250):
        cv2.circle(cartoon, (x, 160), 18, (0, 0, 0), -1)
    cv2.ellipse(cartoon, (200, 240), (70, 45), 0, 0, 180, (0, 0, 0), 8)
    page.drop(encode_photo(cartoon, "PNG"), name="cartoon.png")
    assert "No face was found in cartoon.png" in page.last()["text"]


def test_of_thirty_faces_each_can_be_chosen_and_no_message_is_too_large(page, astronaut, monkeypatch):
    face = find_faces(astronaut)[0]
    moves = [(256 * column - 96, 256 * row) for row in range(5) for column in range(6)]
    crowd = [face._replace(points=face.points + np.float32(move)) for move in moves]
    monkeypatch.setattr(transforming, "find_faces", lambda rgb: crowd)
    page.drop(encode_photo(np.tile(astronaut[:256, 96:352], (5, 6, 1))))
    content, buffers = page.answers[-1]
    assert len(content["places"]) == len(buffers) - 3 == 30
    assert sum(map(len, buffers)) < 1 << 20
    _, (before, after, _) = page.ask("view", faces=[29])
    changed = np.abs(before.astype(int) - after).max(axis=2) > 20
    assert changed[-150:, -150:].any()
    assert not changed[:500].any()


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


def test_there_is_a_portrait_to_play_with_until_a_photo_is_dropped(page, astronaut):
    content, pictures = page.ask("open")
    assert "public domain" in content["example"]
    assert difference(pictures[0], astronaut[:384, 40:424]) < 3
    assert difference(pictures[0], pictures[1]) > 0.2
    assert page.download(1, photo=content["photo"]).shape == (384, 384, 3)
    assert next(c["name"] for c, _ in page.answers if c["kind"] == "file") == "portrait_drag.jpg"


def test_a_page_opened_anew_gets_the_photo_that_is_there(page, hopper):
    page.drop(encode_photo(hopper))
    content, pictures = page.ask("open")
    assert (content["photo"], content["example"]) == ("one", "")
    assert difference(pictures[0], hopper) < 3


def test_a_face_that_was_not_chosen_stays_bare(page, astronaut, hopper, generator):
    both = np.hstack([astronaut, hopper[:512]])
    page.drop(encode_photo(both, "PNG"))
    places = page.last()["places"]
    right = next(number for number, (left, *_) in enumerate(places) if left > 0.5)
    _, (before, after, _) = page.ask("view", faces=[right])
    whole = transform(both, generator)
    picture = page.download(1, faces=[right], format="PNG")
    assert difference(before[:, :500], after[:, :500]) == 0
    assert difference(before[:, 500:], after[:, 500:]) > 1
    assert np.array_equal(picture[:, :512], both[:, :512])
    assert np.array_equal(picture[:, 512:], whole[:, 512:])
    assert page.ask("view", faces=[])[0]["kind"] == "error"


def test_a_face_alone_is_cut_as_training_sees_it(page, astronaut, hopper, generator):
    page.drop(encode_photo(astronaut, "PNG"))
    _, (before, after, _) = page.ask("view", alone=True)
    assert before.shape == after.shape == (256, 256, 3)
    assert difference(before, crop_only(astronaut)[0]) < 3
    points = page.showcase._drag.faces[0].found.points
    expected = aligned_face(transform(astronaut, generator), points, 256)
    assert np.array_equal(page.download(1, alone=True, format="PNG"), expected)
    page.drop(encode_photo(np.hstack([astronaut, hopper[:512]]), "PNG"))
    height, width = page.ask("view", alone=True)[1][0].shape[:2]
    assert width == 2 * height  # both faces, side by side


def test_the_heat_map_lies_over_the_face_alone_and_is_made_when_it_is_asked_for(page, astronaut):
    page.drop(encode_photo(astronaut, "PNG"))
    assert "heat" not in page.kinds()
    after = open_photo(page.answers[-1][1][1])
    _, (heat,) = page.ask("heat")
    for picture in (astronaut, after):
        assert difference(heat[80:160, 180:270], picture[80:160, 180:270]) > 20
    assert difference(heat[300:], astronaut[300:]) < 3
    assert page.ask("heat", alone=True)[1][0].shape == (256, 256, 3)


def test_another_look_paints_the_same_photo_without_looking_for_its_faces_again(
    generator, published, astronaut, tmp_path, monkeypatch
):
    save_generator(published, tmp_path / "other.safetensors", {"look": "goth"})
    page = Page(Showcase(generator, looks={"my run": tmp_path / "other.safetensors"}))
    assert page.showcase.looks == ["drag, as given", "my run"]
    page.drop(encode_photo(astronaut, "PNG"))
    monkeypatch.setattr(transforming, "find_faces", None)
    content, (_, after, _) = page.ask("look", look="my run")
    assert content["kind"] == "look"
    assert page.showcase.look == "my run"
    monkeypatch.undo()
    assert difference(after, transform(astronaut, published)) < 3
    page.download(1)
    assert b"look goth" in page.showcase._file


def test_a_look_is_opened_when_it_is_chosen_even_before_there_is_a_photo(generator, tmp_path):
    save_generator(generator, tmp_path / "other.safetensors", {})
    page = Page(Showcase(looks={"my run": tmp_path / "other.safetensors"}))
    assert page.ask("look", look="my run", photo=None) == (page.last(), [])
    assert page.showcase.look == "my run"


def _damaged(path, generator):
    save_generator(generator, path, {})
    path.write_bytes(path.read_bytes()[:5000])


def _of_another_size(path, generator):
    save_generator(generator, path, {})
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"channels":"4"', b'"channels":"8"'))


def _aligned_otherwise(path, generator):
    save_generator(generator, path, {"alignment": "nose-0.5"})


def _broken_down(path, generator):
    broken = Generator(size=64, channels=4, blocks=1).requires_grad_(False)
    broken.to_rgb[1].weight.fill_(float("nan"))
    save_generator(broken, path, {})


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path, _: None, "no generator file"),
        (lambda path, _: path.write_bytes(b"diary"), "not a whole generator file"),
        (_damaged, "not a whole generator file"),
        (_of_another_size, "does not fit its architecture"),
        (_aligned_otherwise, "aligned as nose-0.5"),
        (_broken_down, "returns no picture"),
    ],
)
def test_a_look_that_cannot_be_used_is_a_sentence_and_the_one_before_stays(
    generator, astronaut, tmp_path, spoil, sentence
):
    spoil(tmp_path / "other.safetensors", generator)
    page = Page(Showcase(generator, looks={"spoiled": tmp_path / "other.safetensors"}))
    page.drop(encode_photo(astronaut, "PNG"))
    before = page.download(1, format="PNG")
    content, _ = page.ask("look", look="spoiled")
    assert content["kind"] == "error"
    assert sentence in content["text"]
    assert len(content["text"]) < 400
    assert page.showcase.look == "drag, as given"
    assert np.array_equal(page.download(1, format="PNG"), before)


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
    photo, change = weakref.ref(page.showcase._drag.photo), weakref.ref(page.showcase._drag.faces[0].change)
    forget(page)
    gc.collect()
    assert photo() is None
    assert change() is None
    assert page.showcase._file == b""
    assert page.download(1) is None
    assert "drop it once more" in page.last()["text"]


def test_a_photo_that_fails_leaves_the_one_before(page, astronaut):
    page.drop(encode_photo(astronaut, "PNG"))
    page.drop(b"Dear diary", request="later")
    assert page.last()["kind"] == "error"
    assert page.download(1).shape == astronaut.shape


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
