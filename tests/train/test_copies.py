"""A run that is trained on a local disk and copied to a folder that may vanish, fill up or give back other bytes."""

import errno
import os
import shutil
import signal
import sys
import threading
from pathlib import Path

import pytest
from runs import act_at, checkpoints_of, files_of, generator_of, notes_of

from dragface_lib.errors import DragFaceError
from dragface_lib.files import sha256_of
from dragface_lib.train import read_journal, saving, train
from dragface_lib.train.saving import Copier, load_checkpoint, restore, save_checkpoint, synchronise


@pytest.fixture
def here(settings, tmp_path):
    """Function that trains the run of 8 steps on "scratch", a checkpoint every 2."""
    return lambda **changes: train(settings(scratch=str(tmp_path / "scratch"), **changes))


@pytest.fixture
def said(capsys):
    """Function that returns what was said of the copies since it was called last."""
    return lambda: [line for line in capsys.readouterr().err.splitlines() if "up to date" in line]


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """The hash of the generator of a run that knows no scratch."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train(tiny(run), progress=False)
    return generator_of(run)


@pytest.fixture
def same(tmp_path, whole):
    """Function that says whether the run's folder is a whole copy of scratch."""
    return lambda: (
        files_of(tmp_path / "run") == files_of(tmp_path / "scratch") and generator_of(tmp_path / "run") == whole
    )


def test_a_run_ends_up_in_its_folder_as_it_is_on_scratch(here, same, tmp_path, said):
    assert here()
    assert same()
    assert [path.name for path in checkpoints_of(tmp_path / "run")] == ["step_00000006.pt", "step_00000008.pt"]
    assert "scratch" not in (tmp_path / "run/config.json").read_text()
    assert said() == []


def test_a_run_goes_on_from_its_folder_when_scratch_is_lost(here, same, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        act_at(patch, {4: lambda: signal.raise_signal(signal.SIGINT)})
        assert here() is False
    shutil.rmtree(tmp_path / "scratch")
    assert here()
    assert same()
    assert [row["step"] for row in read_journal(tmp_path / "run/journal.jsonl")] == [2, 4, 5, 6, 8]


def test_the_folder_may_vanish_and_come_back(here, same, tmp_path, monkeypatch):
    run, away = tmp_path / "run", tmp_path / "away"
    act_at(monkeypatch, {3: lambda: run.rename(away), 7: lambda: away.rename(run)})
    assert here()
    assert not away.exists()
    assert same()


def test_a_folder_that_stays_away_is_not_made_anew_and_is_caught_up_with_later(here, same, tmp_path, monkeypatch, said):
    run, away = tmp_path / "run", tmp_path / "away"
    with monkeypatch.context() as patch:
        act_at(patch, {3: lambda: run.rename(away)})
        assert here()
    assert not run.exists()  # where Drive is to come back nothing lies in its way
    sentence = said()[0]
    assert f"The folder {run} is not there" in sentence
    away.rename(run)
    assert here()
    assert same()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.ENOTCONN])
def test_a_folder_that_cannot_be_written_to_stops_nothing(here, tmp_path, monkeypatch, said, number):
    run, original = tmp_path / "run", Path.touch

    def touch(path, **options):
        if run in path.parents:
            raise OSError(number, os.strerror(number))
        original(path, **options)

    assert here(steps=4)
    before = files_of(run)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "touch", touch)
        assert here()
    assert files_of(run) == before
    sentence = said()[0]
    assert "could not be brought up to date" in sentence
    assert here()
    assert files_of(run) == files_of(tmp_path / "scratch")


def test_what_arrives_otherwise_than_it_was_sent_is_not_taken_for_a_copy(here, tmp_path, monkeypatch, said):
    run = tmp_path / "run"
    assert here(steps=4)
    before = files_of(run)
    with monkeypatch.context() as patch:
        patch.setattr(saving, "sha256_of", lambda path: "0" * 64 if run in path.parents else sha256_of(path))
        assert here()
    assert files_of(run) == before
    assert "did not arrive as it was sent" in said()[0]
    assert here()
    assert files_of(run) == files_of(tmp_path / "scratch")


def test_what_is_saved_while_an_earlier_copy_is_under_way_is_copied_before_the_run_ends(tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "target"
    save_checkpoint(source / "checkpoints", 1, {"step": 1})
    target.mkdir()
    copied, release = threading.Event(), threading.Event()

    def slow(*arguments):
        synchronise(*arguments)
        copied.set()
        assert release.wait(30)

    monkeypatch.setattr(saving, "synchronise", slow)
    with Copier(source, target, print) as copier:
        copier.start()
        assert copied.wait(30)
        save_checkpoint(source / "checkpoints", 2, {"step": 2})
        threading.Timer(0.2, release.set).start()  # the run ends while the first copy is still under way
    assert load_checkpoint(target / "checkpoints") == ({"step": 2}, [])


def test_old_bytes_under_a_new_name_are_passed_over(here, same, tmp_path):
    assert here()
    shutil.rmtree(tmp_path / "scratch")
    older, newest = checkpoints_of(tmp_path / "run")
    newest.write_bytes(older.read_bytes())
    assert here()
    assert notes_of(tmp_path / "scratch") == [f"The checkpoint {newest.name} is damaged and was passed over."]
    assert same()


def test_when_no_checkpoint_of_the_folder_is_whole_nothing_is_begun(here, tmp_path):
    assert here()
    shutil.rmtree(tmp_path / "scratch")
    for path in checkpoints_of(tmp_path / "run"):
        path.write_bytes(b"")
    before = files_of(tmp_path / "run")
    with pytest.raises(DragFaceError, match="No checkpoint in .*run can be read"):
        here()
    assert files_of(tmp_path / "run") == before


def test_what_is_further_here_than_there_stays(tmp_path):
    run, scratch = tmp_path / "run", tmp_path / "scratch"
    save_checkpoint(run / "checkpoints", 4, {"step": 4})
    save_checkpoint(scratch / "checkpoints", 6, {"step": 6})
    (run / "journal.jsonl").write_text("theirs")
    (scratch / "journal.jsonl").write_text("ours")
    restore(run, scratch)
    assert (scratch / "journal.jsonl").read_text() == "ours"
    save_checkpoint(run / "checkpoints", 8, {"step": 8})
    restore(run, scratch)
    assert (scratch / "journal.jsonl").read_text() == "theirs"
    assert load_checkpoint(scratch / "checkpoints") == ({"step": 8}, [])
    checkpoints_of(run)[-1].write_bytes(b"")
    save_checkpoint(scratch / "checkpoints", 6, {"step": 6})
    restore(run, scratch)
    assert load_checkpoint(scratch / "checkpoints") == ({"step": 6}, [])


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
    for step in (1, 2):
        save_checkpoint(tmp_path, step, {"step": step})
    moment = 0
    while killed_at(moment := moment + 1, lambda: save_checkpoint(tmp_path, 3, {"step": 3})):
        content, damaged = load_checkpoint(tmp_path)
        assert (content["step"] in (2, 3), damaged) == (True, [])
    assert moment > 10
    assert load_checkpoint(tmp_path) == ({"step": 3}, [])
    assert len(list(tmp_path.iterdir())) == 2


def test_a_death_at_any_file_operation_of_a_copy_leaves_a_whole_checkpoint(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    for step in (1, 2):
        save_checkpoint(source / "checkpoints", step, {"step": step})
    (source / "journal.jsonl").write_text("one")
    target.mkdir()
    synchronise(source, target, {})
    save_checkpoint(source / "checkpoints", 3, {"step": 3})
    (source / "journal.jsonl").write_text("two")
    moment = 0
    while killed_at(moment := moment + 1, lambda: synchronise(source, target, {})):
        content, damaged = load_checkpoint(target / "checkpoints")
        assert (content["step"] in (2, 3), damaged) == (True, [])
        journal = (target / "journal.jsonl").read_text()
        assert journal == "two" or content["step"] == 2
    assert moment > 15
    assert files_of(target) == files_of(source)
