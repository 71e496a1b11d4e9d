"""A face through the generators of a run, and a page of everybody to guess."""

import base64
import html
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from skimage import data

from dragface_lib.__main__ import main
from dragface_lib.errors import DragFaceError
from dragface_lib.images import encode_photo, open_photo
from dragface_lib.model import Generator, save_generator
from dragface_lib.showcase import NoFace, pages, provenance
from dragface_lib.showcase.pages import FACE, PageView, face_progression, guess_who
from dragface_lib.widgets import PART

STRENGTHS = {10: 20, 20: 40, 40: 80}  # step of a milestone: how much its generator changes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder: three milestones that paint more and more, a damaged one, the newest generator, losses."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    for step, amount in {**STRENGTHS, 55: 120}.items():
        torch.manual_seed(0)
        generator = Generator(64, 2, 1)
        generator.to_rgb[1].weight.data.mul_(amount)
        name = "generator.safetensors" if step == 55 else f"milestones/step_{step:08d}.safetensors"
        save_generator(generator, folder / name, {"look": "neon", "steps": step})
    (folder / "milestones/step_00000030.safetensors").write_bytes(b"cut short")
    (folder / "losses.png").write_bytes(encode_photo(np.full((20, 30, 3), 200, np.uint8), "PNG"))
    return folder


@pytest.fixture(scope="module")
def progress(run):
    return face_progression(np.ascontiguousarray(data.astronaut()), run)


def test_one_face_goes_through_all_generators_that_can_be_read(progress):
    assert progress.captions == ("as you are", "step 10", "step 20", "step 40", "step 55")
    assert progress.look == "neon"
    assert {face.shape for face in progress.faces} == {(FACE, FACE, 3)}
    changes = [np.abs(face.astype(int) - progress.faces[0]).mean() for face in progress.faces]
    assert changes[0] == 0
    assert changes == sorted(changes)
    assert np.diff(changes).min() > 0.5
    corners = np.stack([face[:20, :20] for face in progress.faces])
    assert (corners == corners[0]).all()  # the same cut of the same photo


def test_the_command_writes_a_strip_a_moving_picture_and_a_page(run, portraits, tmp_path, capsys):
    for name in ("strip.jpg", "strip.png", "move.gif", "move.webp", "page.html"):
        assert main(["progression", str(portraits["astronaut"]), "--run", str(run), "-o", str(tmp_path / name)]) == 0
    assert "as you are, step 10, step 20, step 40, step 55" in capsys.readouterr().out
    assert open_photo(tmp_path / "strip.png").shape == (200 + 14, 5 * 200, 3)
    said = provenance.sentence("neon")
    for name in ("move.gif", "move.webp"):
        picture = Image.open(tmp_path / name)
        assert (picture.n_frames, picture.info["loop"]) == (5, 0)
        frames = [np.array(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(picture)]
        assert all(np.abs(one - other).mean() > 0.2 for one, other in zip(frames, frames[1:], strict=False))
        assert said in (picture.info.get("comment", b"").decode() or picture.getexif()[0x010E])
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/jpeg") == 5
    assert page.count("data:image/png") == 1


@pytest.mark.parametrize("name", ["progress.tiff", "progress"])
def test_a_progression_of_another_kind_is_refused(run, portraits, tmp_path, capsys, name):
    assert main(["progression", str(portraits["astronaut"]), "--run", str(run), "-o", str(tmp_path / name)]) == 2
    assert "cannot hold a progression" in capsys.readouterr().err


def test_a_run_without_generators_and_a_photo_without_a_face_are_one_sentence(run, tmp_path):
    with pytest.raises(DragFaceError, match="keeps no generators: name"):
        face_progression(data.astronaut().copy(), tmp_path)
    (tmp_path / "generator.safetensors").write_bytes(b"cut short")
    with pytest.raises(DragFaceError, match="is damaged or of another architecture"):
        face_progression(data.astronaut().copy(), tmp_path)
    with pytest.raises(NoFace):
        face_progression(data.coffee(), run)


@pytest.fixture(scope="module")
def everybody(tmp_path_factory, portraits):
    """Six photos of two people, of which one's name is mischief, and one without a face."""
    folder = tmp_path_factory.mktemp("everybody")
    names = ["Ada", "Zoë", "Bo", "Cy", '<img src=x onerror=alert(1)> " &']
    for name in names:
        (folder / f"{name}.jpg").write_bytes(portraits["astronaut"].read_bytes())
    (folder / "Grace.jpg").write_bytes(portraits["grace_hopper"].read_bytes())
    (folder / "cup.jpg").write_bytes(encode_photo(data.coffee()))
    return folder


def test_guess_who_is_one_shuffled_page_with_both_pictures_of_everybody(everybody, generator, tmp_path, capsys):
    page = guess_who(everybody, generator)
    assert "cup.jpg" in capsys.readouterr().err
    names = [html.unescape(name) for name in re.findall(r'alt="the photo"><br>(.*?)</details>', page)]
    assert sorted(names) == sorted(path.stem for path in everybody.iterdir() if path.stem != "cup")
    assert names != sorted(names)
    assert "<img src=x" not in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "default-src 'none'" in page
    assert "<script" not in page
    pictures = [base64.b64decode(data) for data in re.findall(r"data:image/jpeg;base64,([^\"]*)", page)]
    assert len(pictures) == 2 * len(names)
    for drag, photo in zip(pictures[::2], pictures[1::2], strict=True):
        assert np.abs(open_photo(drag).astype(int) - open_photo(photo)).mean() > 1
        assert Image.open(io.BytesIO(drag)).getexif()[0x010E] == provenance.sentence("drag")
        assert not Image.open(io.BytesIO(photo)).getexif()


def test_a_gallery_of_too_many_photos_says_that_it_stops(everybody, generator, monkeypatch, capsys):
    monkeypatch.setattr(pages, "MAX_CARDS", 3)
    assert guess_who(everybody, generator).count("<details>") == 3
    assert "These are 7 photos: only the first 3 are taken." in capsys.readouterr().err


def test_the_gallery_command_refuses_what_is_no_page_and_a_folder_without_faces(everybody, tmp_path, capsys):
    assert main(["gallery", str(everybody), "-o", str(tmp_path / "guess.pdf")]) == 2
    assert "guess.pdf is no page" in capsys.readouterr().err
    (tmp_path / "cups").mkdir()
    (tmp_path / "cups/cup.jpg").write_bytes(encode_photo(data.coffee()))
    assert main(["gallery", str(tmp_path / "cups"), "-o", str(tmp_path / "guess.html")]) == 2
    assert "No face was found in" in capsys.readouterr().err
    assert not (tmp_path / "guess.html").exists()


def test_a_page_in_a_notebook_travels_in_parts_and_leaves_nothing_in_its_state(monkeypatch):
    text = "<p>" + "Zoë " * PART
    view, sent = PageView(text), []
    monkeypatch.setattr(view, "send", lambda content, buffers: sent.append((content, buffers)))
    assert "Zoë" not in str(view.get_state())
    for part in range(6):
        view._handle_custom_msg({"kind": "part", "request": f"{part}", "file": "page", "part": part}, [])
    assert {content["parts"] for content, _ in sent} == {6}
    assert max(len(data) for _, (data,) in sent) <= PART
    assert b"".join(data for _, (data,) in sent).decode() == text
    view.close()
    view._handle_custom_msg({"kind": "part", "request": "late", "file": "page", "part": 0}, [])
    assert sent[-1][0]["state"] == "error"
    assert sent[-1][1] == []
