"""The pages of progression and gallery, in a real browser: as files, and below a notebook's cell in Voila."""

from __future__ import annotations

import re

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
    """guess.html, of more than one message's size, and progression.html."""
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
    (folder / "progression.html").write_text(progress.page())
    return folder


def test_the_progression_fits_a_narrow_window_and_asks_nothing_of_other_addresses(browser, folder):
    page = browser.new_page(viewport={"width": 360, "height": 700})
    failures = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or failures.append(request.url))
    page.goto((folder / "progression.html").as_uri())
    assert page.locator("figcaption").all_inner_texts() == ["as you are", "step 10", "step 2,000"]
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
        cards = page.frame_locator("iframe.df-page").locator("details")
        cards.nth(11).wait_for(timeout=WAIT)
        assert cards.count() == 12
        shown = lambda: [cards.nth(n).get_by_alt_text("the photo").is_visible() for n in range(4)]  # noqa: E731
        assert shown() == [False] * 4
        cards.nth(1).locator("summary").click()
        cards.nth(2).locator("summary").focus()
        page.keyboard.press("Enter")
        assert shown() == [False, True, True, False]
        assert re.search("astronaut|grace_hopper", cards.nth(1).inner_text())
        keep(page, "guess_who")
        cards.nth(1).locator("summary").click()
        assert shown() == [False, False, True, False]
        assert page.failures == []
        page.close()
