"""A run that is trained on a local disk and copied to a folder that may vanish, fill up or give back other bytes."""

import builtins
import errno
import json
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from runs import act_at, checkpoints_of, files_of, generator_of, notes_of

from dragface_lib import files
from dragface_lib.errors import DragFaceError
from dragface_lib.files import DiskFull, sha256_of
from dragface_lib.train import mirror, read_journal, train
from dragface_lib.train.mirror import Mirror
from dragface_lib.train.saving import load_checkpoint, save_checkpoint


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """Nobody waits for a drive to come back or for another machine to be dead."""
    monkeypatch.setattr(files, "RETRY_AFTER", (0.0,))
    monkeypatch.setattr(mirror, "DEAD_AFTER", 0.0)


@pytest.fixture
def failing(tmp_path, monkeypatch):
    """What fails of the run's folder while `.number` is an error's: all calls, `.reading` or `.writing`, or those for
    the names that hold `.name`.
    """
    drive = SimpleNamespace(number=0, reading=True, writing=True, name="")

    def check(path, writing):
        path = Path(str(path))
        below = (tmp_path / "run") in (path, *path.parents) and drive.name in path.name
        if drive.number and below and (drive.writing if writing else drive.reading):
            raise OSError(drive.number, os.strerror(drive.number), str(path))

    def guard(owner, function, writes):
        original = getattr(owner, function)

        def guarded(path, *arguments, **options):
            check(path, writes(*arguments))
            return original(path, *arguments, **options)

        monkeypatch.setattr(owner, function, guarded)

    guard(builtins, "open", lambda mode="r", *_: mode not in ("r", "rb"))
    guard(os, "listdir", lambda: False)
    guard(os, "replace", lambda *_: True)
    for function, writing in (("touch", True), ("unlink", True), ("mkdir", True), ("stat", False)):
        guard(Path, function, lambda *_, writing=writing: writing)
    readable = files._Readable.__init__
    monkeypatch.setattr(files._Readable, "__init__", lambda file, path: (check(path, False), readable(file, path))[1])
    return drive


@pytest.fixture
def here(settings, tmp_path):
    """Function that trains the run of 8 steps on "scratch", a checkpoint every 2."""
    return lambda **changes: train(settings(scratch=str(tmp_path / "scratch"), **changes))


@pytest.fixture
def said(capsys):
    """Function that returns what was said of the copies since it was called last."""
    return lambda: [line for line in capsys.readouterr().err.splitlines() if "up to date" in line]


def not_copied():
    """Expects that training ends with a sentence that something was not copied."""
    return pytest.raises(DragFaceError, match="could not be brought up to date")


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


def unmarked(run):
    """The files of a run without the mark of its owner."""
    return {name: digest for name, digest in files_of(run).items() if name != "owner.json"}


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
        with not_copied():
            here()
    assert len(said()) == 1
    with pytest.raises(DragFaceError, match="does not hold the newest state of .*run"):
        here()
    assert not run.exists()  # where Drive is to come back nothing lies in its way
    away.rename(run)
    assert here()
    assert same()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.ENOTCONN])
@pytest.mark.parametrize("reading", [True, False])
def test_a_folder_that_fails_while_training_stops_nothing(here, tmp_path, monkeypatch, failing, number, reading):
    run = tmp_path / "run"
    assert here(steps=4)
    before = [(path.name, sha256_of(path)) for path in checkpoints_of(run)]
    failing.reading = reading
    with monkeypatch.context() as patch:
        act_at(patch, {4: lambda: vars(failing).update(number=number)})
        with not_copied():
            here(save_every=100)
    failing.number = 0
    assert [(path.name, sha256_of(path)) for path in checkpoints_of(run)] == before
    assert checkpoints_of(tmp_path / "scratch")[-1].name == "step_00000008.pt"
    assert here()
    assert files_of(run) == files_of(tmp_path / "scratch")


def test_a_folder_that_fails_for_a_while_is_copied_to_at_the_next_save(here, same, monkeypatch, failing, said):
    act_at(monkeypatch, {1: lambda: vars(failing).update(number=errno.EIO), 5: lambda: vars(failing).update(number=0)})
    assert here()
    assert same()


def test_a_start_while_drive_is_away_is_one_sentence_and_changes_nothing(here, tmp_path, failing):
    assert here(steps=4)
    before = files_of(tmp_path)
    failing.number = errno.ENOTCONN
    with pytest.raises(DragFaceError, match="run cannot be read now .*: look whether its drive is there"):
        here()
    failing.number = 0
    assert files_of(tmp_path) == before


def test_what_arrives_otherwise_than_it_was_sent_is_not_taken_for_a_copy(here, tmp_path, monkeypatch):
    run = tmp_path / "run"
    assert here(steps=4)
    before = [sha256_of(path) for path in checkpoints_of(run)]
    with monkeypatch.context() as patch:
        patch.setattr(mirror, "sha256_of", lambda path: "0" * 64 if run in path.parents else sha256_of(path))
        with pytest.raises(DragFaceError, match="did not arrive as it was sent"):
            here()
    assert [sha256_of(path) for path in checkpoints_of(run)] == before
    assert here()
    assert files_of(run) == files_of(tmp_path / "scratch")


def test_what_is_saved_while_an_earlier_copy_is_under_way_is_copied_before_the_run_ends(tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    copied, release, copy = threading.Event(), threading.Event(), Mirror._copy

    def slow(self):
        copy(self)
        copied.set()
        assert release.wait(30)

    monkeypatch.setattr(Mirror, "_copy", slow)
    with Mirror(target, source, print) as copies:
        save_checkpoint(source / "checkpoints", 1, {"step": 1})
        copies.start()
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
    before = unmarked(tmp_path / "run")
    with pytest.raises(DragFaceError, match="No checkpoint in .*run can be read, as all are damaged: delete the run"):
        here()
    assert unmarked(tmp_path / "run") == before


def test_what_is_further_here_than_there_stays(tmp_path):
    run, scratch = tmp_path / "run", tmp_path / "scratch"
    scratch.mkdir()
    with Mirror(run, scratch, print):  # which copies nothing before it is told to
        save_checkpoint(run / "checkpoints", 4, {"step": 4})
        save_checkpoint(scratch / "checkpoints", 6, {"step": 6})
        (run / "journal.jsonl").write_text("theirs")
        (scratch / "journal.jsonl").write_text("ours")
    with Mirror(run, scratch, print):
        assert (scratch / "journal.jsonl").read_text() == "ours"
    save_checkpoint(run / "checkpoints", 8, {"step": 8})
    with Mirror(run, scratch, print):
        assert (scratch / "journal.jsonl").read_text() == "theirs"
        assert load_checkpoint(scratch / "checkpoints") == ({"step": 8}, [])
    checkpoints_of(run)[-1].write_bytes(b"")
    checkpoints_of(scratch)[-1].unlink()
    with Mirror(run, scratch, print):
        assert load_checkpoint(scratch / "checkpoints") == ({"step": 6}, [])


@pytest.mark.parametrize("name", ["journal.jsonl", "best.safetensors", "step_00000008.pt", "step_00000006.pt"])
def test_a_file_that_cannot_be_read_ends_the_restoring_which_the_next_start_begins_anew(here, tmp_path, failing, name):
    assert here()
    (tmp_path / "run/best.safetensors").write_text("the best")
    before = unmarked(tmp_path / "run")
    shutil.rmtree(tmp_path / "scratch")
    failing.number, failing.name = errno.EIO, name
    with pytest.raises(DragFaceError, match="cannot be read now"):
        here()
    failing.number = 0
    assert unmarked(tmp_path / "run") == before
    assert here()
    assert unmarked(tmp_path / "run") == before
    assert (tmp_path / "scratch/best.safetensors").read_text() == "the best"


def test_a_restoring_that_broke_off_before_its_checkpoint_is_not_taken_for_done(here, same, tmp_path, failing):
    assert here()
    shutil.rmtree(tmp_path / "scratch")
    failing.number, failing.name = errno.EIO, "step_00000008.pt"
    with pytest.raises(DragFaceError):
        here()
    failing.number = 0
    shutil.rmtree(tmp_path / "scratch/checkpoints", ignore_errors=True)
    (tmp_path / "scratch/journal.jsonl").write_text("")
    assert here()
    assert same()
    assert [row["step"] for row in read_journal(tmp_path / "run/journal.jsonl")] == [2, 4, 6, 8]


def test_a_picture_that_cannot_be_read_is_left_out(here, tmp_path, failing, capsys):
    assert here(steps=6)
    shutil.rmtree(tmp_path / "scratch")
    failing.number, failing.name, failing.writing = errno.EIO, "step_00000004.jpg", False
    assert here()
    assert "Left out: samples/step_00000004.jpg" in capsys.readouterr().err
    failing.number = 0
    assert (tmp_path / "run/samples/step_00000004.jpg").stat().st_size > 0


def test_as_many_checkpoints_as_are_counted_lie_in_the_folder_at_once_after_it_was_full(here, tmp_path, monkeypatch):
    """Of 2, 4 to 6, 8: never more than three, the one that is being written among them."""
    most, touch = [0], Path.touch

    def watched(path, **options):
        touch(path, **options)
        lying = [*path.parent.glob("step_*.pt"), *path.parent.glob(".step_*.part")]
        if (tmp_path / "run/checkpoints") == path.parent:
            most[0] = max(most[0], len(lying))

    assert here(steps=4)
    with monkeypatch.context() as patch:
        patch.setattr(Mirror, "_copy", lambda self: setattr(self, "fault", "It is full."))
        with pytest.raises(DragFaceError, match="It is full"):
            here()
    monkeypatch.setattr(Path, "touch", watched)
    assert here()
    assert most == [3]
    assert [path.name for path in checkpoints_of(tmp_path / "run")] == ["step_00000006.pt", "step_00000008.pt"]


def test_the_folder_needs_room_for_three_checkpoints(here, tmp_path, monkeypatch):
    room = lambda folder: SimpleNamespace(free=1000 if Path(folder).name == "run" else 10**12)  # noqa: E731
    monkeypatch.setattr(shutil, "disk_usage", room)
    with pytest.raises(DiskFull, match="The checkpoints take .*run has"):
        here()


def test_a_run_in_training_is_refused_to_a_second_machine_with_since_when(settings, tmp_path, monkeypatch):
    refusals = []

    def second():
        with pytest.raises(DragFaceError) as refusal:
            train(settings(scratch=str(tmp_path / "second")), progress=False)
        refusals.append(str(refusal.value))

    monkeypatch.setattr(mirror, "RENEWED_EVERY", 0.05)
    monkeypatch.setattr(mirror, "DEAD_AFTER", 100.0)
    monkeypatch.setattr(mirror, "time", iter(range(1_800_000_000, 1_900_000_000)).__next__)
    act_at(monkeypatch, {3: second})
    assert train(settings(scratch=str(tmp_path / "scratch")), progress=False)
    assert "is being trained on another machine since 20" in refusals[0]
    assert f"delete {tmp_path / 'run/owner.json'} to take the run over" in refusals[0]
    assert train(settings(scratch=str(tmp_path / "third")), progress=False)  # it has ended: nobody waits


def test_a_machine_that_died_is_waited_for_no_longer_than_a_mark_may_be_old(here, same, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        act_at(patch, {4: lambda: signal.raise_signal(signal.SIGINT)})
        assert here() is False
    mark = tmp_path / "run/owner.json"
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"seen": int(mirror.time())}))
    shutil.rmtree(tmp_path / "scratch")
    monkeypatch.setattr(mirror, "DEAD_AFTER", 1.5)
    assert here()
    assert same()


@pytest.mark.parametrize("mark", ["", "[" * 100_000, '{"owner": "x", "seen": 1%s}' % ("0" * 400)])
def test_a_damaged_mark_keeps_nobody_from_going_on(here, tmp_path, monkeypatch, mark):
    with monkeypatch.context() as patch:
        act_at(patch, {4: lambda: signal.raise_signal(signal.SIGINT)})
        assert here() is False
    (tmp_path / "run/owner.json").write_text(mark)
    if mark:
        shutil.rmtree(tmp_path / "scratch")
    assert here()


@pytest.mark.parametrize("way", ["deleted", "another"])
def test_whoever_was_taken_over_stops_and_changes_nothing_there(here, tmp_path, monkeypatch, way):
    run, after, copies, start = tmp_path / "run", {}, [], mirror.Mirror.start
    monkeypatch.setattr(mirror.Mirror, "start", lambda self: copies.append(start(self)))

    def take_over():
        for copy in copies:
            copy.result()
        (run / "owner.json").unlink()
        if way == "another":
            (run / "owner.json").write_text('{"owner": "another", "since": "today", "seen": 0}')
        save_checkpoint(run / "checkpoints", 5, {"step": 5})
        after.update(files_of(run))

    act_at(monkeypatch, {5: take_over})
    with pytest.raises(DragFaceError, match="run was taken over by another machine: this training stops"):
        here()
    assert files_of(run) == after
    if way == "another":
        with pytest.raises(DragFaceError, match=r"scratch does not hold the newest state .*: name another folder"):
            here()
    assert files_of(run) == after


def test_a_checkpoint_that_this_process_neither_restored_nor_wrote_is_never_removed(here, tmp_path, monkeypatch):
    act_at(monkeypatch, {3: lambda: (tmp_path / "run/checkpoints/step_00000001.pt").write_text("somebody's")})
    assert here()
    names = [path.name for path in checkpoints_of(tmp_path / "run")]
    assert names == ["step_00000001.pt", "step_00000006.pt", "step_00000008.pt"]


def test_another_run_in_the_same_local_folder_is_refused(settings, here, tmp_path):
    assert here()
    before = files_of(tmp_path)
    for changes in ({"run": str(tmp_path / "other")}, {"scratch": str(tmp_path / "plain")}):
        if "scratch" in changes:
            shutil.copytree(tmp_path / "run", tmp_path / "plain")
            (tmp_path / "plain/owner.json").unlink()
            before = files_of(tmp_path)
        with pytest.raises(DragFaceError, match="does not hold the newest state"):
            train(settings(**{"scratch": str(tmp_path / "scratch")} | changes), progress=False)
    assert files_of(tmp_path) == before


def test_a_deleted_folder_is_not_filled_again_from_the_local_one(here, tmp_path):
    assert here()
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(DragFaceError, match="or deleted.*name another folder for --scratch, or delete this one"):
        here()
    shutil.rmtree(tmp_path / "scratch")
    assert here(steps=2)


@pytest.mark.parametrize("place", ["run", "run/inside", ""])
def test_a_local_folder_that_is_inside_or_around_the_run_is_refused(settings, tmp_path, place):
    (tmp_path / "run/inside").mkdir(parents=True)
    with pytest.raises(DragFaceError, match="itself, or lies within it"):
        train(settings(scratch=str(tmp_path / place)), progress=False)


def test_only_a_runs_own_files_travel_and_somebodys_copies_are_never_taken(here, same, tmp_path):
    scratch, run = tmp_path / "scratch", tmp_path / "run"
    assert here(steps=4)
    for name in ("thesis.txt", "samples/step_00000009 (1).jpg", "checkpoints/step_00000099_good.pt", "faces/a.jpg"):
        (scratch / name).parent.mkdir(exist_ok=True)
        (scratch / name).write_text("somebody's")
    for name in ("checkpoints/step_00000012 (1).pt", "samples/step_00000006 (1).jpg", "checkpoints/.notes.part"):
        (run / name).write_text("somebody's")
    assert here()
    assert not {"thesis.txt", "samples/step_00000009 (1).jpg", "faces/a.jpg"} & files_of(run).keys()
    assert {"checkpoints/step_00000012 (1).pt", "samples/step_00000006 (1).jpg", "checkpoints/.notes.part"} <= files_of(
        run
    ).keys()
    shutil.rmtree(scratch)
    assert here(steps=10)
    assert not {"samples/step_00000006 (1).jpg", "checkpoints/step_00000012 (1).pt"} & files_of(scratch).keys()


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
    source.mkdir()

    def copy():
        with Mirror(target, source, print) as copies:
            copies.start()

    with Mirror(target, source, print) as copies:
        for step in (1, 2):
            save_checkpoint(source / "checkpoints", step, {"step": step})
        (source / "journal.jsonl").write_text("one")
        copies.start()
    save_checkpoint(source / "checkpoints", 3, {"step": 3})
    (source / "journal.jsonl").write_text("two")
    moment = 0
    while killed_at(moment := moment + 1, copy):
        content, damaged = load_checkpoint(target / "checkpoints")
        assert (content["step"] in (2, 3), damaged) == (True, [])
        journal = (target / "journal.jsonl").read_text()
        assert journal == "two" or content["step"] == 2
    assert moment > 15
    assert files_of(target) == files_of(source)
