"""The widget in a real browser: a notebook served by Voila, photos dropped on it as a user drops them.

With DRAGFACE_SCREENSHOTS=folder the pictures of each state are kept there, to be looked at.
"""

import io
import os

import cv2
import numpy as np
import pytest
import torch
from serving import WAIT, chromium, keep, open_notebook, served
from skimage import data

from dragface_lib.images import encode_photo, open_photo, save_photo
from dragface_lib.model import Generator, save_generator

pytestmark = pytest.mark.browser

CELL = """
from dragface_lib import Showcase, load_generator

class Unreliable(Showcase):
    lost = 0
    def send(self, content, buffers=None):
        if content.get("kind") == "part" and content["part"] == 1 and not self.lost:
            self.lost = 1  # as a server does that limits its rate
        else:
            super().send(content, buffers)

Unreliable(load_generator("painter.safetensors"))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A notebook with the widget, its generator, and files to drop."""
    folder = tmp_path_factory.mktemp("showcase")
    torch.manual_seed(0)
    generator = Generator(size=64, channels=4, blocks=1)
    generator.to_rgb[1].weight.data.mul_(60)  # untrained it would hardly change anything
    save_generator(generator, folder / "painter.safetensors", {"direction": "selfie_to_drag", "look": "test"})
    save_photo(folder / "astronaut.jpg", data.astronaut())
    save_photo(folder / "coffee.jpg", data.coffee())
    (folder / "diary.txt").write_text("Dear diary")
    (folder / "pretender.jpg").write_text("Dear diary")
    with open(folder / "huge.jpg", "wb") as file:
        file.truncate(26 << 20)
    return folder


@pytest.fixture(scope="module")
def opened(folder):
    """One page with the widget on it, for all tests of this file."""
    with served(folder, CELL) as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.on("filechooser", lambda chooser: None)  # from now on no dialog opens, however soon a test asks for one
        open_notebook(page, address, ".df-zone")
        yield page


@pytest.fixture
def page(opened):
    """The page with the empty widget."""
    if opened.locator(".df-remove").is_visible():
        opened.locator(".df-remove").click()
    opened.locator("text=Drop a photo here").or_(opened.locator(".df-error")).first.wait_for(timeout=WAIT)
    yield opened
    assert opened.failures == []


def drop(page, path):
    """Drop a file as the operating system does; a synthetic DOM event would prove little."""
    box = page.locator(".df-zone").bounding_box()
    client = page.context.new_cdp_session(page)
    where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    for kind in ("dragEnter", "dragOver", "drop"):
        dragged = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        client.send("Input.dispatchDragEvent", {"type": kind, "data": dragged, **where})
    client.detach()


def wait_for_drag(page):
    page.locator(".df-download").wait_for(timeout=WAIT)
    assert page.locator(".df-bar").is_hidden()


def picture_in(page, selector):
    """The pixels behind an <img>."""
    encoded = page.evaluate(
        """async (selector) => {
            const bytes = new Uint8Array(await (await fetch(document.querySelector(selector).src)).arrayBuffer());
            return Array.from(bytes);
        }""",
        selector,
    )
    return open_photo(bytes(encoded))


def error_in(page):
    error = page.locator(".df-error")
    error.wait_for(timeout=WAIT)
    return error.inner_text()


def difference(one, other):
    return np.abs(one.astype(int) - other.astype(int)).mean()


def test_a_dropped_selfie_is_shown_before_and_in_drag(page, folder):
    keep(page, "empty")
    drop(page, folder / "astronaut.jpg")
    wait_for_drag(page)
    before, after = picture_in(page, ".df-before"), picture_in(page, ".df-after")
    assert before.shape == after.shape == (512, 512, 3)
    assert difference(before, data.astronaut()) < 4
    face, background = (slice(70, 180), slice(170, 280)), (slice(300, 500), slice(350, 500))
    assert difference(before[face], after[face]) > 5
    assert difference(before[background], after[background]) < 1
    keep(page, "result")


def test_the_strength_slider_moves_from_nothing_to_more(page, folder):
    drop(page, folder / "astronaut.jpg")
    wait_for_drag(page)
    shown = []
    for percent in ("0", "100", "150"):
        page.locator(".df-slider").fill(percent)
        stack = page.locator(".df-stack").screenshot()
        shown.append(cv2.imdecode(np.frombuffer(stack, np.uint8), cv2.IMREAD_COLOR))
        assert page.locator(".df-percent").inner_text() == f"{percent} %"
    nothing, normal, more = shown
    assert 0 < difference(nothing, normal) < difference(nothing, more)
    page.locator(".df-slider").press("Home")
    assert page.locator(".df-percent").inner_text() == "0 %"
    page.locator(".df-slider").fill("100")


def test_the_download_is_the_whole_photo_in_drag_even_if_a_part_of_it_was_lost(page, folder):
    large = cv2.resize(data.astronaut(), (2400, 2400), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).normal(0, 12, large.shape)  # so that it needs many parts
    save_photo(folder / "large.jpg", np.clip(large + noise, 0, 255).astype(np.uint8))
    drop(page, folder / "large.jpg")
    wait_for_drag(page)
    with page.expect_download(timeout=WAIT) as waiting:
        page.locator(".df-download").click()
    assert waiting.value.suggested_filename == "large_drag.jpg"
    assert os.path.getsize(waiting.value.path()) > 2 << 20
    picture, photo = open_photo(waiting.value.path()), open_photo(folder / "large.jpg")
    assert picture.shape == photo.shape
    assert difference(picture[1500:], photo[1500:]) < 4
    assert difference(picture[350:850, 800:1300], photo[350:850, 800:1300]) > 5


def test_the_same_file_twice_is_shown_twice(page, folder):
    addresses = []
    for _ in range(2):
        drop(page, folder / "astronaut.jpg")
        page.wait_for_function(
            "old => { const s = document.querySelector('.df-before').src; return s && s !== old }",
            arg=addresses[-1] if addresses else "",
            timeout=WAIT,
        )
        wait_for_drag(page)
        addresses.append(page.locator(".df-before").get_attribute("src"))
    assert addresses[0] != addresses[1]


def test_a_second_photo_dropped_at_once_is_the_one_that_is_shown(page, folder):
    save_photo(folder / "mirrored.jpg", data.astronaut()[:, ::-1])
    drop(page, folder / "astronaut.jpg")
    drop(page, folder / "mirrored.jpg")
    wait_for_drag(page)
    assert difference(picture_in(page, ".df-before"), data.astronaut()[:, ::-1]) < 4


def test_a_photo_can_be_chosen_with_the_keyboard_alone(page, folder):
    with page.expect_file_chooser(timeout=WAIT) as chooser:
        page.locator(".df-zone").press("Enter")
    chooser.value.set_files(folder / "astronaut.jpg")
    wait_for_drag(page)


def test_a_photo_can_be_pasted(page):
    encoded = list(encode_photo(data.astronaut()))
    page.locator(".df-zone").focus()
    page.evaluate(
        """(bytes) => {
            const clipboard = new DataTransfer();
            clipboard.items.add(new File([new Uint8Array(bytes)], "image.png", { type: "image/png" }));
            const paste = new ClipboardEvent("paste", { clipboardData: clipboard, bubbles: true });
            document.activeElement.dispatchEvent(paste);
        }""",
        encoded,
    )
    wait_for_drag(page)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("diary.txt", "diary.txt is not a picture"),
        ("pretender.jpg", "pretender.jpg is not a picture"),
        ("coffee.jpg", "No face was found"),
        ("huge.jpg", "up to 25 MB"),
    ],
)
def test_what_cannot_become_drag_is_answered_with_a_sentence(page, folder, name, sentence):
    drop(page, folder / name)
    assert sentence in error_in(page)
    assert page.locator(".df-result").is_hidden()
    assert page.locator(".df-bar").is_hidden()
    keep(page, f"error_{name.split('.')[0]}")
    drop(page, folder / "astronaut.jpg")  # and the widget goes on
    wait_for_drag(page)
    assert page.locator(".df-error").is_hidden()


def test_a_file_dropped_beside_the_widget_does_not_leave_the_notebook(page, folder):
    client = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        dragged = {"items": [], "files": [str(folder / "astronaut.jpg")], "dragOperationsMask": 1}
        client.send("Input.dispatchDragEvent", {"type": kind, "x": 5, "y": 890, "data": dragged})
    client.detach()
    page.wait_for_timeout(300)
    assert page.locator(".df-zone").is_visible()


def test_removing_the_photo_leaves_the_empty_widget(page, folder):
    drop(page, folder / "astronaut.jpg")
    wait_for_drag(page)
    page.locator(".df-remove").click()
    assert page.locator(".df-result").is_hidden()
    assert page.locator(".df-before").get_attribute("src") is None
    assert page.get_by_text("Drop a photo here").is_visible()


def test_it_fits_a_narrow_window(page, folder):
    drop(page, folder / "astronaut.jpg")
    wait_for_drag(page)
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_function("document.querySelector('.df-showcase').getBoundingClientRect().right <= 360", timeout=WAIT)
    wide = page.evaluate("[...document.querySelectorAll('.df-showcase *')].map(n => n.getBoundingClientRect().right)")
    keep(page, "narrow")
    page.set_viewport_size({"width": 1000, "height": 900})
    assert max(wide) <= 360


def test_several_faces_are_all_painted(page, folder):
    two = np.hstack([data.astronaut(), data.astronaut()[:, ::-1]])
    page.locator(".df-file").set_input_files(
        {"name": "two.png", "mimeType": "image/png", "buffer": io.BytesIO(encode_photo(two, "PNG")).getvalue()}
    )
    wait_for_drag(page)
    assert page.locator(".df-status").inner_text() == "2 faces"
    before, after = picture_in(page, ".df-before"), picture_in(page, ".df-after")
    half = before.shape[1] // 2
    for side in (slice(0, half), slice(half, None)):
        assert np.abs(before[:, side].astype(int) - after[:, side]).max() > 20
    keep(page, "two_faces")
