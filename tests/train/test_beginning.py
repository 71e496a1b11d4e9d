"""A new run begins with weights that exist: a starter's, a generator file's, a run's, a published checkpoint's."""

import shutil
import sys
from pathlib import Path

import pytest
import torch
from runs import act_at, generator_of, journal_of, notes_of
from torch.utils._pytree import tree_leaves

from dragface_lib.errors import DragFaceError
from dragface_lib.files import sha256_of
from dragface_lib.model import Generator, load_generator, save_generator, starter_path
from dragface_lib.train import TrainConfig, train
from dragface_lib.train.beginning import load_beginning
from dragface_lib.train.config import RISE, generator_rate
from dragface_lib.train.data import Batch
from dragface_lib.train.step import Trainer

sys.path.append(str(Path(__file__).parents[1] / "model"))
from reference_generator import trained_reference  # noqa: E402

CPU = torch.device("cpu")
SMALL = {"channels": 2, "blocks": 1, "size": 64}


def trainer_of(config):
    return Trainer(config, CPU, torch.float32)


def same(network, other):
    """Whether two networks, or their states, have the same weights."""
    states = [item if isinstance(item, dict) else item.state_dict() for item in (network, other)]
    return all(torch.equal(states[0][name], states[1][name]) for name in states[1])


@pytest.fixture(scope="module")
def taught(tiny, tmp_path_factory):
    """The folder of a finished tiny run of another seed."""
    run = tmp_path_factory.mktemp("taught") / "taught"
    assert train(tiny(run, seed=5, licence="CC0"), progress=False)
    return run


@pytest.fixture
def small_file(tmp_path):
    torch.manual_seed(9)
    path = tmp_path / "small.safetensors"
    save_generator(Generator(**SMALL), path, {"direction": "selfie_to_drag", "licence": "CC BY 4.0"})
    return path


def test_a_starter_begins_a_run_of_another_size():
    starter = load_generator(starter_path("goth"))
    trainer = trainer_of(TrainConfig("f", "r", size=64, channels=32, device="cpu", begin_with="goth"))
    assert "was taught at 256 px" in load_beginning(trainer)
    assert same(trainer.networks.selfie_to_drag, starter)
    assert same(trainer.ema, starter)
    assert same(trainer.networks.drag_to_selfie.encoder, starter.encoder)
    faces = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        changes = [(network(faces).image - faces).abs().mean() for network in trainer.networks.generators()]
    assert changes[1] < 0.1 * changes[0]  # the way back changes next to nothing
    assert trainer.begun_with["begun_with"] == "goth"
    assert trainer.begun_with["begun_with_sha256"] == sha256_of(starter_path("goth"))
    assert "Face Research Lab" in trainer.begun_with["begun_with_licence"]


def test_a_run_brings_generators_discriminators_and_average(settings, taught):
    state = torch.load(sorted(taught.glob("checkpoints/*.pt"))[-1], weights_only=True)["state"]
    for begin_with in (taught, sorted(taught.glob("checkpoints/*.pt"))[-1]):
        trainer = trainer_of(settings(begin_with=str(begin_with)))
        load_beginning(trainer)
        assert same(trainer.networks, state["networks"])
        assert same(trainer.ema, state["ema"])
        assert trainer.begun_with["begun_with_licence"] == "CC0"
    assert not trainer.generator_optimiser.state  # Adam begins anew
    shutil.rmtree(taught / "checkpoints", ignore_errors=False)
    trainer = trainer_of(settings(begin_with=str(taught)))
    load_beginning(trainer)  # with the generator alone, where the checkpoints have gone
    assert same(trainer.networks.selfie_to_drag, state["ema"])


def test_a_published_checkpoint_brings_both_generators(settings, tmp_path):
    references = [trained_reference(seed, channels=2, blocks=1, light=True) for seed in (0, 1)]
    states = {name: network.state_dict() for name, network in zip(("genA2B", "genB2A"), references, strict=True)}
    torch.save(states, tmp_path / "published.pt")
    trainer = trainer_of(settings(form="published", begin_with=str(tmp_path / "published.pt")))
    load_beginning(trainer)
    for direction in ("selfie_to_drag", "drag_to_selfie"):
        expected = load_generator(tmp_path / "published.pt", direction)
        assert same(trainer.networks.get_submodule(direction), expected)
    assert same(trainer.ema, trainer.networks.selfie_to_drag)


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"channels": 4}, "channels 2 and the run 4: set channels to 2"),
        ({"blocks": 2}, "blocks 1 and the run 2: set blocks to 1"),
        ({"light": False}, "light True and the run False: set light to True"),
        ({"form": "published"}, "form residual and the run published: set form to residual"),
    ],
)
def test_what_cannot_fit_names_both_and_what_to_set(settings, small_file, changes, advice):
    with pytest.raises(DragFaceError, match=f"small.safetensors has {advice}, or begin with another"):
        load_beginning(trainer_of(settings(begin_with=str(small_file), **changes)))


def test_a_full_generator_of_another_size_cannot_fit(settings, tmp_path):
    save_generator(Generator(**SMALL, light=False), tmp_path / "full.safetensors", {"direction": "selfie_to_drag"})
    with pytest.raises(DragFaceError, match="size 64 and the run 68: set size to 64"):
        load_beginning(trainer_of(settings(size=68, light=False, begin_with=str(tmp_path / "full.safetensors"))))


@pytest.mark.parametrize(
    "name", ["glam", "nowhere.safetensors", "cut.safetensors", "cut.pt", "text.pt", "x.onnx", "zip.pt"]
)
def test_what_is_no_generator_is_one_sentence(settings, small_file, taught, tmp_path, name):
    content = small_file.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: len(content) // 2])
    (tmp_path / "cut.pt").write_bytes(b"PK\3\4" + content[:500])
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "x.onnx").write_bytes(b"\x08\x0a\x12\x07pytorch")
    torch.save(
        {"state": {"networks": {"selfie_to_drag.x": 5}}, "facts": dict(SMALL, light=True, form="residual")},
        tmp_path / "zip.pt",
    )
    with pytest.raises(DragFaceError) as caught:
        load_beginning(trainer_of(settings(begin_with=name if name == "glam" else str(tmp_path / name))))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
    if name == "glam":
        assert "classic or goth" in str(caught.value)


def test_the_generators_rate_rises_while_discriminators_learn_at_once(settings, small_file):
    assert [generator_rate(step, 1.0) for step in (0, RISE // 2 - 1, RISE - 1, 10 * RISE)] == [1 / RISE, 0.5, 1, 1]
    rates = []
    for begin_with in ("", str(small_file)):
        trainer = trainer_of(settings(begin_with=begin_with, steps=1000, lr=1e-3))
        if begin_with:
            load_beginning(trainer)
        random = torch.Generator().manual_seed(0)
        batches = [Batch(torch.rand(1, 3, 64, 64, generator=random) * 2 - 1) for _ in range(2)]
        trainer.step(0, *batches)
        optimisers = trainer.generator_optimiser, trainer.discriminator_optimiser
        rates.append([float(optimiser.param_groups[0]["lr"]) for optimiser in optimisers])
    assert rates[0] == pytest.approx([1e-3, 1e-3])
    assert rates[1] == pytest.approx([1e-3 / RISE, 1e-3])


def test_a_run_that_began_with_a_file_says_so_and_is_resumed_exactly(settings, small_file, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def die():
        raise Killed

    whole = settings(run=str(tmp_path / "whole"), begin_with=str(small_file), licence="CC0")
    assert train(whole, progress=False)
    halves = settings(run=str(tmp_path / "halves"), begin_with=str(small_file), licence="CC0")
    for step in (1, 5):  # before the first regular save, and in the middle of the rise of the rate
        with monkeypatch.context() as patch:
            act_at(patch, {step: die})
            with pytest.raises(Killed):
                train(halves, progress=False)
        small_file.unlink(missing_ok=True)  # what a run began with is needed only once
    assert train(halves, progress=False)
    assert generator_of(tmp_path / "halves") == generator_of(tmp_path / "whole")
    assert journal_of(tmp_path / "halves") == journal_of(tmp_path / "whole")
    assert "small.safetensors" in notes_of(tmp_path / "whole")[0]
    metadata = load_generator(tmp_path / "whole/generator.safetensors").metadata
    assert metadata["begun_with"] == "small.safetensors"
    assert metadata["licence"] == "CC0; begun with small.safetensors: CC BY 4.0"


def test_a_run_that_goes_on_begins_with_nothing_else(tiny, tmp_path, capsys, monkeypatch):
    for name, begin_with in (("plain", ""), ("ignoring", "goth")):
        run = tmp_path / name
        assert train(tiny(run, steps=4), progress=False)
        assert train(tiny(run, steps=8, begin_with=begin_with))
    assert "Only a new run begins with goth" in capsys.readouterr().err
    assert generator_of(tmp_path / "plain") == generator_of(tmp_path / "ignoring")
    leaves = [
        tree_leaves(torch.load(sorted((tmp_path / name).glob("checkpoints/*"))[-1], weights_only=True)["state"])
        for name in ("plain", "ignoring")
    ]
    assert all(torch.equal(a, b) for a, b in zip(*leaves, strict=True) if isinstance(a, torch.Tensor))
