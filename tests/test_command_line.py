"""The command line: every command explains itself; what a user can mend is one line on stderr and exit code 2."""

import json
import os
import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from detecting import DETECTOR
from PIL import Image
from skimage import data

from dragface_lib.__main__ import main
from dragface_lib.images import open_photo, save_photo
from dragface_lib.model import Generator, save_generator

COMMANDS = ("transform", "demo", "scrape", "withdraw", "credits", "crop", "practice", "train")
COMMANDS += ("bench", "evaluate", "export", "progression", "gallery")


def run(*arguments):
    """Exit code of a command, also where argparse ends it."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        return stopped.code


def refusal(capsys, *arguments):
    """The one line with which a command ends with exit code 2."""
    capsys.readouterr()
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert len(lines) == 1, printed.err
    assert lines[0].startswith("dragface: ")
    assert "Traceback" not in printed.err
    return lines[0]


def one_bit_png(path, width, height):
    """A valid PNG of any size in a few kilobytes: what a decompression bomb looks like."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer, row = zlib.compressobj(9), bytes(1 + (width + 7) // 8)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@pytest.fixture(scope="module")
def generator_file(tmp_path_factory):
    """An untrained generator of 64 px, which leaves faces nearly as they are."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("generator") / "g.safetensors"
    save_generator(Generator(64, 2, 1), path, {"direction": "selfie_to_drag", "look": "none"})
    return path


@pytest.fixture
def bad_photos(portraits, tmp_path):
    """Files that are no photos, by what is wrong with them."""
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "text.jpg").write_text("I am a letter, not a photo.\n" * 20)
    (folder / "zero.jpg").touch()
    content = portraits["astronaut"].read_bytes()
    (folder / "cut.jpg").write_bytes(content[: len(content) // 3])
    one_bit_png(folder / "bomb.png", 20_000, 10_000)
    names = {"text": "text.jpg", "zero": "zero.jpg", "cut": "cut.jpg", "bomb": "bomb.png"}
    return {kind: folder / name for kind, name in names.items()} | {"missing": folder / "nowhere.jpg", "folder": folder}


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_every_command_explains_itself(capsys, command):
    assert run(*command, "--help") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "usage: dragface_lib" in printed.out
    if not command:
        assert all(re.search(rf"^ +{name}\s", printed.out, re.MULTILINE) for name in COMMANDS)


def test_help_needs_no_torch():
    code = "import sys, dragface_lib.__main__ as m\ntry: m.parse(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_module_is_the_command(tmp_path):
    command = [sys.executable, "-m", "dragface_lib", "transform", "nowhere.jpg", "-o", "out.jpg", "--weights", "no.pt"]
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": root}, capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert found.stdout == ""
    assert len(found.stderr.splitlines()) == 1
    assert "no.pt" in found.stderr


@pytest.mark.parametrize("kind", ["text", "zero", "cut", "bomb", "missing", "folder"])
@pytest.mark.parametrize("command", ["transform", "demo"])
def test_a_file_that_is_no_photo_is_named(capsys, bad_photos, generator_file, tmp_path, kind, command):
    weights = ("--weights", generator_file) if command == "transform" else ()
    output = tmp_path / "out.jpg"
    line = refusal(capsys, command, bad_photos[kind], "-o", output, *weights)
    assert str(output if (command, kind) == ("transform", "folder") else bad_photos[kind]) in line
    assert not output.exists()


def test_one_bad_photo_does_not_keep_the_others_from_being_done(
    capsys, bad_photos, portraits, generator_file, tmp_path
):
    photos = [bad_photos["text"], portraits["astronaut"], bad_photos["missing"]]
    line = refusal_with_output(capsys, "transform", *photos, "-o", tmp_path / "out", "--weights", generator_file)
    assert str(bad_photos["text"]) in line
    assert str(bad_photos["missing"]) in line
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["astronaut.jpg"]


def refusal_with_output(capsys, *arguments):
    """The last line of a command that wrote some files, named on the lines before, and then failed."""
    capsys.readouterr()
    assert run(*arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("dragface: ")] == lines[-1:]
    return lines[-1]


def test_a_photo_without_a_face_is_named(capsys, generator_file, tmp_path):
    from skimage import data

    Image.fromarray(data.coffee()).save(tmp_path / "coffee.jpg")
    line = refusal(
        capsys, "transform", tmp_path / "coffee.jpg", "-o", tmp_path / "out.jpg", "--weights", generator_file
    )
    assert "face" in line
    assert "coffee.jpg" in line
    assert not (tmp_path / "out.jpg").exists()


def test_a_photo_becomes_a_photo_of_the_same_size(capsys, portraits, generator_file, tmp_path):
    output = tmp_path / "new folder" / "drag.png"
    assert run("transform", portraits["astronaut"], "-o", output, "--weights", generator_file) == 0
    before, after = open_photo(portraits["astronaut"]), open_photo(output)
    assert after.shape == before.shape
    assert np.abs(after.astype(int) - before).mean() < 3


def test_strength_zero_leaves_the_photo_as_it_is(portraits, generator_file, tmp_path):
    output = tmp_path / "same.png"
    arguments = ["-o", output, "--weights", generator_file, "--strength", "0"]
    assert run("transform", portraits["astronaut"], *arguments) == 0
    assert (open_photo(output) == open_photo(portraits["astronaut"])).all()


def test_crop_only_writes_the_aligned_face(portraits, tmp_path):
    assert run("transform", portraits["astronaut"], "-o", tmp_path / "face.jpg", "--crop-only") == 0
    assert open_photo(tmp_path / "face.jpg").shape == (256, 256, 3)


@pytest.mark.parametrize("strength", ["-0.1", "1.6", "nan", "inf", "much", ""])
def test_a_strength_out_of_range_is_refused(capsys, portraits, tmp_path, strength):
    line = refusal(capsys, "transform", portraits["astronaut"], "-o", tmp_path / "o.jpg", f"--strength={strength}")
    assert "strength" in line
    assert "0 to 1.5" in line


@pytest.mark.parametrize("name", ["nowhere.safetensors", "nowhere.pt", "text.safetensors", "text.pt"])
def test_an_unknown_or_damaged_generator_is_named(capsys, portraits, tmp_path, name):
    for text in tmp_path.glob("text.*"):
        text.unlink()
    if name.startswith("text"):
        (tmp_path / name).write_text("not a generator")
    line = refusal(capsys, "transform", portraits["astronaut"], "-o", tmp_path / "o.jpg", "--weights", tmp_path / name)
    assert str(tmp_path / name) in line


def test_a_photo_is_never_replaced_by_its_drag(capsys, portraits, generator_file, tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(portraits["astronaut"].read_bytes())
    before = [(tmp_path / name).read_bytes() for name in ("a.jpg", "b.jpg")]
    a, b = tmp_path / "a.jpg", tmp_path / "sub" / ".." / "b.jpg"
    (tmp_path / "sub").mkdir()
    for output in (a, tmp_path / "sub" / ".." / "a.jpg"):
        line = refusal(capsys, "transform", a, "-o", output, "--weights", generator_file)
        assert str(output) in line
    for photos in ((a, b), (a,)):
        assert run("transform", *photos, "-o", tmp_path, "--weights", generator_file) == 0
    assert sorted(path.name for path in tmp_path.glob("*.jpg")) == ["a.jpg", "a_2.jpg", "a_3.jpg", "b.jpg", "b_2.jpg"]
    assert [(tmp_path / name).read_bytes() for name in ("a.jpg", "b.jpg")] == before


@pytest.mark.parametrize(
    "arguments",
    ["transform LONG -o o.jpg", "transform a.jpg -o LONG.jpg", "transform a.jpg -o o.jpg --weights LONG"]
    + ["transform LOOP -o o.jpg", "transform LOOP LOOP -o out", "transform a.jpg -o LONG", "transform LONG.zip -o out"]
    + ["demo LONG", "demo LOOP -o o.jpg", "demo a.jpg -o LONG.jpg", "gallery LONG -o o.html", "gallery LOOP -o o.html"]
    + ["gallery a.jpg -o LONG.html", "progression a.jpg --run LONG -o o.jpg", "progression LOOP --run . -o o.jpg"]
    + ["export LONG -o o.onnx", "export LOOP -o o.onnx", "export -o LONG.onnx", "credits --manifest LONG"]
    + ["evaluate --faces LONG", "evaluate --faces LOOP -o out", "crop LONG -o faces", "crop LOOP -o faces"],
)
def test_names_that_no_file_can_have_and_links_to_themselves_are_one_line(
    capsys, portraits, tmp_path, monkeypatch, arguments
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(portraits["astronaut"].read_bytes())
    os.symlink("loop", "loop")
    line = refusal_with_output(capsys, *arguments.replace("LONG", "n" * 5000).replace("LOOP", "loop").split())
    assert len(line) < 2100
    assert ": " in line[-100:]  # what to do next is not cut off


def test_an_error_does_not_steer_the_terminal(capsys, tmp_path):
    line = refusal(capsys, "transform", tmp_path / "a\x1b[31m\nred\u202e.jpg", "-o", tmp_path / "o.jpg")
    assert "a [31m red .jpg does not exist" in line


def test_png_photos_become_png_in_a_folder(portraits, tmp_path):
    save_photo(tmp_path / "a.png", open_photo(portraits["astronaut"]))
    assert run("transform", tmp_path / "a.png", portraits["grace_hopper"], "-o", tmp_path / "out", "--crop-only") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "grace_hopper.jpg"]


def test_scraping_without_a_network_and_cropping_without_a_face_end_with_the_first_reason(
    capsys, monkeypatch, tmp_path
):
    monkeypatch.setenv("DRAGFACE_MIRROR", "http://127.0.0.1:9")
    assert run("scrape", "--limit", "1", "-o", tmp_path / "photos") == 2
    assert "1 failed" in (line := capsys.readouterr().err.splitlines()[-1])  # below the progress bar
    assert "could not be fetched" in line
    save_photo(tmp_path / "coffee" / "coffee.jpg", data.coffee())
    assert run("crop", tmp_path / "coffee", "-o", tmp_path / "faces", "--detector", DETECTOR) == 2
    assert "coffee.jpg: no face was found" in capsys.readouterr().err.splitlines()[-1]


def test_outputs_that_make_no_sense_are_refused(capsys, portraits, generator_file, tmp_path):
    both, weights = list(portraits.values()), ("--weights", generator_file)
    assert "out.txt" in refusal(capsys, "transform", both[0], "-o", tmp_path / "out.txt", *weights)
    assert "out.jpg" in refusal(capsys, "transform", *both, "-o", tmp_path / "out.jpg", *weights)
    (tmp_path / "file").touch()
    assert "file" in refusal(capsys, "transform", *both, "-o", tmp_path / "file", *weights)


@pytest.mark.parametrize(
    "arguments",
    [(), ("dance",), ("transform",), ("train", "--faces", "f"), ("bench", "--size", "big"), ("bench", "--x")],
)
def test_a_command_that_is_not_understood_gets_one_line(capsys, arguments):
    assert "--help" in refusal(capsys, *arguments)


def test_crop_refuses_folders_that_hold_nothing(capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in refusal(capsys, "crop", tmp_path / "empty", "-o", tmp_path / "faces")
    assert str(tmp_path / "nowhere") in refusal(capsys, "crop", tmp_path / "nowhere", "-o", tmp_path / "faces")


def test_train_names_the_domain_that_is_missing(capsys, tmp_path):
    arguments = ("--run", tmp_path / "run", "--steps", 1, "--size", 64, "--device", "cpu")
    assert str(tmp_path / "nowhere") in refusal(capsys, "train", "--faces", tmp_path / "nowhere", *arguments)
    (tmp_path / "faces/selfie/train").mkdir(parents=True)
    assert "selfie/train" in refusal(capsys, "train", "--faces", tmp_path / "faces", *arguments)
    Image.new("RGB", (64, 64)).save(tmp_path / "faces/selfie/train/a.jpg")
    assert "drag/train" in refusal(capsys, "train", "--faces", tmp_path / "faces", *arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "value"), [("--size", 65), ("--steps", 0), ("--channels", 0), ("--batch", 0), ("--device", "abacus")]
)
def test_train_names_the_setting_that_is_out_of_range(capsys, tmp_path, option, value):
    line = refusal(capsys, "train", "--faces", tmp_path, "--run", tmp_path / "run", option, value)
    assert option.strip("-") in line
    assert str(value) in line


def test_train_refuses_a_run_whose_configuration_is_damaged(capsys, tmp_path):
    (tmp_path / "config.json").write_text("{")
    assert str(tmp_path / "config.json") in refusal(capsys, "train", "--faces", tmp_path, "--run", tmp_path)


@pytest.mark.parametrize("command", ["credits", "scrape"])
def test_a_manifest_that_is_missing_or_no_manifest_is_named(capsys, tmp_path, command):
    path = tmp_path / "list.csv"
    assert str(path) in refusal(capsys, command, "--manifest", path)
    path.write_bytes(bytes(range(128, 256)) * 20)
    assert str(path) in refusal(capsys, command, "--manifest", path)


def test_bench_ends_with_one_json_object(capsys):
    assert run("bench", "--size", 64, "--channels", 2, "--steps", 2, "--device", "cpu", "--json") == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["seconds_per_step"] > 0
    assert found["peak_memory_mb"] > 50
    assert found["operations_per_step"] > 1000
    assert (found["size"], found["channels"], found["steps"], found["device"]) == (64, 2, 2, "cpu")
