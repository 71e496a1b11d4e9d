"""What a run leaves behind, and what happens when it cannot."""

import os
import shutil
import zipfile

import cv2
import numpy as np
import pytest
import torch
from runs import damage, files_of
from safetensors.torch import load_file

from dragface_lib.crop.align import ALIGNMENT
from dragface_lib.errors import DragFaceError
from dragface_lib.files import sha256_of
from dragface_lib.images import open_photo
from dragface_lib.model import load_generator
from dragface_lib.train import loop, read_journal, train
from dragface_lib.train.saving import load_checkpoint, save_checkpoint
from dragface_lib.train.step import Trainer


@pytest.fixture
def run(settings, tmp_path):
    """A finished tiny run of 8 steps."""
    assert train(settings(look="glam", licence="CC0"), progress=False)
    return tmp_path / "run"


def test_a_run_leaves_everything_behind(run):
    assert set(files_of(run)) == {
        "config.json",
        "journal.jsonl",
        "losses.png",
        "progression.jpg",
        "generator.safetensors",
        "samples/step_00000004.jpg",
        "samples/step_00000008.jpg",
        "milestones/step_00000004.safetensors",
        "milestones/step_00000008.safetensors",
        "checkpoints/step_00000006.pt",
        "checkpoints/step_00000008.pt",
    }
    # Samples show both test faces: the selfie, its drag, where the CAM looks.
    assert open_photo(run / "samples/step_00000008.jpg").shape == (3 * 64, 2 * 64, 3)
    assert open_photo(run / "progression.jpg").shape == (2 * (14 + 128), 3 * 128, 3)
    plot = open_photo(run / "losses.png")
    assert min(plot.shape[:2]) > 300
    assert plot.std() > 5

    # One line of the journal a tick, with everything a plot needs.
    rows = read_journal(run / "journal.jsonl")
    assert [row["step"] for row in rows] == [2, 4, 6, 8]
    for row in rows:
        assert {"generator", "discriminator", "cycle", "identity", "cam", "drag_global", "drag_local"} <= row.keys()
        assert {"selfie_global", "selfie_local", "fool_drag", "fool_selfie"} <= row.keys()
        assert row["seconds_per_step"] > 0
        assert row["memory_mb"] > 50
        parts = row["fool_drag"] + row["fool_selfie"]
        parts += 10 * (row["cycle"] + row["identity"] + row["cam"] + row["background"])
        assert row["generator"] == pytest.approx(parts, rel=1e-3)
    assert [row["lr"] for row in rows] == pytest.approx([1e-4, 1e-4, 0.75e-4, 0.25e-4])

    # The generator is the averaged one, and says what it is.
    generator = load_generator(run / "generator.safetensors")
    told = {"look": "glam", "licence": "CC0", "steps": "8", "alignment": ALIGNMENT, "size": "64"}
    assert told.items() <= generator.metadata.items()
    assert str(run) not in str(generator.metadata)
    saved = torch.load(run / "checkpoints/step_00000008.pt", weights_only=True)
    averaged, raw = saved["state"]["ema"], saved["state"]["networks"]
    written = load_file(run / "generator.safetensors")
    assert written.keys() == averaged.keys()
    assert all(torch.equal(written[name], averaged[name]) for name in written)
    assert not any(torch.equal(written[name], raw[f"selfie_to_drag.{name}"]) for name in written if "conv" in name)
    halves = load_file(run / "milestones/step_00000008.safetensors")
    assert all(torch.equal(halves[name], written[name].half()) for name in written)
    kept = load_generator(run / "milestones/step_00000004.safetensors").metadata
    assert (kept["steps"], kept["look"]) == ("4", "glam")


def test_the_samples_show_the_selfie_above_its_drag(run, faces):
    sheet = open_photo(run / "samples/step_00000004.jpg").astype(float)
    selfie = open_photo(faces / "selfie/test/face_5.jpg").astype(float)
    small = cv2.resize(selfie, (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(sheet[:64, :64] - small).mean() < 8
    assert np.abs(sheet[64:128, :64] - small).mean() < 40  # the residual form begins near the selfie
    assert np.abs(sheet[128:, :64] - small).mean() > 20


def test_an_archive_of_faces_trains_the_same_generator(run, settings, faces, tmp_path):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as file:
        for path in faces.rglob("*.jpg"):
            file.write(path, path.relative_to(faces))
    again = settings(faces=str(tmp_path / "faces.zip"), run=str(tmp_path / "again"), look="glam", licence="CC0")
    assert train(again, progress=False)
    assert sha256_of(tmp_path / "again/generator.safetensors") == sha256_of(run / "generator.safetensors")


def test_without_test_faces_the_samples_show_training_faces(settings, faces, tmp_path):
    shutil.copytree(faces, tmp_path / "faces")
    shutil.rmtree(tmp_path / "faces/selfie/test")
    assert train(settings(faces=str(tmp_path / "faces"), steps=1), progress=False)
    assert open_photo(tmp_path / "run/samples/step_00000001.jpg").shape == (3 * 64, 5 * 64, 3)


@pytest.mark.parametrize(("factor", "said"), [(float("nan"), "is no longer a number"), (1e9, "has exploded")])
def test_losses_that_are_no_numbers_stop_the_run_before_it_saves_them(settings, tmp_path, monkeypatch, factor, said):
    original = Trainer.step

    def step(self, number, *pictures):
        losses = original(self, number, *pictures)
        return losses | {"cycle": losses["cycle"] * factor} if number == 4 else losses

    monkeypatch.setattr(Trainer, "step", step)
    with pytest.raises(DragFaceError, match=f"cycle loss {said} at step 6") as caught:
        train(settings(), progress=False)
    assert str(tmp_path / "run/checkpoints") in str(caught.value)
    assert [path.name for path in sorted((tmp_path / "run/checkpoints").glob("*.pt"))] == [
        "step_00000002.pt",
        "step_00000004.pt",
    ]
    saved, damaged = load_checkpoint(tmp_path / "run/checkpoints")
    assert (saved["step"], damaged) == (4, [])
    assert load_generator(tmp_path / "run/generator.safetensors").metadata["steps"] == "4"


def test_losses_that_explode_before_the_first_save_promise_no_checkpoint(settings, tmp_path):
    with pytest.raises(DragFaceError, match=r"exploded at step 2: nothing was saved yet; begin with a smaller --lr\."):
        train(settings(lr=0.9, steps=2), progress=False)
    assert not (tmp_path / "run/checkpoints").exists()


def fill_disk(monkeypatch):
    """From now on checkpoints are written to a device that is full, as the kernel says it."""
    save = torch.save
    monkeypatch.setattr(torch, "save", lambda content, path: save(content, "/dev/full"))


def test_a_full_disk_is_said_to_be_full_and_the_old_checkpoint_stays(settings, tmp_path, monkeypatch):
    assert train(settings(steps=4), progress=False)
    kept = {path: sha256_of(path) for path in (tmp_path / "run/checkpoints").iterdir()}
    with monkeypatch.context() as patch:
        fill_disk(patch)
        with pytest.raises(DragFaceError, match=r"disk is full, so .*step_00000006\.pt was not written"):
            train(settings(), progress=False)
    assert {path: sha256_of(path) for path in (tmp_path / "run/checkpoints").iterdir()} == kept
    assert train(settings(), progress=False)
    assert read_journal(tmp_path / "run/journal.jsonl")[-1]["step"] == 8


def test_a_run_folder_that_cannot_be_written_is_named(settings, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DragFaceError, match="file"):
        train(settings(run=str(tmp_path / "file/run")), progress=False)


def test_two_generations_of_checkpoints_are_kept(tmp_path):
    assert load_checkpoint(tmp_path) == (None, [])
    (tmp_path / ".step_00000001.pt.abc.part").write_bytes(b"of a killed process")
    for step in (5, 50, 500, 5000):
        save_checkpoint(tmp_path, step, {"step": step})
    assert {path.name for path in tmp_path.iterdir()} == {"step_00000500.pt", "step_00005000.pt"}
    assert load_checkpoint(tmp_path) == ({"step": 5000}, [])


def test_a_checkpoint_that_comes_back_otherwise_is_not_taken_for_saved(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, {"step": 1})
    save = torch.save
    monkeypatch.setattr(torch, "save", lambda content, path: save(content, path) or damage(path, "one bit"))
    with pytest.raises(DragFaceError, match=r"step_00000002\.pt did not arrive"):
        save_checkpoint(tmp_path, 2, {"step": 2})
    monkeypatch.undo()
    assert load_checkpoint(tmp_path) == ({"step": 1}, [])


def test_a_checkpoint_with_code_in_it_is_not_run(tmp_path):
    class Mischief:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "it_ran"),)

    save_checkpoint(tmp_path / "checkpoints", 1, {"state": Mischief()})
    save_checkpoint(tmp_path / "checkpoints", 0, {})
    with pytest.raises(DragFaceError, match=r"step_00000001.pt is whole, but torch .* does not read it .*versions"):
        load_checkpoint(tmp_path / "checkpoints")
    assert not (tmp_path / "it_ran").exists()


def test_a_score_on_test_faces_is_kept_in_the_journal_and_the_best_generator_beside_it(settings, tmp_path, monkeypatch):
    scores = {2: 0.1, 4: 0.7, 6: 0.3, 8: 0.6}
    asked = []

    class Measured:
        def __init__(self, faces):
            assert faces == settings().faces

        def __call__(self, generator):
            assert not generator.training
            asked.append(2 * len(asked) + 2)
            return {"score": scores[asked[-1]], "line": 0.1, "makeup": 10.0 + asked[-1], "outside": 50.0}

    monkeypatch.setattr(loop, "Validation", Measured)
    assert train(settings(validate_every=2), progress=False)
    rows = [row for row in read_journal(tmp_path / "run/journal.jsonl") if "score" in row]
    assert [(row["step"], row["score"], row["makeup"]) for row in rows] == [(n, scores[n], 10 + n) for n in scores]
    assert load_generator(tmp_path / "run/best.safetensors").metadata["steps"] == "4"
    assert load_generator(tmp_path / "run/generator.safetensors").metadata["steps"] == "8"


def test_unreadable_faces_are_counted_and_named_and_the_others_train(settings, faces, tmp_path, capsys):
    shutil.copytree(faces, tmp_path / "faces")
    (tmp_path / "faces/drag/train/torn.jpg").write_bytes(b"half a picture")
    (tmp_path / "faces/drag/train/folder.jpg").mkdir()
    (tmp_path / "faces/drag/train/gone.jpg").symlink_to("nowhere.jpg")
    assert train(settings(faces=str(tmp_path / "faces"), steps=1))
    printed = capsys.readouterr().err
    assert "drag/train: 3 faces, 3 left out" in printed
    for name in ("torn", "folder", "gone"):
        assert f"left out: {name}.jpg (" in printed


def test_a_run_without_test_faces_to_measure_on_says_so_and_goes_on(settings, faces, tmp_path, capsys):
    shutil.copytree(faces, tmp_path / "faces")
    shutil.rmtree(tmp_path / "faces/selfie/test")
    assert train(settings(faces=str(tmp_path / "faces"), steps=2, validate_every=1))
    assert capsys.readouterr().err.count("Nothing is measured.") == 1
    assert not (tmp_path / "run/best.safetensors").exists()
