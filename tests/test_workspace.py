"""Where things live: on Drive on Colab, in one folder elsewhere."""

from __future__ import annotations

import shutil

import pytest

from dragface_lib import workspace
from dragface_lib.errors import DragFaceError
from dragface_lib.workspace import Workspace, is_smoke, sized


def test_elsewhere_everything_lies_in_the_folder_that_dragface_home_names(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAGFACE_HOME", str(tmp_path / "home"))
    space = Workspace.open()
    assert space.root == tmp_path / "home"
    assert not space.on_colab
    for folder in (space.photos, space.faces, space.runs, space.models):
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
    monkeypatch.setattr(workspace, "KAGGLE_DISK", tmp_path / "working")
    workspace.KAGGLE_DISK.mkdir()
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
