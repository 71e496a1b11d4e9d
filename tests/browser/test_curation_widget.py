"""Going through the faces in a real browser, in Voila and in JupyterLab, with mouse, keyboard and touch.

With DRAGFACE_SCREENSHOTS=folder the pictures of each state are kept there, to be looked at.
"""

from __future__ import annotations

import time

import pytest
from faces_to_curate import faces_to_curate
from serving import WAIT, chromium, keep, open_notebook, served

from dragface_lib.crop import read_crops

pytestmark = pytest.mark.browser

COUNT = 120
CELL = """
from dragface_lib.crop.curation import Curation

class Unreliable(Curation):
    lost = 0
    def send(self, content, buffers=None):
        if "total" in content and not self.lost:
            Unreliable.lost = 1  # as a server does that limits its rate
        else:
            super().send(content, buffers)

Unreliable("faces")
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
    open_notebook(page, server[1], ".dc-face")  # though the first page was lost
    yield page
    page.close()


@pytest.fixture
def page(opened):
    show(opened, "All")
    yield opened
    assert opened.failures == []


@pytest.fixture
def faces(server):
    return server[2]


def settled(page):
    page.wait_for_function("() => document.querySelector('.dc-status').textContent.startsWith('All')", timeout=WAIT)


def show(page, name):
    page.locator(".dc-shown").select_option("All" if name != "All" else "Kept")
    page.locator(".dc-shown").select_option(name)
    settled(page)


def row_of(faces, name):
    return next(row for row in read_crops(faces) if row.photo == name)


def decisions(faces):
    return {row.key: row.decision for row in read_crops(faces) if row.decision}


def tile(page, name):
    return page.locator(f".dc-face[data-key$='{name}']")


def keys(page):
    return page.locator(".dc-face").evaluate_all("tiles => tiles.map(tile => tile.dataset.key)")


def test_the_faces_are_shown_with_a_role_a_state_and_a_text(page, server):
    page.wait_for_function(PICTURES, timeout=WAIT)
    assert page.locator(".dc-summary").inner_text() == "Kept: 40 selfies, 40 in drag. Rejected: 40"
    face = page.locator(".dc-curation").get_by_role("checkbox", name="face_000.jpg, selfie")
    assert not face.is_checked()
    assert page.locator(".dc-curation").get_by_role("checkbox").count() == len(keys(page)) == 24
    keep(page, f"curation_{server[0]}")


def test_a_click_turns_a_face_around_and_it_is_saved_at_once(page, faces):
    rejected, kept = tile(page, "face_003.jpg"), tile(page, "face_000.jpg")
    rejected.click()
    assert rejected.get_attribute("aria-checked") == "true"
    kept.tap()
    settled(page)
    assert (row_of(faces, "face_003.jpg").status, row_of(faces, "face_000.jpg").status) == ("kept", "kept")
    assert page.locator(".dc-summary").inner_text().endswith("Rejected: 38")
    kept.click()
    settled(page)
    assert row_of(faces, "face_000.jpg").status == "rejected"


def test_the_keyboard_alone_moves_and_decides(page, faces):
    show(page, "Kept")
    before = decisions(faces)
    first, second, third, fourth = keys(page)[:4]
    page.locator(".dc-face").first.focus()
    for key in ("ArrowRight", "x", "k", "ArrowRight", "ArrowLeft", "Space"):
        page.keyboard.press(key)
    settled(page)
    made = {key: word for key, word in decisions(faces).items() if before.get(key) != word}
    assert made == {second: "reject", third: "keep", fourth: "reject"}
    assert tile(page, first).get_attribute("aria-checked") == "true"


def test_a_page_that_is_right_is_accepted_with_one_key_and_the_next_one_comes(page, faces):
    show(page, "Not looked at")
    first = keys(page)
    page.locator(".dc-face").nth(2).focus()
    page.keyboard.press("k")
    page.keyboard.press("a")
    settled(page)
    second = keys(page)
    assert len(second) == len(first)
    assert not {*first} & {*second}
    assert decisions(faces).keys() >= {*first}
    assert decisions(faces)[first[2]] == "keep"
    page.locator(".dc-back").click()  # the list is made anew: what was accepted has been looked at
    settled(page)
    assert keys(page) == second


def test_a_filter_and_an_order_by_measure(page, faces):
    show(page, "Rejected")
    page.locator(".dc-order").select_option("sharpness")
    settled(page)
    rows = {row.key: row for row in read_crops(faces)}
    shown = [rows[key] for key in keys(page)]
    assert {row.status for row in shown} == {"rejected"}
    sharpness = [row.numbers["sharpness"] for row in shown]
    assert sharpness == sorted(sharpness)
    assert tile(page, shown[0].photo).inner_text().strip() == shown[0].reason
    page.locator(".dc-order").select_option("worst first")
    settled(page)


def test_faces_can_be_looked_at_as_large_as_they_are(page, server):
    small = tile(page, "face_000.jpg").bounding_box()["width"]
    page.locator(".dc-larger").click()
    assert tile(page, "face_000.jpg").bounding_box()["width"] > 1.8 * small
    keep(page, f"curation_large_{server[0]}")
    page.locator(".dc-larger").click()
    assert tile(page, "face_000.jpg").bounding_box()["width"] == small


def test_a_page_opened_anew_finds_what_was_decided(page, server, browser):
    if row_of(server[2], "face_000.jpg").status != "kept":
        tile(page, "face_000.jpg").click()
    settled(page)
    again = browser.new_page(viewport={"width": 1000, "height": 900})
    open_notebook(again, server[1], ".dc-face")  # with a new kernel in Voila, with the same one in JupyterLab
    show(again, "All")
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
    show(page, "Not looked at")
    start = time.monotonic()
    page.locator(".dc-face").first.focus()
    while keys(page):
        page.wait_for_function(PICTURES, timeout=WAIT)
        page.keyboard.press("a")
        settled(page)
    assert len(decisions(faces)) == COUNT
    assert time.monotonic() - start < COUNT * 0.5
    assert "looked at every face" in page.locator(".dc-empty").inner_text()
