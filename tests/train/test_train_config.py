"""Settings of a run: checked by name, written and read back; the learning rate is a pure function of the step."""

import json

import pytest
import torch

from dragface_lib.devices import choose_device, choose_precision
from dragface_lib.errors import DragFaceError
from dragface_lib.train import TrainConfig
from dragface_lib.train.config import learning_rate


def test_the_learning_rate_is_constant_to_the_half_and_then_falls_straight_to_zero():
    assert [learning_rate(step, 8, 1.0) for step in range(9)] == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]
    assert [learning_rate(step, 1, 0.5) for step in (0, 1, 2)] == [0.5, 0, 0]
    assert learning_rate(224_999, 300_000, 1e-4) == pytest.approx(1e-4 * 75_001 / 150_000)
    assert learning_rate(10**9, 300_000, 1e-4) == 0


def test_the_defaults_are_the_published_ones():
    config = TrainConfig(faces="f", run="r")
    assert (config.lr, config.beta1, config.beta2, config.weight_decay) == (1e-4, 0.5, 0.999, 1e-4)
    assert (config.size, config.channels, config.blocks, config.batch) == (256, 64, 4, 1)


def test_each_form_has_a_balance_of_its_own_unless_told_otherwise():
    def balance(**settings):
        config = TrainConfig(faces="f", run="r", **settings)
        return config.cam_loss_weight, config.discriminator_gain

    assert balance(form="published") == (1000, 1)
    assert balance() == balance(form="residual") == (10, 2)
    assert balance(cam_weight=100.0) == (100, 2)
    assert balance(form="published", gain=1.5) == (1000, 1.5)


@pytest.mark.parametrize(
    "wrong",
    [{"size": 65}, {"size": 32}, {"steps": 0}, {"batch": 0}, {"channels": 0}, {"blocks": 17}, {"lr": 0.0}]
    + [{"gain": 0.0}, {"cam_weight": -2.0}]
    + [{"lr": -1.0}, {"form": "other"}, {"precision": "fp8"}, {"save_every": 0}, {"log_every": -1}],
)
def test_a_setting_out_of_range_is_refused_by_name(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(DragFaceError, match=f"^{name} is {value!r}: use"):
        TrainConfig(faces="f", run="r", **wrong)


def test_a_configuration_is_written_and_read_back(tmp_path):
    config = TrainConfig(faces="faces", run=str(tmp_path), steps=7, form="published", look="glam")
    config.save()
    assert TrainConfig.load(tmp_path) == config
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | {"setting_of_a_later_version": 1}))
    assert TrainConfig.load(tmp_path) == config


@pytest.mark.parametrize("content", [None, "", "{", "[1, 2]", "{}", '{"faces": "f", "run": "r", "steps": "many"}'])
def test_a_damaged_configuration_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(DragFaceError, match=r"config\.json"):
        TrainConfig.load(tmp_path)


def test_devices_and_precisions():
    cpu = choose_device("cpu")
    assert cpu.type == "cpu"
    assert choose_precision("auto", cpu) == torch.float32
    assert choose_precision("bf16", cpu) == torch.bfloat16
    assert choose_precision("fp16", cpu) == torch.float16
    with pytest.raises(DragFaceError, match="abacus"):
        choose_device("abacus")
    for known_to_torch_alone in ("meta", "xla", "vulkan"):
        with pytest.raises(DragFaceError, match="use auto, cuda, mps or cpu"):
            choose_device(known_to_torch_alone)


def test_a_missing_gpu_is_said_to_be_missing(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type in ("cpu", "mps")
    with pytest.raises(DragFaceError, match="--device cpu"):
        choose_device("cuda")
