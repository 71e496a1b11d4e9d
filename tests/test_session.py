"""What a notebook's set-up cell finds, installs and says; how an unattended session ends."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import types
import zipfile
from dataclasses import replace
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest
import torch

from dragface_lib import session
from dragface_lib.errors import DragFaceError
from dragface_lib.session import Workspace, is_smoke, sized
from dragface_lib.train import TrainConfig, notebook_config, train

VERSIONS = Path(__file__).parent / "colab" / "versions.txt"
ON_COLAB = dict(line.strip().split("==") for line in VERSIONS.read_text().splitlines() if "==" in line)


def normal(name):
    return name.lower().replace("_", "-").replace(".", "-")


@pytest.fixture
def colabs_packages(tmp_path):
    """A virtual environment whose metadata say that it has installed what Colab has."""
    place = tmp_path / "colab-venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    site = next(place.glob("lib/python*/site-packages"))
    for name, number in ON_COLAB.items():
        folder = site / f"{name.replace('-', '_')}-{number}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
        (folder / "INSTALLER").write_text("pip\n")
        (folder / "RECORD").write_text("")
    return place


def wheel(folder, name, number, needs):
    """A package of nothing but its name, version and requirements."""
    file = f"{name.replace('-', '_')}-{number}"
    with zipfile.ZipFile(folder / f"{file}-py3-none-any.whl", "w") as archive:
        head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n"
        archive.writestr(f"{file}.dist-info/METADATA", head + "".join(f"Requires-Dist: {need}\n" for need in needs))
        archive.writestr(f"{file}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{file}.dist-info/RECORD", "")


def test_pip_would_add_the_missing_packages_to_colab_and_change_none_of_its_own(colabs_packages, tmp_path, monkeypatch):
    installed = {normal(name) for name in ON_COLAB}
    monkeypatch.setattr(session, "PackageNotFoundError", KeyError)
    monkeypatch.setattr(session, "version", lambda name: dict.fromkeys(installed, "")[normal(name)])
    missing = session.missing_packages()
    assert {line.partition(">")[0] for line in missing} == {"jaxtyping", "ImageHash"}
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for name in ("jaxtyping", "ImageHash", "wadler-lindig"):  # as the index has them
        wheel(shelf, name, metadata(name)["Version"], requires(name) or [])
    for name in ("numpy", "scipy", "pillow", "PyWavelets", "requests"):  # the index has newer ones, too
        wheel(shelf, name, "99.0", [])
    plan = tmp_path / "plan.json"
    command = [sys.executable, "-m", "pip", "--python", colabs_packages / "bin" / "python", "install", "--quiet"]
    command += ["--dry-run", "--no-index", "--find-links", shelf, "--report", plan, *missing]
    subprocess.run(command, check=True, env={"PIP_CONFIG_FILE": "/dev/null"}, capture_output=True)
    added = {normal(part["metadata"]["name"]) for part in json.loads(plan.read_text())["install"]}
    assert added == {"jaxtyping", "imagehash", "wadler-lindig"}
    assert not added & installed


def test_only_what_is_missing_is_installed_and_a_failure_says_what_to_do(colab, monkeypatch):
    colab()
    commands, code = [], [0]
    ran = lambda command, **_: commands.append(command) or types.SimpleNamespace(returncode=code[0])  # noqa: E731
    monkeypatch.setattr(session.subprocess, "run", ran)
    session.install_missing()
    assert commands == []  # everything is here
    monkeypatch.setattr(session, "missing_packages", lambda: ["jaxtyping>=0.2.34"])
    session.install_missing()
    assert commands[0][1:4] == ["-m", "pip", "install"]
    assert commands[0][-1] == "jaxtyping>=0.2.34"
    code[0] = 1
    with pytest.raises(DragFaceError, match="jaxtyping.* could not be installed: check the network"):
        session.install_missing()


@pytest.fixture
def gpus(monkeypatch):
    """Function that makes torch say that there are GPUs of a kind."""

    def make(count, name, gib, bf16):
        facts = types.SimpleNamespace(name=name, total_memory=int(gib * 2**30))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: facts)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)

    return make


def test_the_line_of_a_session_on_colab_names_gpu_precision_drive_and_the_run_to_go_on_with(colab, gpus, capsys):
    colab()
    gpus(1, "Tesla T4", 14.7, bf16=False)
    saved = Workspace.open().runs / "lips" / "checkpoints" / "step_00012000.pt"
    saved.parent.mkdir(parents=True)
    saved.write_bytes(b"")
    capsys.readouterr()
    session.begin()
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert "on Colab: Tesla T4, 15 GiB, fp16;" in line
    assert line.endswith("GiB left on Drive; the run lips goes on at step 12,000.\n")


def test_on_kaggle_it_names_both_gpus_and_the_working_folder(gpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(session, "KAGGLE_DISK", tmp_path / "working")
    monkeypatch.delenv("DRAGFACE_HOME")
    session.KAGGLE_DISK.mkdir()
    gpus(2, "Tesla T4", 14.7, bf16=False)
    session.begin()
    line = capsys.readouterr().out
    assert "on Kaggle: 2 × Tesla T4, 15 GiB, fp16;" in line
    assert f"GiB left in {tmp_path}/working/DragFace; no run to go on with yet." in line
    assert "google" not in line


def test_without_a_gpu_it_says_how_to_get_one_and_a_small_run_of_its_own_is_trained(colab, gpus, monkeypatch):
    def run():
        config = notebook_config(space, "first", 100_000, 256, 11.5)
        assert (config.scratch, config.session_minutes) == (str(space.scratch / "runs" / Path(config.run).name), 690)
        return Path(config.run).relative_to(space.runs).name, config.size, config.channels, config.steps

    colab()
    space = Workspace.open()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no GPU (for one: Runtime → Change runtime type → T4 GPU)" in session.summary()
    assert run() == ("first-cpu", 128, 32, 1000)
    gpus(1, "Tesla T4", 14.7, bf16=False)
    assert run() == ("first", 256, 64, 100_000)


def test_faces_of_your_own_begin_with_the_starter_at_its_size_and_practice_faces_with_nothing(gpus, monkeypatch):
    space = Workspace.open()

    def begun(*name, size=256):
        return notebook_config(space, "first", 10, size, 0, *name).begin_with

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert begun() == ""
    assert begun("nothing") == ""
    assert begun("mine.safetensors") == "mine.safetensors"
    gpus(1, "Tesla T4", 14.7, bf16=False)
    assert begun() == "classic"
    assert begun(size=128) == ""
    (space.faces / "pairs/drag").mkdir(parents=True)
    (space.faces / "pairs/drag/face.png").touch()
    assert begun() == ""
    assert begun("classic") == "classic"


@pytest.fixture
def trained(colab, monkeypatch, tmp_path):
    """The configuration of a tiny run on Colab's disk that was copied to Drive."""
    colab()
    space = Workspace.open()
    faces = Path(tmp_path / "faces")
    for domain, split in (("selfie", "train"), ("selfie", "test"), ("drag", "train"), ("drag", "test")):
        picture(faces / domain / split / "one.jpg", domain)
    small = {"size": 64, "channels": 2, "blocks": 1, "steps": 1, "device": "cpu"}
    config = TrainConfig(str(faces), str(space.runs / "tiny"), scratch=str(space.scratch / "runs" / "tiny"), **small)
    assert train(config, progress=False)
    return config


def picture(path, domain):
    from skimage import data

    from dragface_lib.images import save_photo

    save_photo(path, data.astronaut()[:200, 120:320] // (1 if domain == "selfie" else 2))


def test_an_unattended_session_ends_with_everything_on_drive(trained, asked, tmp_path):
    session.end(trained)
    assert asked()[-2:] == ["flush_and_unmount", "unassign"]
    arrived = tmp_path / "colab/cloud/DragFace/runs/tiny/checkpoints/step_00000001.pt"
    assert arrived.read_bytes() == (trained.run_folder / "checkpoints/step_00000001.pt").read_bytes()


def test_the_machine_stays_while_the_newest_state_is_not_on_drive(trained, asked):
    copy = Path(trained.run) / "checkpoints/step_00000001.pt"
    copy.write_bytes(copy.read_bytes()[:-1])
    with pytest.raises(DragFaceError, match="The machine stays"):
        session.end(trained)
    copy.unlink()
    with pytest.raises(DragFaceError, match="The machine stays"):
        session.end(trained)
    assert "unassign" not in asked()


def test_the_machine_stays_where_drive_was_not_mounted(trained, asked, tmp_path):
    local = tmp_path / "on Colab's own disk"
    shutil.copytree(trained.run, local)
    with pytest.raises(DragFaceError, match="is not on Drive"):
        session.end(replace(trained, run=str(local)))
    assert "unassign" not in asked()


def test_elsewhere_no_machine_is_given_back(trained, asked, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(session, "COLAB_DISK", tmp_path / "nowhere")
    session.end(trained)
    assert "only Colab's can be given back" in capsys.readouterr().out
    assert "unassign" not in asked()


def test_elsewhere_everything_lies_in_the_folder_that_dragface_home_names(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAGFACE_HOME", str(tmp_path / "home"))
    space = Workspace.open()
    assert space.root == tmp_path / "home"
    assert not space.on_colab
    for folder in (space.photos, space.faces, space.runs):
        assert folder.is_dir()
        assert folder.parent == space.root


def test_without_a_name_the_workspace_lies_below_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.delenv("DRAGFACE_HOME")
    monkeypatch.chdir(tmp_path)
    assert Workspace.open().root == tmp_path / "workspace"


def test_a_folder_given_in_code_wins_over_dragface_home(tmp_path):
    assert Workspace.open(tmp_path / "mine").root == tmp_path / "mine"


def test_on_colab_photos_and_runs_are_on_drive_and_faces_on_the_fast_disk(colab):
    content = colab()
    space = Workspace.open()
    assert space.on_colab
    assert space.root == content / "drive" / "MyDrive" / "DragFace"
    assert space.faces == content / "dragface-scratch" / "faces"
    assert space.faces_archive.parent == space.root
    assert space.photos.is_dir()
    assert space.faces.is_dir()


def test_drive_is_asked_for_once(colab, asked):
    colab()
    assert Workspace.open() == Workspace.open()
    assert asked() == ["request_auth"]


@pytest.mark.parametrize(("drive", "reason"), [("refused", "credential propagation"), ("timeout", "timeout during")])
def test_when_drive_is_refused_the_workspace_is_local_and_nobody_is_asked_again(colab, asked, capsys, drive, reason):
    content = colab(drive=drive)
    assert Workspace.open().root == Workspace.open().root == content / "DragFace"
    printed = capsys.readouterr().err
    assert printed.count("ends with the session") == 1
    assert reason in printed
    assert asked() == ["request_auth"]


def test_a_drive_that_dropped_out_is_mounted_again_and_nothing_is_written_in_its_place(colab, asked):
    content = colab()
    Workspace.open()
    shutil.rmtree(content / "drive")
    assert Workspace.open().root == content / "drive" / "MyDrive" / "DragFace"
    assert asked() == ["request_auth", "request_auth"]


def test_google_colab_installed_outside_colab_changes_nothing(colab, tmp_path, monkeypatch):
    colab(drive="outside")
    monkeypatch.chdir(tmp_path)
    space = Workspace.open()
    assert space.root == tmp_path / "workspace"
    assert not space.on_colab


def test_on_kaggle_everything_lies_in_its_working_folder(colab, tmp_path, monkeypatch):
    colab(drive="outside")  # Kaggle's machines know google.colab too
    monkeypatch.setattr(session, "KAGGLE_DISK", tmp_path / "working")
    session.KAGGLE_DISK.mkdir()
    space = Workspace.open()
    assert space.root == tmp_path / "working" / "DragFace"
    assert not space.on_colab


def test_a_workspace_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DragFaceError, match="DRAGFACE_HOME"):
        Workspace.open(tmp_path / "file" / "below")


@pytest.mark.parametrize(("value", "smoke"), [("", False), ("0", False), ("1", True)])
def test_smoke_size_is_switched_by_the_environment(value, smoke, monkeypatch):
    monkeypatch.setenv("DRAGFACE_SMOKE", value)
    assert is_smoke() is smoke
    assert sized(real=100, smoke=2) == (2 if smoke else 100)
