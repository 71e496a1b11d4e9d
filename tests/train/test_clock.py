"""Saves by the clock, and the end of a session before it ends by itself."""

import shutil
from types import SimpleNamespace

import pytest

from dragface_lib.errors import DragFaceError
from dragface_lib.files import DiskFull, sha256_of
from dragface_lib.train import loop, read_journal, train
from dragface_lib.train.step import Trainer


@pytest.fixture
def time_a_step(monkeypatch):
    """Function that sets how long a step and a save take by the clock; returns the steps that were saved so far."""

    def set_to(step_seconds, save_seconds=0):
        now, saved = [1000.0], []
        monkeypatch.setattr(loop, "monotonic", lambda: now[0])
        step, save = Trainer.step, loop.save_checkpoint

        def timed_step(self, *arguments):
            now[0] += step_seconds
            return step(self, *arguments)

        def timed_save(folder, at, *more):
            now[0] += save_seconds
            saved.append(at)
            save(folder, at, *more)

        monkeypatch.setattr(Trainer, "step", timed_step)
        monkeypatch.setattr(loop, "save_checkpoint", timed_save)
        return saved

    return set_to


def test_a_run_saves_by_minutes_at_the_ticks_of_its_journal(settings, tmp_path, time_a_step):
    saved = time_a_step(25)
    assert train(settings(save_every=1000, save_minutes=1.5, log_every=2), progress=False)
    assert saved == [4, 8]
    rows = read_journal(tmp_path / "run/journal.jsonl")
    assert [row["step"] for row in rows] == [2, 4, 6, 8]
    assert [row["seconds_to_save"] for row in rows] == [40, 0, 40, 0]


def test_a_run_stops_by_itself_before_its_session_ends_and_goes_on_in_the_next(settings, tmp_path, time_a_step, capsys):
    """At a line of its journal, after which another two minutes of steps would not be over in time."""
    saved = time_a_step(60)
    config = settings(save_every=1000, save_minutes=100, session_minutes=4.5, log_every=2)
    assert train(config)  # not interrupted: what was asked for was done
    assert saved == [4]
    assert "The session's time is up: stopped and saved at step 4 of 8" in capsys.readouterr().err
    assert train(config)
    assert saved == [4, 8]
    stopped = sha256_of(tmp_path / "run/generator.safetensors")
    assert train(settings(run=str(tmp_path / "whole")), progress=False)
    assert sha256_of(tmp_path / "whole/generator.safetensors") == stopped


def test_time_for_two_saves_is_left_in_a_session(settings, time_a_step):
    """At step 6 after 390 s; until the next tick 120 s would go by, and the run could not save twice within 564 s."""
    saved = time_a_step(60, save_seconds=30)
    assert train(settings(steps=20, save_every=4, session_minutes=9.4, log_every=2), progress=False)
    assert saved == [4, 6]


@pytest.mark.parametrize("name", ["save_minutes", "session_minutes"])
def test_minutes_out_of_range_are_refused_by_name(settings, name):
    with pytest.raises(DragFaceError, match=f"^{name} is -1: use"):
        settings(**{name: -1})


def test_a_disk_without_room_for_the_checkpoints_is_refused_before_the_first_step(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(DiskFull, match="The checkpoints take .* free: free some space"):
        train(settings(), progress=False)
    assert not (tmp_path / "run/checkpoints").exists()
