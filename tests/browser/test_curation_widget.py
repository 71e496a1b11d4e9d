"""Going through the faces in a real browser, in Voila and in JupyterLab, with mouse, keyboard and touch.

With DRAGFACE_SCREENSHOTS=folder the pictures of each state are kept there, to be looked at.
"""

from __future__ import annotations

import time

import pytest
from faces_to_curate import faces_to_curate
from serving import WAIT, chromium, keep, open_notebook, served

from dragface_lib.crop import read_crops
from dragface_lib.crop.decisions import read_decisions

pytestmark = pytest.mark.browser

COUNT = 120
CELL = """
from dragface_lib.crop.curation import Curation, Review

class Unreliable(Curation):
    lost = 0
    def send(self, content, buffers=None):
        if content["kind"] == "thumbs" and not self.lost:
            Unreliable.lost = 1  # as a server does that limits its rate
        else:
            super().send(content, buffers)

Unreliable(Review("faces"))
"""
PICTURES = "() => [...document.querySelectorAll('.dc-picture')].every((p) => p.naturalWidth > 0)"


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module", params=["voila", "lab"])
def server(request, tmp_path_factory):
    """(which server, its address, the folder of faces)."""
    folder = tmp_path_factory.mktemp("curation")
    faces_to_curate(folder / "faces", COUNT)
    with served(folder, CELL, request.param) as address:
        yield request.param, address, folder / "faces"


@pytest.fixture(scope="module")
def opened(server, browser):
    page = browser.new_page(viewport={"width": 1000, "height": 900}, has_touch=True)
    open_notebook(page, server[1], ".dc-face")
    yield page
    page.close()


@pytest.fixture
def page(opened):
    """The first page of all faces; whatever an earlier test decided is taken back."""
    while opened.locator(".dc-undo").is_enabled():
        opened.locator(".dc-undo").click()
        saved(opened)
    opened.locator("[data-shown=all]").click()
    yield opened
    assert opened.failures == []


@pytest.fixture
def faces(server):
    return server[2]


def saved(page):
    page.wait_for_function("() => document.querySelector('.dc-saved').textContent !== 'Saving …'", timeout=WAIT)


def status_of(faces, name):
    return next(row.status for row in read_crops(faces) if row.photo == name)


def tile(page, name):
    return page.locator(f".dc-tile[data-key$='{name}'] .dc-face")


def test_the_faces_are_shown_even_if_some_of_their_pictures_were_lost(page, server):
    page.wait_for_function(PICTURES, timeout=WAIT)
    assert 20 <= page.locator(".dc-picture").count() < COUNT
    assert page.locator("[data-shown=all]").inner_text().split() == ["All", str(COUNT)]
    keep(page, f"curation_{server[0]}")


def test_a_click_turns_a_face_around_and_it_is_saved_at_once(page, faces):
    rejected, kept = tile(page, "face_003.jpg"), tile(page, "face_000.jpg")
    assert rejected.get_attribute("aria-checked") == "false"
    rejected.click()
    assert rejected.get_attribute("aria-checked") == "true"
    saved(page)
    assert status_of(faces, "face_003.jpg") == "kept"
    kept.tap()
    saved(page)
    assert status_of(faces, "face_000.jpg") == "kept"
    assert page.locator("[data-shown=hand]").inner_text().split()[-1] == "2"
    page.locator(".dc-undo").click()
    saved(page)
    assert status_of(faces, "face_000.jpg") == "rejected"
    assert kept.get_attribute("aria-checked") == "false"


def test_the_keyboard_alone_moves_decides_and_takes_back(page, faces):
    page.locator("[data-shown=kept]").click()
    tiles = page.locator(".dc-face")
    tiles.first.focus()
    columns = page.evaluate(
        "getComputedStyle(document.querySelector('.dc-grid')).gridTemplateColumns.split(' ').length"
    )
    for key in ("ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    assert tiles.nth(columns + 1).evaluate("tile => tile === document.activeElement")
    page.keyboard.press("x")
    page.keyboard.press("x")
    page.keyboard.press("k")
    saved(page)
    words = [*read_decisions(faces).values()]
    assert sorted(words) == ["keep", "reject", "reject"]
    page.keyboard.press("Space")
    saved(page)
    assert sorted(read_decisions(faces).values()) == ["keep", "reject", "reject", "reject"]
    for _ in range(2):
        page.keyboard.press("u")
    page.keyboard.press("Control+z")
    saved(page)
    assert list(read_decisions(faces).values()) == ["reject"]


def test_a_page_that_is_right_is_accepted_with_one_key_and_the_next_one_comes(page, faces):
    page.locator("[data-shown=open]").click()
    first = page.locator(".dc-tile").evaluate_all("tiles => tiles.map(tile => tile.dataset.key)")
    page.locator(".dc-face").nth(2).focus()
    page.keyboard.press("k")
    page.keyboard.press("a")
    saved(page)
    second = page.locator(".dc-tile").evaluate_all("tiles => tiles.map(tile => tile.dataset.key)")
    assert len(second) == len(first)
    assert not {*first} & {*second}
    assert read_decisions(faces).keys() == {*first}
    assert status_of(faces, first[2].split("/")[1]) == "kept"
    page.keyboard.press("u")
    saved(page)
    assert page.locator(".dc-tile").first.get_attribute("data-key") == first[0]


def test_the_filters_leave_what_was_asked_for(page):
    page.locator("[data-shown=rejected]").click()
    page.locator(".dc-reason").select_option("blurred")
    page.locator(".dc-domain").select_option("drag")
    shown = page.locator(".dc-tile").evaluate_all(
        "tiles => tiles.map(tile => [tile.dataset.key, tile.innerText.trim()])"
    )
    assert shown
    assert all(key.startswith("drag/") and text == "blurred" for key, text in shown)
    page.locator(".dc-reject-all").click()
    page.locator("[data-shown=hand]").click()
    assert page.locator(".dc-tile").count() == len(shown)
    page.locator(".dc-reason").select_option("")
    page.locator(".dc-domain").select_option("")


def test_one_face_can_be_looked_at_closely_and_decided_there(page, server, faces):
    tile(page, "face_000.jpg").focus()
    page.keyboard.press("l")
    page.wait_for_function("() => document.querySelector('.dc-large').naturalWidth === 256", timeout=WAIT)
    assert "blurred: sharpness 0.20" in page.locator(".dc-about").inner_text()
    keep(page, f"curation_closer_{server[0]}")
    page.locator(".dc-turn").click()
    page.keyboard.press("Escape")
    saved(page)
    assert status_of(faces, "face_000.jpg") == "kept"
    assert not page.locator(".dc-closer").is_visible()


def test_faces_have_a_role_a_state_and_a_text(page):
    widget = page.locator(".dc-curation")
    face = widget.get_by_role("checkbox", name="face_000.jpg, selfie")
    assert not face.is_checked()
    assert widget.get_by_role("checkbox").count() == page.locator(".dc-face").count()
    assert page.locator(".dc-face[tabindex='0']").count() == 1  # the tab key goes past the grid in one step
    face.click()
    assert face.is_checked()
    assert "face_000.jpg: kept" in widget.get_by_role("status").inner_text()
    counters = widget.get_by_role("progressbar")
    assert counters.count() == 2


def test_a_page_opened_anew_finds_what_was_decided(page, server, browser):
    tile(page, "face_000.jpg").click()
    saved(page)
    again = browser.new_page(viewport={"width": 1000, "height": 900})
    open_notebook(again, server[1], ".dc-face")  # with a new kernel in Voila, with the same one in JupyterLab
    again.locator("[data-shown=hand]").click()
    assert tile(again, "face_000.jpg").get_attribute("aria-checked") == "true"
    again.close()


def test_it_fits_a_narrow_window(page, server):
    if server[0] == "lab":
        page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
    page.set_viewport_size({"width": 390, "height": 740})
    page.wait_for_function("document.querySelector('.dc-curation').getBoundingClientRect().right <= 390", timeout=WAIT)
    wide = page.evaluate("[...document.querySelectorAll('.dc-curation *')].map(n => n.getBoundingClientRect().right)")
    keep(page, f"curation_narrow_{server[0]}")
    page.set_viewport_size({"width": 1000, "height": 900})
    assert max(wide) <= 390


def test_a_hundred_faces_take_a_minute_at_most_with_every_picture_seen(page, faces):
    page.locator("[data-shown=open]").click()
    start = time.monotonic()
    while page.locator(".dc-tile").count():
        page.wait_for_function(PICTURES, timeout=WAIT)
        page.keyboard.press("a")
    saved(page)
    assert len(read_decisions(faces)) == COUNT
    assert time.monotonic() - start < COUNT * 0.5
    assert "looked at every face" in page.locator(".dc-empty").inner_text()
