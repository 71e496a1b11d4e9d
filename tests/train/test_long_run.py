"""The life of a real run at tiny size: sessions that end at any moment, each on a machine of its own, and Drive."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
import time
from dataclasses import asdict

import pytest
import torch
from runs import checkpoints_of, journal_of, notes_of, pictures_and_generators_of

from dragface_lib.train import TrainConfig, mirror, read_journal, train
from dragface_lib.train.saving import has_arrived

SEED = 8
STEPS = 100
KILLED, ENDED = -signal.SIGKILL, 0


def session(settings, version):
    """One session, in a process of its own. version: of torch, as it then says."""
    torch.set_num_threads(1)
    torch.__version__ = version
    mirror.DEAD_AFTER = 0.0
    train(TrainConfig(**settings), progress=False)


@pytest.fixture
def begin(colab, tiny):
    """Function that begins a session on a new machine with Drive mounted; `run` is there, `scratch` on the machine.

    Lines of the journal, checkpoints and samples fall on different steps, so that a session rarely ends where all meet.
    """
    content = colab()
    run, scratch = content / "drive/MyDrive/DragFace/runs/long", content / "runs/long"
    processes = multiprocessing.get_context("forkserver")  # torch is imported once for all sessions
    processes.set_forkserver_preload(["dragface_lib.train.loop", "dragface_lib.train.saving"])
    every = {"save_every": 4, "log_every": 3, "sample_every": 10, "milestone_every": 20, "validate_every": 10**6}

    def start(version, **changes):
        from google.colab import drive

        shutil.rmtree(scratch, ignore_errors=True)
        drive.mount(str(content / "drive"))
        process = processes.Process(target=session, args=(start.settings | changes, version))
        process.start()
        return process

    start.run, start.scratch = run, scratch
    start.settings = asdict(tiny(run, steps=STEPS, scratch=str(scratch), **every))
    return start


def test_a_run_of_seven_sessions_ends_bit_for_bit_as_one_that_nothing_interrupted(begin, tmp_path):
    """Five are killed, one is ended by its clock, one ends by itself. Drive loses its newest checkpoint once. Torch is
    updated once, which on the same machine is a note in the journal and changes no bit.
    """
    whole = tmp_path / "whole"
    assert train(TrainConfig(**begin.settings | {"run": str(whole), "scratch": ""}), progress=False)
    chance, now, later = random.Random(SEED), str(torch.__version__), "9.9.9"
    assert end_by_a_kill(begin(now), begin, chance) == KILLED
    assert end_by_a_kill(begin(now), begin, chance) == KILLED
    checkpoints_of(begin.run)[-1].unlink()
    assert end_by_itself(begin(now, session_minutes=0.001)) == ENDED
    stopped = checkpoints_of(begin.run)[-1]
    assert end_by_a_kill(begin(now), begin, chance) == KILLED
    assert end_by_a_kill(begin(later), begin, chance) == KILLED
    assert end_by_a_kill(begin(later), begin, chance) == KILLED
    assert end_by_itself(begin(later)) == ENDED

    assert 0 < step_of(stopped) < STEPS
    assert step_of(stopped) % 3 == 0, "the clock ends a session at a line of the journal"
    assert has_arrived(TrainConfig(**begin.settings))
    assert notes_of(begin.run) == [f"torch was {now} and is now {later}."]
    assert [row for row in journal_of(begin.run) if "note" not in row] == journal_of(whole)
    assert pictures_and_generators_of(begin.run) == pictures_and_generators_of(whole)
    assert weights_of(begin.run) == weights_of(whole)


def end_by_a_kill(process, begin, chance):
    """The exit code of a session that is killed a few steps, and some milliseconds, after its first save on Drive."""
    before, steps = newest_step(begin.run), chance.randint(1, 5)
    reach(process, lambda: newest_step(begin.run) > before)
    seen = last_line(begin.scratch)
    reach(process, lambda: last_line(begin.scratch) >= seen + steps)
    time.sleep(chance.uniform(0, 0.05))
    process.kill()
    return end_by_itself(process)


def end_by_itself(process):
    process.join(120)
    return process.exitcode


def reach(process, event):
    deadline = time.monotonic() + 120
    while not event() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.002)


def newest_step(run):
    return max(map(step_of, checkpoints_of(run)), default=0)


def step_of(checkpoint):
    return int(checkpoint.stem.removeprefix("step_"))


def last_line(run):
    return max((row["step"] for row in read_journal(run / "journal.jsonl")), default=0)


def weights_of(run):
    """Every weight, moment and average of the newest checkpoint, as text that differs where a bit does."""
    state = torch.load(checkpoints_of(run)[-1], weights_only=True)["state"]
    return str(torch.utils._pytree.tree_map_only(torch.Tensor, lambda part: part.numpy().tobytes(), state))
