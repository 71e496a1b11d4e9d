"""A run's life on a Drive that fails: short sessions with random errors, kills and changes of machine.

    nice python tests/benchmarks/soak.py --sessions 200 --seed 1

Each session trains some steps of a tiny run in a process of its own, now and then on another machine (another scratch
folder).
An audit hook in it makes calls on the run's folder fail at random for some while, or ends the process at once. A run
goes on from session to session until it is done; then the next run begins. At the end are printed: how many sessions
were killed, ended with a sentence, or were done; and how many runs have the generator of a run that nothing disturbed.
It ends with 1 when a session ended in a traceback, a run has another generator, or its folder lost steps.
"""

from __future__ import annotations

import argparse
import errno
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from skimage import data

sys.path[:0] = [str(Path(__file__).parents[2])]  # run as a script, from anywhere

from dragface_lib import files  # noqa: E402
from dragface_lib.errors import DragFaceError  # noqa: E402
from dragface_lib.images import save_photo  # noqa: E402
from dragface_lib.train import TrainConfig, mirror, train  # noqa: E402
from dragface_lib.train.saving import checkpoints, is_whole  # noqa: E402

ERRORS = (errno.ENOTCONN, errno.EIO, errno.ENOSPC, errno.EROFS)
SETTINGS = {"steps": 12, "size": 64, "channels": 4, "blocks": 1, "device": "cpu", "save_every": 2, "log_every": 2}
SETTINGS |= {"sample_every": 6, "milestone_every": 6, "validate_every": 10**6}
KILLED, DONE, SENTENCE = 9, 0, 2
WRITING = {"os.rename", "os.remove", "os.mkdir"}


def session(settings: dict[str, object], seed: int) -> None:
    """One session: exit code 0 when the run is done, 2 when it ended with a sentence, 9 when it was killed."""
    chance = random.Random(seed)
    run, calls, moment = str(settings["run"]), 0, 0
    killed_at = chance.choice([10**9, chance.randint(1, 300)])  # of all files of the run
    fails_from = chance.choice([10**9, chance.randint(1, 100)])  # of those in its folder
    fails_until, number = fails_from + chance.choice([1, 5, 40, 10**9]), chance.choice(ERRORS)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal calls, moment
        path = str(arguments[0]) if arguments else ""
        if event not in {"open", "os.listdir"} | WRITING or not path.startswith((run, str(settings["scratch"]))):
            return
        moment += 1
        if moment >= killed_at:
            os._exit(KILLED)
        calls += path.startswith(run)
        writing = event in WRITING or (event == "open" and arguments[1] not in ("r", "rb", None))
        failing = fails_from <= calls < fails_until and path.startswith(run)
        if failing and (writing or number not in (errno.ENOSPC, errno.EROFS)):
            raise OSError(number, os.strerror(number), path)

    torch.set_num_threads(1)
    files.RETRY_AFTER, mirror.DEAD_AFTER, mirror.RENEWED_EVERY = (0.0, 0.0), 0.0, 0.5
    sys.addaudithook(hook)
    try:
        train(TrainConfig(**settings), progress=False)  # type: ignore[arg-type]
    except DragFaceError as error:
        print(f"  {error}", flush=True)
        sys.exit(SENTENCE)


def reached(folder: Path) -> str:
    """The name of the newest whole checkpoint."""
    return next((path.name for path in checkpoints(folder / "checkpoints") if is_whole(path)), "")


def main() -> int:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance, counts, place = random.Random(options.seed), Counter[str](), Path(tempfile.mkdtemp())
    for domain, divisor in (("selfie", 1), ("drag", 2)):
        for split in ("train", "test"):
            save_photo(place / "faces" / domain / split / "a.jpg", data.astronaut()[:200, 120:320] // divisor)
    torch.set_num_threads(1)
    settings = SETTINGS | {"faces": str(place / "faces")}
    train(TrainConfig(run=str(place / "whole"), **settings), progress=False)  # type: ignore[arg-type]
    expected = (place / "whole/generator.safetensors").read_bytes()
    processes, number, machine = multiprocessing.get_context("forkserver"), 0, 0
    processes.set_forkserver_preload(["dragface_lib.train"])
    for count in range(options.sessions):
        run = place / "drive" / f"run{number}"
        if chance.random() < 0.3:  # another machine, which knows nothing of the run
            machine += 1
            counts["another machine"] += 1
        scratch, before = place / f"machine{machine}" / f"run{number}", reached(run)
        more = {"run": str(run), "scratch": str(scratch)}
        process = processes.Process(target=session, args=(settings | more, chance.randrange(2**32)))
        process.start()
        process.join()
        outcome = {KILLED: "killed", DONE: "done", SENTENCE: "sentence"}.get(process.exitcode or 0, "traceback")
        counts[outcome] += 1
        if reached(run) < before:
            counts["lost steps"] += 1
        if outcome == "done":
            same = (run / "generator.safetensors").read_bytes() == expected
            counts["same generator" if same else "another generator"] += 1
            number += 1
        print(f"{count + 1}: {outcome}, {reached(run) or 'nothing yet'}", flush=True)
    print(dict(counts))
    shutil.rmtree(place)
    return int(any(counts[fault] for fault in ("traceback", "another generator", "lost steps")))


if __name__ == "__main__":
    sys.exit(main())
