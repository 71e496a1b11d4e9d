"""Whatever is dropped in, and whatever generator is named: a picture, or one sentence that says what to do next."""

import io
import json
import re
import struct
import zlib

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from skimage import data

from dragface_lib.crop.find import find_faces
from dragface_lib.errors import DragFaceError
from dragface_lib.images import encode_photo
from dragface_lib.model import Generator, load_generator, save_generator
from dragface_lib.showcase import crop_only, make_drag, transform, transforming


def bomb():
    """A PNG of 200 megapixels in 200 kB."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer, row = zlib.compressobj(9), bytes(2501)
    pixels = b"".join(packer.compress(row) for _ in range(10_000)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 10_000, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


BAD = {
    "paper.pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n" + bytes(500), "is a PDF, not a photo: save"),
    "zero.jpg": (b"", "is empty (0 bytes): copy"),
    "phone.heic": (
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(900),
        "is a HEIC photo, which cannot be opened here: save",
    ),
    "letter.jpg": (b"Dear Sir or Madam, " * 30, "is not a picture that can be opened: use"),
    "bomb.png": (bomb(), "has more than the 100 megapixels allowed: make"),
    "cup.png": (encode_photo(data.coffee(), "PNG"), "cup.png: choose one in which a face looks towards the camera"),
    "cut.png": (encode_photo(data.coffee(), "PNG")[:9000], "is damaged or cut short"),
}
ONE_SENTENCE = re.compile(r"[^\n]{20,220}[^.\n]\.")


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("kind", ["path", "file"])
def test_a_file_that_gives_no_picture_is_one_sentence(name, kind, generator, tmp_path):
    content, said = BAD[name]
    photo = tmp_path / name
    photo.write_bytes(content)
    if kind == "file":  # as the widget passes it on
        photo = io.BytesIO(content)
        photo.name = name
    with pytest.raises(DragFaceError) as caught:
        transform(photo, generator)
    assert name in str(caught.value)
    assert said in str(caught.value)
    assert ONE_SENTENCE.fullmatch(str(caught.value)), str(caught.value)


@pytest.fixture
def faces_at(astronaut, monkeypatch):
    """Function that makes the showcase find the astronaut's face, moved by each of some (x, y)."""
    face = find_faces(astronaut)[0]

    def find(*moves):
        faces = [face._replace(points=face.points + np.float32(move)) for move in moves]
        monkeypatch.setattr(transforming, "find_faces", lambda rgb: faces)

    return find


def test_thirty_faces_are_all_painted(astronaut, generator, faces_at):
    places = [(256 * column, 256 * row) for row in range(5) for column in range(6)]
    faces_at(*(np.subtract(place, (96, 0)) for place in places))
    crowd = np.tile(astronaut[:256, 96:352], (5, 6, 1))
    drag = make_drag(crowd, generator)
    assert len(drag.faces) == 30
    changed = (drag.at(1) != crowd).any(axis=2)
    assert changed.reshape(5, 256, 6, 256).mean(axis=(1, 3)).min() > 0.1


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_face_at_the_edge_is_painted_up_to_the_edge(astronaut, generator, faces_at, side):
    photo, move = {
        "left": (astronaut[:, 190:], (-190, 0)),  # the face reaches from 170 to 280
        "right": (astronaut[:, :262], (0, 0)),
        "top": (astronaut[75:], (0, -75)),
        "bottom": (astronaut[:172], (0, 0)),
    }[side]
    faces_at(move)
    changed = (make_drag(photo, generator).at(1.5) != photo).any(axis=2)
    edge = {"left": changed[:, 0], "right": changed[:, -1], "top": changed[0], "bottom": changed[-1]}[side]
    assert edge.sum() > 10
    assert crop_only(photo)[0].shape == (256, 256, 3)


def test_a_generator_that_is_cut_short_or_of_another_size_is_one_sentence(generator, tmp_path):
    whole = tmp_path / "whole.safetensors"
    save_generator(Generator(64, 2, 1, light=False), whole, {"look": "none"})
    content = whole.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: len(content) // 2])
    length = int.from_bytes(content[:8], "little")
    told = json.loads(content[8 : 8 + length])["__metadata__"]
    save_file(load_file(whole), tmp_path / "size.safetensors", told | {"size": "128"})  # full: its layers fit one size
    for name, said in {"cut": "is not a whole generator file", "size": "does not fit its architecture"}.items():
        with pytest.raises(DragFaceError) as caught:
            load_generator(tmp_path / f"{name}.safetensors")
        assert f"{name}.safetensors {said}" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [64, 132, 256])
def test_generators_of_every_size_paint_the_same_photo(astronaut, size):
    generator = Generator(size, 1, 1)
    generator.to_rgb[1].weight.data.mul_(200)
    picture = transform(astronaut, generator)
    assert picture.shape == astronaut.shape
    assert (picture != astronaut).any()
