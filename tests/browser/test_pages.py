"""The pages of progression and gallery, in a real browser: as files, and below a notebook's cell in Voila."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from serving import WAIT, chromium, keep, open_notebook, served
from skimage import data

from dragface_lib.images import encode_photo
from dragface_lib.model import Generator
from dragface_lib.showcase.pages import Progression, guess_who
from dragface_lib.widgets import PART

pytestmark = pytest.mark.browser
CELL = """
from pathlib import Path
from dragface_lib.showcase.pages import PageView
PageView(Path("guess.html").read_text())
"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory, portraits):
    """guess.html, of more than one message's size, and slider.html."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "photos").mkdir()
    for number in range(12):
        name = "grace_hopper" if number % 2 else "astronaut"
        (folder / f"photos/{number} {name}.jpg").write_bytes(portraits[name].read_bytes())
    torch.manual_seed(0)
    generator = Generator(64, 2, 1)
    generator.to_rgb[1].weight.data.mul_(60)
    (folder / "guess.html").write_text(guess_who(folder / "photos", generator))
    face = np.ascontiguousarray(data.astronaut()[:320, 64:384])
    losses = encode_photo(np.full((400, 700, 3), 230, np.uint8), "PNG")
    progress = Progression((face, face // 2, face // 4), ("as you are", "step 10", "step 2,000"), "neon", losses)
    (folder / "slider.html").write_text(progress.page())
    return folder


def test_the_slider_shows_each_step_by_keyboard_and_fits_a_narrow_window(browser, folder):
    page = browser.new_page(viewport={"width": 360, "height": 700})
    failures = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or failures.append(request.url))
    page.goto((folder / "slider.html").as_uri())
    faces = page.locator("figure img")
    shown = lambda: [faces.nth(n).is_visible() for n in range(faces.count())]  # noqa: E731
    assert (shown(), page.locator("output").inner_text()) == ([True, False, False], "as you are")
    page.locator("input").focus()
    page.keyboard.press("ArrowRight")
    assert (shown(), page.locator("output").inner_text()) == ([False, True, False], "step 10")
    page.keyboard.press("End")
    assert (shown(), page.locator("output").inner_text()) == ([False, False, True], "step 2,000")
    assert page.locator("input").get_attribute("aria-valuetext") == "step 2,000"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("img[alt^=losses]").evaluate("image => image.naturalWidth") == 700
    keep(page, "progression")
    page.close()
    assert failures == []


def test_below_a_cell_a_click_or_key_shows_who_it_is_and_covers_again(browser, folder):
    assert (folder / "guess.html").stat().st_size > PART
    with served(folder, CELL) as address:
        page = browser.new_page(viewport={"width": 900, "height": 900})
        open_notebook(page, address, "iframe.df-page")
        frame = page.frame_locator("iframe.df-page")
        cards = frame.locator(".grid button")
        cards.nth(11).wait_for(timeout=WAIT)
        assert cards.count() == 12
        names = cards.evaluate_all("cards => cards.map((card) => card.dataset.name)")
        assert set(cards.locator("span").all_inner_texts()) == {"Who is it?"}
        cards.nth(1).click()
        cards.nth(2).focus()
        page.keyboard.press("Enter")
        assert cards.locator("span").all_inner_texts()[1:3] == names[1:3]
        photo, drag = cards.nth(1).get_by_alt_text("the photo"), cards.nth(1).get_by_alt_text("somebody in drag")
        assert photo.is_visible()
        assert not drag.is_visible()
        keep(page, "guess_who")
        cards.nth(1).click()
        assert drag.is_visible()
        # The frame is as high as the page in it: nothing to scroll.
        height = frame.locator("body").evaluate("body => body.offsetHeight")
        page.wait_for_function(f"document.querySelector('iframe.df-page').offsetHeight >= {height}")
        assert page.failures == []
        page.close()
