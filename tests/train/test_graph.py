"""A replayed step learns what the same step learns eagerly: whatever changes from step to step reaches the graph."""

import copy
import os

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dragface_lib.devices import choose_precision
from dragface_lib.errors import DragFaceError
from dragface_lib.train import graph as module
from dragface_lib.train import read_journal, train
from dragface_lib.train.config import choose_kernels
from dragface_lib.train.data import Batch
from dragface_lib.train.graph import CudaGraph, Graphed
from dragface_lib.train.step import Trainer

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once a process, by the deterministic runs
CPU = torch.device("cpu")
PRECISIONS = ["fp32", "bf16", "fp16"]


class RecordedOperations(TorchDispatchMode):
    """Stands in for a CudaGraph on a CPU: notes the operations of a call, undoes them, and runs them on the same
    tensors at each replay. As with a real one, a number that Python knows while recording stays what it was.

    fail_at: the number of the operation at which recording raises `error`.
    """

    device = CPU

    def __init__(self, fail_at=None, error=None):
        super().__init__()
        self.fail_at, self.error = fail_at, error
        self.operations, self.made, self.before = [], set(), {}

    def run(self, function, *arguments):
        return function(*arguments)

    def record(self, function, *arguments):
        try:
            with self:
                return function(*arguments)
        finally:
            for storage, content in self.before.values():
                storage.copy_(content)

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        if len(self.operations) == self.fail_at:
            raise self.error
        if function.overloadpacket.__name__ in ("_local_scalar_dense", "equal"):
            raise RuntimeError("operation not permitted when stream is capturing")
        given = {
            tensor.untyped_storage()._cdata: tensor.untyped_storage() for tensor in tensors_of((arguments, options))
        }
        if function._schema.is_mutable:
            for key in given.keys() - self.made - self.before.keys():
                self.before[key] = given[key], given[key].clone()
        results = function(*arguments, **(options or {}))
        self.made |= {result.untyped_storage()._cdata for result in tensors_of(results)} - given.keys()
        self.operations.append((function, arguments, options or {}, results))
        return results

    @torch.no_grad()
    def replay(self):
        for function, arguments, options, results in self.operations:
            again = function(*arguments, **options)
            for result, new in zip(tensors_of(results), tensors_of(again), strict=True):
                if new.untyped_storage()._cdata != result.untyped_storage()._cdata:
                    result.detach().copy_(new)


def tensors_of(results):
    return [result for result in tree_leaves(results) if isinstance(result, torch.Tensor)]


def faces_of(step, count=1):
    """Two batches with masks, which differ from step to step."""
    random = torch.Generator().manual_seed(step)
    faces = torch.rand(2, count, 3, 64, 64, generator=random) * 2 - 1
    masks = (torch.rand(2, count, 1, 64, 64, generator=random) > 0.3).float()
    return Batch(faces[0], masks[0]), Batch(faces[1], masks[1])


def graphed_trainer(config, precision, monkeypatch, graph, sentences=None):
    monkeypatch.setattr(module, "WARM_UP", 2)
    trainer = Trainer(config, CPU, choose_precision(precision, CPU))
    say = [].append if sentences is None else sentences.append
    trainer.graphed = Graphed(trainer.update, graph, trainer._recover, say)
    return trainer


def same_state(one, other):
    pairs = zip(tensors_of(one.state()), tensors_of(other.state()), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_replayed_steps_are_the_eager_ones_bit_for_bit(settings, monkeypatch, precision):
    """The learning rate falls, the average's share shrinks, and faces, masks and augmentation differ at each step."""
    config = settings(steps=8, diff_augment=True, ema_half_life=10, batch=2)
    eager = Trainer(config, CPU, choose_precision(precision, CPU))
    replayed = graphed_trainer(config, precision, monkeypatch, RecordedOperations())
    for step in range(7):
        losses = [trainer.step(step, *faces_of(step, 2)) for trainer in (eager, replayed)]
        assert losses[0] == losses[1], step
        assert same_state(eager, replayed), step
    assert replayed.graphed.replays == 5


def test_losses_stay_what_they_were_when_the_graph_is_replayed(settings, monkeypatch):
    trainer = graphed_trainer(settings(), "fp32", monkeypatch, RecordedOperations())
    losses = [trainer.step(step, *faces_of(step))["cycle"] for step in range(5)]
    assert len({loss.item() for loss in losses}) == 5


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("error", [RuntimeError("capture failed\nat x"), torch.OutOfMemoryError("CUDA out of memory")])
@pytest.mark.parametrize("fail_at", [200, 2000])
def test_where_recording_fails_the_run_says_so_once_and_goes_on_eagerly(
    settings, monkeypatch, precision, error, fail_at
):
    sentences = []
    eager = Trainer(settings(), CPU, choose_precision(precision, CPU))
    graph = RecordedOperations(fail_at, error)
    fallen_back = graphed_trainer(settings(), precision, monkeypatch, graph, sentences)
    for step in range(5):
        losses = [trainer.step(step, *faces_of(step)) for trainer in (eager, fallen_back)]
        assert losses[0] == losses[1]
    assert same_state(eager, fallen_back)
    assert len(sentences) == 1
    assert str(error).split("\n")[0] in sentences[0]


def test_a_restored_trainer_records_anew(settings, monkeypatch):
    trainer = graphed_trainer(settings(), "fp32", monkeypatch, RecordedOperations())
    for step in range(4):
        trainer.step(step, *faces_of(step))
    trainer.load_state(trainer.state())
    assert trainer.graphed is None  # on this CPU; on a GPU a new one


def test_a_checkpoint_of_another_device_goes_on_with_this_one_s_layout_and_settings(settings):
    first, second = (Trainer(settings(), CPU, torch.float32) for _ in range(2))
    first.step(0, *faces_of(0))
    state = copy.deepcopy(first.state())
    for name in ("generator_optimiser", "discriminator_optimiser"):
        for group in state[name]["param_groups"]:
            group |= {"capturable": True, "fused": False, "betas": (0.1, 0.2)}
        for moments in state[name]["state"].values():
            for key in ("exp_avg", "exp_avg_sq"):
                if moments[key].dim() == 4:
                    moments[key] = moments[key].contiguous(memory_format=torch.channels_last)
    second.load_state(state)
    for trainer in (first, second):
        trainer.step(1, *faces_of(1))
    assert same_state(first, second)


@pytest.mark.parametrize(("before", "now"), [("fp32", "fp16"), ("bf16", "fp16"), ("fp16", "fp32"), ("fp16", "bf16")])
def test_a_checkpoint_of_another_precision_goes_on(settings, before, now):
    first, second = (Trainer(settings(), CPU, choose_precision(name, CPU)) for name in (before, now))
    first.step(0, *faces_of(0))
    second.load_state(copy.deepcopy(first.state()))
    assert all(map(torch.equal, second.networks.parameters(), first.networks.parameters()))
    assert second.step(1, *faces_of(1))["generator"].isfinite()


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        7,
        {"networks": 7},
        {"networks": {}},
        {"generator_optimiser": {}},
        {"scaler": {"scale": "no"}},
        {"ema": {}},
    ]
    + [{"discriminator_optimiser": {"param_groups": [], "state": {}}}],
)
def test_a_checkpoint_of_something_else_is_refused_by_the_run_s_name(settings, state):
    trainer = Trainer(settings(), CPU, torch.float16)
    content = trainer.state() | state if isinstance(state, dict) and state else state
    with pytest.raises(DragFaceError, match="The checkpoint of the run .*/run does not fit"):
        trainer.load_state(content)


def test_after_a_failure_within_an_update_no_scale_of_it_is_left(settings, monkeypatch):
    """The scaler hands its scale to the optimiser and takes it away only after an update that did not fail."""
    eager = Trainer(settings(), CPU, torch.float16)
    fallen_back = graphed_trainer(settings(), "fp16", monkeypatch, RecordedOperations())
    update, calls = fallen_back.discriminator_optimiser.step, []

    def step():
        calls.append(0)
        if len(calls) == 3:  # while recording
            raise RuntimeError("capture failed")
        return update()

    fallen_back.discriminator_optimiser.step = step
    for number in range(5):
        for trainer in (eager, fallen_back):
            trainer.step(number, *faces_of(number))
    assert fallen_back.graphed.failed
    assert same_state(eager, fallen_back)


def on_gpu(config, precision, steps=200):
    """Generator's and discriminators' losses of each step, and the trainer."""
    device = torch.device("cuda")
    choose_kernels(config.deterministic)
    trainer = Trainer(config, device, choose_precision(precision, device))
    rows = [trainer.step(step, *faces_of(step % 8)) for step in range(steps)]
    return [[row[name].item() for name in ("generator", "discriminator")] for row in rows], trainer


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-3), ("bf16", 2e-2), ("fp16", 2e-2)])
def test_replayed_losses_agree_with_eager_ones_on_a_gpu(settings, precision, bound):
    changes = {"channels": 8, "steps": 200, "deterministic": True, "device": "cuda", "diff_augment": True}
    eager, _ = on_gpu(settings(graph=False, **changes), precision)
    replayed, trainer = on_gpu(settings(**changes), precision)
    assert trainer.graphed.replays == 200 - module.WARM_UP
    for step, (one, other) in enumerate(zip(replayed, eager, strict=True)):
        assert one == pytest.approx(other, rel=bound), step


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_run_stopped_on_a_gpu_ends_as_one_that_was_not(settings, tmp_path, precision):
    """The second part warms up with eager steps where the whole run replays its graph."""
    changes = {"device": "cuda", "deterministic": True, "precision": precision, "steps": 40, "save_every": 20}
    with pytest.MonkeyPatch.context() as patch:
        original = Trainer.step

        def step(self, number, *batches):
            if number == 20:
                raise KeyboardInterrupt
            return original(self, number, *batches)

        patch.setattr(Trainer, "step", step)
        with pytest.raises(KeyboardInterrupt):
            train(settings(**changes), progress=False)
    assert train(settings(**changes), progress=False)
    assert train(settings(run=str(tmp_path / "whole"), **changes), progress=False)
    runs = tmp_path / "run", tmp_path / "whole"
    generators = [(run / "generator.safetensors").read_bytes() for run in runs]
    assert generators[0] == generators[1]
    losses = [[row.get("generator") for row in read_journal(run / "journal.jsonl")] for run in runs]
    assert losses[0][-5:] == losses[1][-5:]


@pytest.mark.gpu
def test_two_runs_in_one_process_do_not_disturb_each_other(settings):
    changes = {"channels": 8, "deterministic": True, "device": "cuda"}
    device = torch.device("cuda")
    alone = [on_gpu(settings(seed=seed, **changes), "bf16", 30)[0] for seed in (1, 2)]
    choose_kernels(True)
    trainers = [Trainer(settings(seed=seed, **changes), device, torch.bfloat16) for seed in (1, 2)]
    rows = [[trainer.step(step, *faces_of(step % 8)) for trainer in trainers] for step in range(30)]
    together = [[[row[n][name].item() for name in ("generator", "discriminator")] for row in rows] for n in (0, 1)]
    assert all(trainer.graphed.replays for trainer in trainers)
    assert trainers[0].graphed.graph.stream != trainers[1].graphed.graph.stream
    assert together == alone


@pytest.mark.gpu
def test_a_wait_for_the_gpu_cannot_be_recorded_and_the_step_then_runs_eagerly(monkeypatch):
    monkeypatch.setattr(module, "WARM_UP", 1)
    sentences = []
    graphed = Graphed(
        lambda inputs: {"sum": inputs[0].sum() * float(inputs[0].max().item())},
        CudaGraph(torch.device("cuda")),
        lambda: None,
        sentences.append,
    )
    graphed.inputs = (torch.ones(3, device="cuda"),)
    for number in range(1, 4):
        assert graphed((torch.full((3,), float(number)),))["sum"].item() == 3 * number**2
    assert len(sentences) == 1
    assert torch.ones(2, device="cuda").sum().item() == 2
