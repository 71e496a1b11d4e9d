"""A training that was stopped, in whatever way, and run again ends as if it had never been stopped."""

import errno
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from runs import (
    act_at,
    checkpoints_of,
    damage,
    files_of,
    generator_of,
    journal_of,
    notes_of,
    pictures_and_generators_of,
)
from torch.utils._pytree import tree_leaves

from dragface_lib import files
from dragface_lib.__main__ import main
from dragface_lib.errors import DragFaceError
from dragface_lib.files import Unavailable, locked
from dragface_lib.model import load_generator, save_generator
from dragface_lib.train import loop, train
from dragface_lib.train.config import TrainConfig
from dragface_lib.train.saving import load_checkpoint, save_checkpoint
from dragface_lib.train.step import Trainer


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """The folder of a tiny run of 8 steps that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train(tiny(run), progress=False)
    return run


@pytest.fixture
def stopped(whole, tmp_path):
    """A copy of that run, with its checkpoints of steps 6 and 8."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    return run


class Killed(BaseException):
    """Ends the training where it is raised, as a kill would: nothing in the library catches it."""


def test_a_death_between_any_two_files_loses_nothing(tiny, whole, tmp_path, monkeypatch):
    left = [0]
    original = os.replace

    def replace(*arguments):
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return original(*arguments)

    monkeypatch.setattr(os, "replace", replace)
    train(tiny(tmp_path / "counted"), progress=False)
    moments = -left[0]
    assert moments > 15
    for moment in range(1, moments + 1):
        run = tmp_path / f"killed_{moment}"
        left[0] = moment
        with pytest.raises(Killed):
            train(tiny(run), progress=False)
        assert train(tiny(run), progress=False)
        assert pictures_and_generators_of(run) == pictures_and_generators_of(whole), moment
        assert journal_of(run) == journal_of(whole)
        shutil.rmtree(run)


def test_a_run_is_trained_by_one_process_at_a_time(settings, tmp_path):
    with locked(tmp_path / "run", "trained"), pytest.raises(DragFaceError, match="by another process"):
        train(settings(), progress=False)
    assert train(settings(), progress=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_first_and_the_run_goes_on_from_there(settings, whole, tmp_path, monkeypatch, number):
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        act_at(patch, {2: lambda: signal.raise_signal(number)})
        assert train(settings(), progress=False) is False
    assert signal.getsignal(number) == before
    run = tmp_path / "run"
    assert checkpoints_of(run)[-1].name == "step_00000003.pt"  # the step under way was finished
    assert (run / "generator.safetensors").is_file()
    assert train(settings(), progress=False) is True
    assert generator_of(run) == generator_of(whole)


@pytest.mark.parametrize("changes", [{"precision": "bf16", "batch": 2, "diff_augment": True}, {"precision": "fp16"}])
def test_a_run_stopped_inside_an_epoch_ends_as_one_that_was_not(settings, tmp_path, monkeypatch, changes):
    """Under autocast, with a scaler that has learned, augmentation, the average, and faces made by a thread."""
    changes |= {"save_every": 100, "steps": 6}
    assert train(settings(run=str(tmp_path / "whole"), **changes), progress=False)
    with monkeypatch.context() as patch:
        act_at(patch, {3: lambda: signal.raise_signal(signal.SIGINT)})
        assert train(settings(**changes), progress=False) is False
    torch.manual_seed(1234)
    assert train(settings(**changes), progress=False)
    ends = [torch.load(checkpoints_of(tmp_path / run)[-1], weights_only=True) for run in ("whole", "run")]
    assert ends[0]["state"]["scaler"] == ends[1]["state"]["scaler"]
    for one, other in zip(*(tree_leaves(end["state"]) for end in ends), strict=True):
        assert torch.equal(one, other) if torch.is_tensor(one) else one == other


def test_an_interrupted_command_says_so_and_ends_with_130(faces, tmp_path, monkeypatch, capsys):
    arguments = ["train", "--faces", str(faces), "--run", str(tmp_path / "run"), "--steps", "50"]
    arguments += ["--size", "64", "--channels", "2", "--device", "cpu"]
    act_at(monkeypatch, {1: lambda: signal.raise_signal(signal.SIGINT)})
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 130
    printed = capsys.readouterr().err
    assert "Stopped and saved at step 2 of 50" in printed
    assert "Traceback" not in printed
    assert checkpoints_of(tmp_path / "run")[-1].name == "step_00000002.pt"


@pytest.mark.parametrize("way", ["cut", "empty", "one bit"])
def test_a_damaged_checkpoint_is_passed_over_for_the_older_one(settings, whole, stopped, way):
    older, newest = checkpoints_of(stopped)
    assert (older.name, newest.name) == ("step_00000006.pt", "step_00000008.pt")
    damage(newest, way)
    (stopped / "generator.safetensors").unlink()
    assert train(settings(), progress=False)
    assert generator_of(stopped) == generator_of(whole)
    assert notes_of(stopped) == ["The checkpoint step_00000008.pt is damaged and was passed over."]
    assert [row for row in journal_of(stopped) if "note" not in row] == journal_of(whole)


def test_when_every_checkpoint_is_damaged_nothing_is_touched(settings, stopped):
    for path in checkpoints_of(stopped):
        damage(path, "cut")
    before = files_of(stopped)
    with pytest.raises(DragFaceError, match="No checkpoint in .*checkpoints can be read"):
        train(settings(), progress=False)
    assert files_of(stopped) == before


@pytest.mark.parametrize("way", ["opening", "reading"])
def test_a_checkpoint_that_cannot_be_read_now_is_not_passed_over(settings, stopped, monkeypatch, way):
    before = files_of(stopped)
    monkeypatch.setattr(files, "RETRY_AFTER", (0.0,))
    newest = checkpoints_of(stopped)[-1]

    class Failing(files._Readable):
        def __init__(self, path):
            if way == "opening" and Path(path) == newest:
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
            super().__init__(path)

        def readinto(self, buffer):
            if Path(self.name) == newest:
                self.failure = OSError(errno.EIO, os.strerror(errno.EIO), str(self.name))
                raise self.failure
            return super().readinto(buffer)

    monkeypatch.setattr(files, "_Readable", Failing)
    with pytest.raises(Unavailable, match=f"{newest.name} cannot be read now"):
        train(settings(), progress=False)
    assert files_of(stopped) == before


def test_a_checkpoint_that_can_be_read_at_a_later_try_is_taken(tmp_path, monkeypatch):
    tries, init = [], files._Readable.__init__
    monkeypatch.setattr(files, "RETRY_AFTER", (0.0, 0.0))
    save_checkpoint(tmp_path, 4, {})

    def opened(file, path):
        tries.append(path)
        if len(tries) == 1:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN), str(path))
        init(file, path)

    monkeypatch.setattr(files._Readable, "__init__", opened)
    assert load_checkpoint(tmp_path) == ({"step": 4}, [])


def test_somebodys_checkpoints_are_neither_taken_nor_removed(tmp_path):
    for name in ("step_00000012 (1).pt", "step_00000012_good.pt", "step_12.pt", "best.pt"):
        (tmp_path / name).write_text("somebody's")
    for step in (2, 4, 6):
        save_checkpoint(tmp_path, step, {})
    assert load_checkpoint(tmp_path) == ({"step": 6}, [])
    assert len(list(tmp_path.iterdir())) == 6


def test_a_damaged_checkpoint_of_a_later_step_is_not_removed(tmp_path):
    (tmp_path / "step_00000009.pt").write_text("damaged")
    for step in (2, 4, 6):
        save_checkpoint(tmp_path, step, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"step_{step:08d}.pt" for step in (4, 6, 9)]


@pytest.mark.parametrize(
    "change", [{"size": 68}, {"channels": 3}, {"blocks": 2}, {"light": False}, {"form": "published"}]
)
def test_a_run_of_another_architecture_is_refused_by_name(settings, stopped, change):
    before = files_of(stopped)
    with pytest.raises(DragFaceError, match=f"run was trained with {next(iter(change))}"):
        train(settings(**change), progress=False)
    assert files_of(stopped) == before


def test_more_steps_go_on_and_are_noted(settings, stopped):
    assert train(settings(steps=10), progress=False)
    assert notes_of(stopped) == ["steps was 8 and is now 10."]
    assert journal_of(stopped)[-1]["step"] == 10
    assert journal_of(stopped)[-1]["lr"] == pytest.approx(1e-4 / 5)


def test_fewer_steps_than_are_done_are_said_and_the_old_number_is_kept(settings, stopped, capsys):
    before = files_of(stopped) | {"config.json": ""}
    assert train(settings(steps=3))
    assert "8 steps are done already, so the run keeps its 8: ask for more" in capsys.readouterr().err
    assert TrainConfig.load(stopped).steps == 8
    assert files_of(stopped) | {"config.json": ""} == before


def test_a_run_goes_on_in_another_precision_and_back(settings, tmp_path):
    for steps, precision in enumerate(("fp32", "fp16", "bf16", "fp16"), 1):
        assert train(settings(steps=steps, precision=precision), progress=False)
    assert [note for note in notes_of(tmp_path / "run") if note.startswith("precision")] == [
        "precision was torch.float32 and is now torch.float16.",
        "precision was torch.float16 and is now torch.bfloat16.",
        "precision was torch.bfloat16 and is now torch.float16.",
    ]


def test_milestones_and_the_best_generator_go_with_the_steps_they_came_from(settings, stopped):
    checkpoints_of(stopped)[-1].unlink()  # so that the run goes on from step 6
    generator = load_generator(stopped / "generator.safetensors")
    for step in (4, 8):
        save_generator(generator, stopped / "best.safetensors", {"steps": str(step), "score": "0.5"})
        assert train(settings(steps=6), progress=False)
        assert (stopped / "best.safetensors").exists() == (step == 4)
    assert [path.name for path in (stopped / "milestones").iterdir()] == ["step_00000004.safetensors"]


def test_a_best_generator_is_replaced_by_a_better_one_alone(settings, stopped, monkeypatch):
    """Its score stands in its own file: that of a lost future does not count."""
    monkeypatch.setattr(loop, "Validation", lambda faces: lambda generator: {"score": 0.4, "line": 0.1})
    generator = load_generator(stopped / "generator.safetensors")
    for steps, before, after in ((9, "0.5", "0.5"), (10, "0.3", "0.4")):
        save_generator(generator, stopped / "best.safetensors", {"steps": "8", "score": before})
        assert train(settings(steps=steps, validate_every=1), progress=False)
        assert load_generator(stopped / "best.safetensors").metadata["score"] == after


def test_no_picture_ends_a_training(settings, stopped, capsys):
    (stopped / "samples/step_00000004.jpg").write_bytes(b"")
    (stopped / "milestones/step_00000012.safetensors").mkdir()
    (stopped / "progression.jpg").unlink()
    (stopped / "progression.jpg").mkdir()
    with open(stopped / "journal.jsonl", "a") as file:
        file.write("# the rate was too high\n")
    assert train(settings(steps=12, sample_every=2), watch=lambda: 1 / 0)
    said = capsys.readouterr().err
    for sentence in ("step_00000004.jpg is empty", "progression.jpg cannot be written", "division by zero", "1 lines"):
        assert said.count(sentence) == 1, sentence
    assert said.count("milestones/step_00000012.safetensors cannot be written") == 1


def test_changed_faces_and_settings_are_noted(settings, stopped, faces, tmp_path):
    shutil.copytree(faces, tmp_path / "faces")
    shutil.copy(faces / "drag/test/face_10.jpg", tmp_path / "faces/drag/train/new.jpg")
    assert train(settings(faces=str(tmp_path / "faces"), steps=9, lr=5e-5), progress=False)
    assert set(notes_of(stopped)) == {
        "steps was 8 and is now 9.",
        "lr was 0.0001 and is now 5e-05.",
        "The faces in drag/train have changed since the run began.",
    }


def test_settings_without_consequence_change_without_a_note(settings, whole, stopped):
    checkpoints_of(stopped)[-1].unlink()
    assert train(settings(sample_every=3, milestone_every=100), progress=False)
    assert notes_of(stopped) == []
    assert generator_of(stopped) == generator_of(whole)


def test_a_finished_run_is_left_as_it_is(settings, whole, stopped):
    before = files_of(stopped) | {"config.json": ""}  # which names the run's folder
    assert train(settings(), progress=False)
    assert files_of(stopped) | {"config.json": ""} == before


def test_a_lost_generator_file_is_written_again(settings, whole, stopped):
    (stopped / "generator.safetensors").unlink()
    assert train(settings(), progress=False)
    assert generator_of(stopped) == generator_of(whole)


def test_the_command_keeps_the_settings_of_a_run(faces, tmp_path):
    start = ["train", "--faces", str(faces), "--run", str(tmp_path / "run")]
    tiny = ["--size", "64", "--channels", "2", "--device", "cpu", "--form", "published", "--look", "glam"]
    assert main([*start, *tiny, "--steps", "1"]) == 0
    assert main([*start, "--steps", "2"]) == 0
    config = TrainConfig.load(tmp_path / "run")
    assert (config.size, config.channels, config.form, config.look, config.steps) == (64, 2, "published", "glam", 2)


def test_a_run_that_was_killed_before_its_first_save_takes_the_balance_of_the_form_it_is_given(
    faces, tmp_path, monkeypatch
):
    begun, seen = ["train", "--faces", str(faces), "--run", str(tmp_path / "run"), "--steps", "1"], []
    tiny = ["--size", "64", "--channels", "2", "--device", "cpu"]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", killed)
        with pytest.raises(Killed):
            main([*begun, *tiny])
    monkeypatch.setattr(Trainer, "__init__", lambda self, config, *more, **rest: seen.append(config) or killed())
    with pytest.raises(Killed):
        main([*begun, "--form", "published", "--device", "cpu"])
    assert (seen[0].cam_loss_weight, seen[0].discriminator_gain, seen[0].size) == (1000, 1, 64)


def killed(*arguments):
    raise Killed


def test_the_seed_decides_the_result(settings, whole, tmp_path):
    assert train(settings(seed=1), progress=False)
    assert generator_of(tmp_path / "run") != generator_of(whole)
    first = torch.load(checkpoints_of(tmp_path / "run")[-1], weights_only=True)
    assert first["facts"]["seed"] == 1
