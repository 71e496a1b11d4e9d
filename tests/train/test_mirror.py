"""A run that is trained on a local disk and copied to a folder that may vanish, fill up or give back other bytes."""

import errno
import os
import shutil
import signal
import sys
import tempfile
import threading

import pytest

from dragface_lib.errors import DragFaceError
from dragface_lib.files import sha256_of
from dragface_lib.train import mirror, read_journal, train
from dragface_lib.train.checkpoints import Checkpoints
from dragface_lib.train.mirror import Mirror, restore
from dragface_lib.train.step import Trainer


@pytest.fixture
def here(settings, tmp_path):
    """Function that trains the run of 8 steps on "scratch", a checkpoint every 2; what it said goes into a list."""

    def go(**changes):
        return train(settings(scratch=str(tmp_path / "scratch"), **changes), progress=False)

    return go


@pytest.fixture
def said(monkeypatch):
    """What the mirror says."""
    sentences = []
    original = Mirror.__init__
    monkeypatch.setattr(
        Mirror, "__init__", lambda self, one, other, count, say: original(self, one, other, count, sentences.append)
    )
    return sentences


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """The hash of the generator of a run that knows no scratch."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train(tiny(run), progress=False)
    return sha256_of(run / "generator.safetensors")


def during(monkeypatch, actions):
    """Do something when update number n (from 0) is to be computed, for each n: action."""
    original = Trainer.step

    def step(self, number, *faces):
        if number in actions:
            actions[number]()
        return original(self, number, *faces)

    monkeypatch.setattr(Trainer, "step", step)


def files_of(run):
    return {
        path.relative_to(run): sha256_of(path) for path in run.rglob("*") if path.is_file() and path.name != ".lock"
    }


def failing(monkeypatch, folder, number):
    """From now on nothing can be written below a folder. Returns what mends it."""
    original = tempfile.mkstemp

    def mkstemp(*arguments, **options):
        if str(options["dir"]).startswith(str(folder)):
            raise OSError(number, os.strerror(number))
        return original(*arguments, **options)

    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    return lambda: monkeypatch.setattr(tempfile, "mkstemp", original)


def test_a_run_ends_up_in_its_folder_as_it_is_on_scratch(here, whole, tmp_path, said):
    assert here()
    assert files_of(tmp_path / "run") == files_of(tmp_path / "scratch")
    assert sha256_of(tmp_path / "run/generator.safetensors") == whole
    assert [path.name for path in Checkpoints(tmp_path / "run/checkpoints").newest_first()] == [
        "step_00000008.pt",
        "step_00000006.pt",
    ]
    assert "scratch" not in (tmp_path / "run/config.json").read_text()
    assert said == []


def test_a_run_goes_on_from_its_folder_when_scratch_is_lost(here, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        during(patch, {4: lambda: signal.raise_signal(signal.SIGINT)})
        assert here() is False
    shutil.rmtree(tmp_path / "scratch")
    assert here()
    assert sha256_of(tmp_path / "run/generator.safetensors") == whole
    assert [row["step"] for row in read_journal(tmp_path / "run/journal.jsonl")] == [2, 4, 5, 6, 8]


def test_the_folder_may_vanish_and_come_back(here, whole, tmp_path, monkeypatch, said):
    run, away = tmp_path / "run", tmp_path / "away"
    with monkeypatch.context() as patch:
        during(patch, {3: lambda: run.rename(away), 7: lambda: away.rename(run)})
        assert here()
    assert not away.exists()
    assert files_of(run) == files_of(tmp_path / "scratch")
    assert sha256_of(run / "generator.safetensors") == whole


def test_what_is_saved_while_an_earlier_copy_is_under_way_is_copied_before_the_run_ends(tmp_path, monkeypatch):
    work, run = tmp_path / "work", tmp_path / "run"
    ours = Checkpoints(work / "checkpoints")
    ours.save(1, {"step": 1})
    run.mkdir()
    copied, release, original = threading.Event(), threading.Event(), Mirror._copy_run

    def slow(self):
        original(self)
        copied.set()
        assert release.wait(30)

    monkeypatch.setattr(Mirror, "_copy_run", slow)
    with Mirror(work, run, 2, print) as copying:
        copying.push()
        assert copied.wait(30)
        ours.save(2, {"step": 2})
        copying.push()
        threading.Timer(0.2, release.set).start()  # the run ends while the first copy is still under way
    assert Checkpoints(run / "checkpoints").newest() == ({"step": 2}, [])


def test_a_folder_that_stays_away_is_not_made_anew_and_is_caught_up_with_later(here, tmp_path, monkeypatch, said):
    run, away = tmp_path / "run", tmp_path / "away"
    with monkeypatch.context() as patch:
        during(patch, {3: lambda: run.rename(away)})
        assert here()
    assert not run.exists()  # where Drive is to come back nothing lies in its way
    assert len(said) == 1
    assert f"The folder {run} is not there" in said[0]
    away.rename(run)
    assert here()
    assert files_of(run) == files_of(tmp_path / "scratch")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.ENOTCONN])
def test_a_folder_that_cannot_be_written_to_stops_nothing(here, whole, tmp_path, monkeypatch, said, number):
    run = tmp_path / "run"
    assert here(steps=4)
    before = files_of(run)
    mend = failing(monkeypatch, run, number)
    assert here()
    assert files_of(run) == before
    assert len(said) == 1
    assert "could not be brought up to date" in said[0]
    mend()
    assert here()
    assert files_of(run) == files_of(tmp_path / "scratch")


def test_what_arrives_otherwise_than_it_was_sent_is_not_taken_for_a_copy(here, tmp_path, monkeypatch, said):
    run = tmp_path / "run"
    assert here(steps=4)
    before = files_of(run)
    with monkeypatch.context() as patch:
        patch.setattr(mirror, "sha256_of", lambda path: "0" * 64 if run in path.parents else sha256_of(path))
        assert here()
    assert files_of(run) == before
    assert "did not arrive as it was sent" in said[0]
    assert here()
    assert files_of(run) == files_of(tmp_path / "scratch")


def test_old_bytes_under_a_new_name_are_passed_over(here, whole, tmp_path):
    assert here()
    shutil.rmtree(tmp_path / "scratch")
    newest, older = Checkpoints(tmp_path / "run/checkpoints").newest_first()
    newest.write_bytes(older.read_bytes())
    assert here()
    notes = [row["note"] for row in read_journal(tmp_path / "scratch/journal.jsonl") if "note" in row]
    assert notes == [f"The checkpoint {newest.name} in {tmp_path / 'run'} is damaged and was passed over."]
    assert sha256_of(tmp_path / "run/generator.safetensors") == whole
    assert files_of(tmp_path / "run") == files_of(tmp_path / "scratch")


def test_when_no_checkpoint_of_the_folder_is_whole_nothing_is_begun(here, tmp_path):
    assert here()
    shutil.rmtree(tmp_path / "scratch")
    for path in Checkpoints(tmp_path / "run/checkpoints").newest_first():
        path.write_bytes(b"")
    before = files_of(tmp_path / "run")
    with pytest.raises(DragFaceError, match="No checkpoint in .*run can be read"):
        here()
    assert files_of(tmp_path / "run") == before


def test_what_is_further_here_than_there_stays(tmp_path):
    run, work = tmp_path / "run", tmp_path / "work"
    Checkpoints(run / "checkpoints").save(4, {"step": 4})
    Checkpoints(work / "checkpoints").save(6, {"step": 6})
    (run / "journal.jsonl").write_text("theirs")
    (work / "journal.jsonl").write_text("ours")
    assert restore(run, work) == []
    assert (work / "journal.jsonl").read_text() == "ours"
    Checkpoints(run / "checkpoints").save(8, {"step": 8})
    assert restore(run, work) == []
    assert (work / "journal.jsonl").read_text() == "theirs"
    assert Checkpoints(work / "checkpoints").newest() == ({"step": 8}, [])


def killed_at(moment, work):
    """In a process of its own: do the work, and die before file operation number `moment`. True if it got so far."""
    child = os.fork()
    if child == 0:
        left = moment

        def audit(event, arguments):
            nonlocal left
            if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "tempfile.mkstemp"):
                left -= 1
                if left == 0:
                    os._exit(9)

        sync = os.fsync
        os.fsync = lambda descriptor: (audit("open", ()), sync(descriptor))
        sys.addaudithook(audit)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_a_death_at_any_file_operation_of_a_save_leaves_a_whole_checkpoint(tmp_path):
    kept = Checkpoints(tmp_path / "checkpoints")
    for step in (1, 2):
        kept.save(step, {"step": step})
    moment = 0
    while killed_at(moment := moment + 1, lambda: kept.save(3, {"step": 3})):
        found, damaged = kept.newest()
        assert (found["step"] in (2, 3), damaged) == (True, [])
    assert moment > 15
    assert kept.newest() == ({"step": 3}, [])
    assert len(list(kept.folder.iterdir())) == 4


def test_a_death_at_any_file_operation_of_a_copy_leaves_a_whole_checkpoint(tmp_path):
    work, run = tmp_path / "work", tmp_path / "run"
    ours, theirs = Checkpoints(work / "checkpoints"), Checkpoints(run / "checkpoints")
    for step in (1, 2):
        ours.save(step, {"step": step})
    (work / "journal.jsonl").write_text("one")
    run.mkdir()
    Mirror(work, run, 2, print)._copy_run()
    ours.save(3, {"step": 3})
    (work / "journal.jsonl").write_text("two")
    moment = 0
    while killed_at(moment := moment + 1, Mirror(work, run, 2, print)._copy_run):
        found, damaged = theirs.newest()
        assert (found["step"] in (2, 3), damaged) == (True, [])
        assert (run / "journal.jsonl").read_text() == ("two" if found["step"] == 3 else "one") or moment > 1
    assert moment > 15
    assert files_of(run) == files_of(work)
