"""The showcase widget in a real browser, in Voila and in JupyterLab: photos come as a user brings them.

With DRAGFACE_SCREENSHOTS=folder the pictures of each state are kept there, to be looked at.
"""

import json
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
voila_alone = pytest.mark.parametrize("opened", ["voila"], indirect=True, scope="module")

CELL = """
from pathlib import Path
from dragface_lib import Showcase

class Unreliable(Showcase):
    lost = set()
    def send(self, content, buffers=None):
        # The first photo and the first part of a file get lost, as at a server that limits its rate.
        losing = {"faces", "parts"} & content.keys() - self.lost
        self.lost |= losing
        if not losing:
            super().send(content, buffers)

Unreliable("painter.safetensors", looks={"goth": Path("goth.safetensors"), "spoiled": Path("diary.txt")})
"""
# What the page has drawn of the faces, so that a test can wait for a new picture.
ADDRESS = "document.querySelector('.df-after').src"
FACE, BACKGROUND = (slice(70, 180), slice(170, 280)), (slice(300, 500), slice(350, 500))


def _painter(seed):
    torch.manual_seed(seed)
    generator = Generator(size=64, channels=4, blocks=1).requires_grad_(False)
    generator.to_rgb[1].weight.mul_(60)  # untrained it would hardly change anything
    return generator


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The widget's generators, files to drop, and what the camera sees."""
    folder = tmp_path_factory.mktemp("showcase")
    save_generator(_painter(0), folder / "painter.safetensors", {"look": "test"})
    save_generator(_painter(1), folder / "goth.safetensors", {"look": "goth"})
    save_photo(folder / "astronaut.jpg", data.astronaut())
    save_photo(folder / "two.jpg", np.hstack([data.astronaut(), data.astronaut()[:, ::-1]]))
    save_photo(folder / "coffee.jpg", data.coffee())
    large = cv2.resize(data.astronaut(), (4000, 3000), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).normal(0, 8, (1, 4000, 3))  # so that it needs many parts
    save_photo(folder / "large.jpg", np.clip(large + noise, 0, 255).astype(np.uint8))
    (folder / "diary.txt").write_text("Dear diary")
    (folder / "empty.jpg").write_bytes(b"")
    with open(folder / "huge.jpg", "wb") as file:
        file.truncate(26 << 20)
    frame = cv2.cvtColor(data.astronaut()[:384], cv2.COLOR_RGB2YUV_I420)
    film = b"YUV4MPEG2 W512 H384 F10:1 Ip A1:1 C420jpeg\n" + 2 * (b"FRAME\n" + frame.tobytes())
    (folder / "camera.y4m").write_bytes(film)
    return folder


@pytest.fixture(scope="module")
def browser(folder):
    with chromium(f"--use-file-for-fake-video-capture={folder / 'camera.y4m'}") as browser:
        yield browser


@pytest.fixture(scope="module", params=["voila", "lab"])
def opened(request, folder, browser):
    """One page with the widget on it, for all tests of this file."""
    with served(folder, CELL, request.param) as address:
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.server = request.param
        page.on("filechooser", lambda chooser: None)  # from now on no dialog opens, however soon a test asks for one
        open_notebook(page, address, ".df-zone")
        yield page
        page.close()


@pytest.fixture
def page(opened):
    """The page with the widget as it is at first: with the portrait to play with, or empty."""
    if opened.locator(".df-remove").is_visible() and not opened.locator(".df-caption").is_visible():
        opened.locator(".df-remove").click()
        opened.get_by_text("Drop a photo here").wait_for(timeout=WAIT)
    yield opened
    assert opened.failures == []


def drop(page, path, target=".df-zone"):
    """Drop a file as the operating system does; a synthetic DOM event would prove little."""
    box = page.locator(target).bounding_box()
    client = page.context.new_cdp_session(page)
    where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    for kind in ("dragEnter", "dragOver", "drop"):
        dragged = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        client.send("Input.dispatchDragEvent", {"type": kind, "data": dragged, **where})
    client.detach()


def wait_for_drag(page):
    """Wait until a photo of the test's own is shown."""
    waiting = ".df-busy, .df-result[hidden], .df-caption:not(:empty)"
    page.wait_for_function(f"!document.querySelector('{waiting}')", timeout=WAIT)


def shown_after(page, action):
    """Do something, and wait for other pictures."""
    before = page.evaluate(ADDRESS)
    action()
    page.wait_for_function(f"old => {ADDRESS} !== old && !document.querySelector('.df-busy')", arg=before, timeout=WAIT)


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


def screenshot_of(page, selector):
    encoded = np.frombuffer(page.locator(selector).screenshot(), np.uint8)
    return cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def error_in(page):
    error = page.locator(".df-error")
    error.wait_for(timeout=WAIT)
    return error.inner_text()


def difference(one, other):
    return np.abs(one.astype(int) - other.astype(int)).mean()


def shows_the_astronaut(page):
    before, after = picture_in(page, ".df-before"), picture_in(page, ".df-after")
    assert before.shape == after.shape == (512, 512, 3)
    assert difference(before, data.astronaut()) < 4
    assert difference(before[FACE], after[FACE]) > 5
    assert difference(before[BACKGROUND], after[BACKGROUND]) < 1


# In both: how a photo comes in, what cannot come in, and what is left of it.


def test_a_portrait_is_there_to_play_with_even_if_a_message_is_lost(page):
    page.locator(".df-caption").wait_for(timeout=WAIT)
    assert "public domain" in page.locator(".df-caption").inner_text()
    assert difference(picture_in(page, ".df-before"), data.astronaut()[:384, 40:424]) < 4
    keep(page, f"example_{page.server}")


def test_a_dropped_selfie_is_shown_before_and_in_drag(page, folder):
    drop(page, folder / "astronaut.jpg")
    wait_for_drag(page)
    shows_the_astronaut(page)
    keep(page, f"result_{page.server}")


def test_a_photo_can_be_chosen_with_the_keyboard_alone(page, folder):
    with page.expect_file_chooser(timeout=WAIT) as chooser:
        page.locator(".df-zone").press("Enter")
    chooser.value.set_files(folder / "astronaut.jpg")
    wait_for_drag(page)
    shows_the_astronaut(page)


def test_a_photo_can_be_pasted(page):
    page.locator(".df-zone").focus()
    page.evaluate(
        """(bytes) => {
            const clipboard = new DataTransfer();
            clipboard.items.add(new File([new Uint8Array(bytes)], "image.png", { type: "image/png" }));
            const paste = new ClipboardEvent("paste", { clipboardData: clipboard, bubbles: true });
            document.activeElement.dispatchEvent(paste);
        }""",
        list(encode_photo(data.astronaut())),
    )
    wait_for_drag(page)
    shows_the_astronaut(page)


def test_a_picture_is_taken_with_the_camera_which_is_off_then(page):
    page.evaluate(
        """() => {
            const devices = navigator.mediaDevices, ask = devices.getUserMedia.bind(devices);
            devices.getUserMedia = async (wanted) => (window.stream = await ask(wanted));
        }"""
    )
    page.locator(".df-snap").click()
    page.locator(".df-shoot:enabled").wait_for(timeout=WAIT)
    page.wait_for_timeout(300)  # the first frames may be black
    assert page.evaluate("window.stream.active")
    keep(page, f"camera_{page.server}")
    page.locator(".df-shoot").click()
    wait_for_drag(page)
    assert not page.evaluate("window.stream.active")
    assert page.locator(".df-camera").is_hidden()
    taken, seen = cv2.resize(picture_in(page, ".df-before"), (512, 384)), data.astronaut()[:384]
    assert difference(taken, seen) < difference(taken, seen[:, ::-1]) / 3  # not mirrored


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("diary.txt", "diary.txt is not a picture"),
        ("empty.jpg", "empty.jpg is empty (0 bytes)"),
        ("coffee.jpg", "No face was found in coffee.jpg"),
        ("huge.jpg", "up to 25 MB"),
    ],
)
def test_what_cannot_become_drag_is_answered_with_a_sentence(page, folder, name, sentence):
    drop(page, folder / name)
    assert sentence in error_in(page)
    assert page.locator(".df-bar").is_hidden()
    keep(page, f"error_{name.split('.')[0]}_{page.server}")
    drop(page, folder / "astronaut.jpg")  # and the widget goes on
    wait_for_drag(page)
    assert page.locator(".df-error").is_hidden()


def test_a_photo_of_12_megapixels_is_downloaded_whole_even_if_a_part_was_lost(page, folder):
    drop(page, folder / "large.jpg")
    wait_for_drag(page)
    with page.expect_download(timeout=WAIT) as waiting:
        page.locator(".df-download").click()
    assert waiting.value.suggested_filename == "large_drag.jpg"
    assert os.path.getsize(waiting.value.path()) > 2 << 20
    assert b"Made with DragFace" in waiting.value.path().read_bytes()
    picture, photo = open_photo(waiting.value.path()), open_photo(folder / "large.jpg")
    assert picture.shape == photo.shape == (3000, 4000, 3)
    assert difference(picture[2000:], photo[2000:]) < 4
    assert difference(picture[450:1000, 1400:2100], photo[450:1000, 1400:2100]) > 5


def test_nothing_of_a_photo_is_written_to_disk_or_kept_in_the_notebook(page, folder):
    files = {path for path in folder.rglob("*") if ".jupyter" not in path.parts}
    drop(page, folder / "astronaut.jpg")
    wait_for_drag(page)
    if page.server == "lab":
        page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        saved = (folder / "show.ipynb").read_text()
        assert '"your generator"' in json.dumps(json.loads(saved)["metadata"]["widgets"])  # its state is in there
        assert len(saved) < 200_000
        assert not any(start in saved for start in ("/9j/", "iVBORw"))
    now = {path for path in folder.rglob("*") if ".jupyter" not in path.parts and "checkpoint" not in str(path)}
    assert {path for path in now - files if path.suffix != ".log"} <= {folder / "home"}


# In Voila alone: what can be done with a photo.


@voila_alone
def test_the_line_between_before_and_after_follows_mouse_touch_and_keyboard(page, folder):
    drop(page, folder / "astronaut.jpg")
    wait_for_drag(page)
    line, box = page.get_by_role("slider", name="Line between"), page.locator(".df-frame").bounding_box()
    at = lambda share: (box["x"] + share * box["width"], box["y"] + box["height"] / 2)  # noqa: E731
    place = lambda: int(line.input_value())  # noqa: E731
    page.mouse.move(*at(0.5))
    page.mouse.down()
    page.mouse.move(*at(0.3), steps=4)
    page.mouse.up()
    assert place() == pytest.approx(30, abs=1)
    page.mouse.move(*at(0.9))  # without the button it stays
    assert place() == pytest.approx(30, abs=1)
    page.mouse.click(*at(0.7))
    assert place() == pytest.approx(70, abs=1)
    touch = page.context.new_cdp_session(page)
    for kind, share in (("touchStart", 0.7), ("touchMove", 0.5), ("touchMove", 0.2), ("touchEnd", None)):
        points = [] if share is None else [dict(zip("xy", at(share), strict=True))]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert place() == pytest.approx(20, abs=1)
    line.focus()
    for key, expected in [("Home", 0), ("ArrowRight", 1), ("PageUp", 11), ("ArrowLeft", 10), ("End", 100)]:
        page.keyboard.press(key)
        assert place() == expected
    assert "in drag" in line.get_attribute("aria-valuetext")
    whole_before = screenshot_of(page, ".df-frame")
    page.keyboard.press("Home")
    whole_after = screenshot_of(page, ".df-frame")
    scale = whole_before.shape[0] / 512
    rows, columns = (slice(int(s.start * scale), int(s.stop * scale)) for s in FACE)
    assert difference(whole_before[rows, columns], whole_after[rows, columns]) > 5
    page.mouse.click(*at(0.5))


@voila_alone
def test_the_strength_slider_moves_from_nothing_to_more_without_asking_the_notebook(page, folder):
    drop(page, folder / "astronaut.jpg")
    wait_for_drag(page)
    page.get_by_role("slider", name="Line between").press("Home")
    address, shown = page.evaluate(ADDRESS), []
    for percent in ("0", "100", "150"):
        page.get_by_role("slider", name="Strength").fill(percent)
        shown.append(screenshot_of(page, ".df-frame"))
        assert page.locator(".df-percent").inner_text() == f"{percent} %"
    nothing, normal, more = shown
    assert 0 < difference(nothing, normal) < difference(nothing, more)
    assert page.evaluate(ADDRESS) == address
    page.get_by_role("slider", name="Strength").press("Home")
    assert page.locator(".df-percent").inner_text() == "0 %"
    page.get_by_role("slider", name="Strength").fill("100")
    page.get_by_role("slider", name="Line between").press("Home")


@voila_alone
def test_faces_are_chosen_with_mouse_or_keyboard(page, folder):
    drop(page, folder / "two.jpg")
    wait_for_drag(page)
    assert "2 faces" in page.get_by_role("status").inner_text()
    chosen = page.get_by_role("group", name="Faces in drag").get_by_role("button")
    assert [chosen.nth(n).get_attribute("aria-pressed") for n in (0, 1)] == ["true", "true"]
    halves = slice(0, 450), slice(550, None)

    def changed():
        before, after = picture_in(page, ".df-before"), picture_in(page, ".df-after")
        return [bool(np.abs(before[:, side].astype(int) - after[:, side]).max() > 20) for side in halves]

    assert changed() == [True, True]
    keep(page, "two_faces")
    shown_after(page, chosen.nth(0).click)
    assert sorted(changed()) == [False, True]
    assert chosen.nth(0).get_attribute("aria-pressed") == "false"
    chosen.nth(1).click()  # the last one stays
    assert chosen.nth(1).get_attribute("aria-pressed") == "true"
    chosen.nth(0).focus()
    shown_after(page, lambda: page.keyboard.press("Space"))
    assert changed() == [True, True]


@voila_alone
def test_the_face_alone_and_its_heat_map_are_shown_on_demand(page, folder):
    drop(page, folder / "astronaut.jpg")
    wait_for_drag(page)
    shown_after(page, lambda: page.get_by_label("What is shown").select_option("Face only"))
    assert picture_in(page, ".df-before").shape == (256, 256, 3)
    assert page.locator(".df-heat").is_hidden()
    page.get_by_role("button", name="Where it looked").click()
    page.locator(".df-heat").wait_for(timeout=WAIT)
    assert difference(picture_in(page, ".df-heat"), picture_in(page, ".df-before")) > 20
    keep(page, "heat")
    shown_after(page, lambda: page.get_by_label("What is shown").select_option("Whole photo"))
    page.locator(".df-heat").wait_for(timeout=WAIT)  # it follows the view
    assert picture_in(page, ".df-heat").shape == (512, 512, 3)
    shown_after(page, page.get_by_role("button", name="Where it looked").click)
    assert page.locator(".df-heat").is_hidden()
    page.evaluate("for (let n = 0; n < 2; n++) document.querySelector('.df-heat-button').click()")  # on and off again
    page.wait_for_timeout(1000)  # in which the answer to the first click comes
    assert page.locator(".df-heat").is_hidden()
    assert not page.locator(".df-busy").count()


@voila_alone
def test_another_look_is_chosen_and_a_spoiled_one_is_a_sentence(page, folder):
    drop(page, folder / "astronaut.jpg")
    wait_for_drag(page)
    look, first = page.get_by_label("Look"), picture_in(page, ".df-after")
    shown_after(page, lambda: look.select_option("goth"))
    second = picture_in(page, ".df-after")
    assert difference(first[FACE], second[FACE]) > 3
    look.select_option("spoiled")
    assert "cannot be read safely" in error_in(page)
    assert look.input_value() == "goth"
    assert np.array_equal(picture_in(page, ".df-after"), second)
    shown_after(page, lambda: look.select_option("your generator"))
    assert np.array_equal(picture_in(page, ".df-after"), first)


@voila_alone
def test_a_second_photo_dropped_at_once_is_the_one_that_is_shown(page, folder):
    save_photo(folder / "mirrored.jpg", data.astronaut()[:, ::-1])
    drop(page, folder / "astronaut.jpg")
    drop(page, folder / "mirrored.jpg")
    wait_for_drag(page)
    assert difference(picture_in(page, ".df-before"), data.astronaut()[:, ::-1]) < 4


@voila_alone
@pytest.mark.parametrize("refusal", ["NotAllowedError", None])
def test_a_camera_that_is_refused_or_not_there_is_a_sentence(page, refusal):
    page.evaluate(
        """(name) => Object.defineProperty(navigator, "mediaDevices", { configurable: true, value:
            name && { getUserMedia: () => Promise.reject(new DOMException("", name)) } })""",
        refusal,
    )
    page.locator(".df-snap").click()
    assert "The camera does not start" in error_in(page)
    assert page.locator(".df-camera").is_hidden()
    assert page.locator(".df-snap").is_enabled()
    page.evaluate("delete navigator.mediaDevices")


@voila_alone
def test_a_file_dropped_beside_the_widget_does_not_leave_the_notebook(page, folder):
    client = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        dragged = {"items": [], "files": [str(folder / "astronaut.jpg")], "dragOperationsMask": 1}
        client.send("Input.dispatchDragEvent", {"type": kind, "x": 5, "y": 990, "data": dragged})
    client.detach()
    page.wait_for_timeout(300)
    assert page.locator(".df-zone").is_visible()


@voila_alone
def test_it_fits_a_narrow_window(page, folder):
    drop(page, folder / "two.jpg")
    wait_for_drag(page)
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_function("document.querySelector('.df-showcase').getBoundingClientRect().right <= 360", timeout=WAIT)
    wide = page.evaluate(
        "[...document.querySelectorAll('.df-showcase :not(.df-line)')].map(n => n.getBoundingClientRect().right)"
    )
    keep(page, "narrow")
    page.set_viewport_size({"width": 1200, "height": 1000})
    assert max(wide) <= 360


@voila_alone
def test_everything_that_can_be_used_has_a_name_for_a_screen_reader(page, folder):
    drop(page, folder / "two.jpg")
    wait_for_drag(page)
    tree = page.locator(".df-showcase").aria_snapshot()
    for line in (
        'group "Your selfie in drag"',
        'slider "Line between before and in drag"',
        'slider "Strength of the drag"',
        'combobox "Look"',
        'combobox "What is shown"',
        'button "Face 1" [pressed]',
        'button "Download"',
        "status",
    ):
        assert line in tree
    assert page.locator(".df-status").get_attribute("aria-live") == "polite"
    assert page.locator(".df-error").get_attribute("role") == "alert"
