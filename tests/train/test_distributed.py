"""Two processes that torchrun starts train one run together, on CPUs, over gloo."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from dragface_lib.__main__ import main
from dragface_lib.train import read_journal

# Without the -- torchrun takes --run for its own --run-path.
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "--", "dragface_lib"]


def arguments(faces, run, *more):
    tiny = ["--size", "64", "--channels", "2", "--device", "cpu", "--diff-augment", "--save-every", "2", *more]
    return ["train", "--faces", str(faces), "--run", str(run), *tiny]


@pytest.fixture(scope="module")
def together(faces, tmp_path_factory):
    """The run of three steps of two processes with a batch of 1, and what was printed."""
    run = tmp_path_factory.mktemp("team") / "run"
    done = subprocess.run(
        [sys.executable, *TORCHRUN, *arguments(faces, run, "--steps", "3")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return run, done.stderr


def test_two_processes_step_as_one_with_twice_the_batch(together, faces, tmp_path):
    run, _ = together
    assert main(arguments(faces, tmp_path / "alone", "--steps", "3", "--batch", "2")) == 0
    names = ("generator", "discriminator", "cycle", "drag_global", "selfie_local")
    for one, other in zip(*(read_journal(path / "journal.jsonl") for path in (run, tmp_path / "alone")), strict=True):
        assert [one[name] for name in names] == pytest.approx([other[name] for name in names], rel=1e-3)
    first, second = (load_file(path / "generator.safetensors") for path in (run, tmp_path / "alone"))
    for name in first:
        # Adam's first steps have the size of the rate, in whichever direction rounding leaves the smallest gradients.
        torch.testing.assert_close(first[name], second[name], atol=1e-4, rtol=1e-3)


def test_only_the_process_that_leads_writes_and_speaks(together):
    run, printed = together
    assert [row["step"] for row in read_journal(run / "journal.jsonl")] == [2, 3]
    assert len(list((run / "checkpoints").glob("*.pt"))) == 2
    assert printed.count("Done: 3 steps") == 1


def test_one_process_goes_on_alone_and_says_so(together, faces, capsys):
    run, _ = together
    assert main(arguments(faces, run, "--steps", "4")) == 0
    assert "processes was 2 and is now 1." in capsys.readouterr().err
    assert read_journal(run / "journal.jsonl")[-1]["step"] == 4
