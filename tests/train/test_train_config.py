"""Settings of a run: checked by name, written and read back; the learning rate is a pure function of the step."""

import errno
import json
import re
from dataclasses import fields, replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from dragface_lib import files
from dragface_lib.devices import choose_device, choose_precision
from dragface_lib.errors import DragFaceError
from dragface_lib.manifest import DOMAINS
from dragface_lib.train import TrainConfig
from dragface_lib.train.config import NOTED, REFUSED, SILENT, changes_since, facts_in, facts_of, learning_rate


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
    + [{"lr": -1.0}, {"form": "other"}, {"precision": "fp8"}, {"save_every": 0}, {"log_every": -1}]
    + [
        {"channels": 1.5},
        {"steps": True},
        {"light": "no"},
        {"light": 1},
        {"lr": "0.1"},
        {"batch": None},
        {"scratch": 7},
    ]
    + [{"form": ["residual"]}, {"cam_weight": float("nan")}, {"beta1": 1.0}, {"weight_decay": -1.0}, {"lr": 10**400}]
    + [{"look": "a\nb"}, {"licence": "\x1b[2J"}, {"look": "\ud800"}],
)
def test_a_setting_out_of_range_is_refused_by_name(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(DragFaceError, match="^" + re.escape(f"{name} is {value!r}: use")):
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


@pytest.mark.parametrize(
    "hand",
    [{"steps": None}, {"light": "no"}, {"channels": 1.5}, {"cam_weight": "10"}, {"size": [64]}, {"licence": {}}]
    + [{"lr": float("nan")}, {"form": None}, {"batch": "two"}],
)
def test_a_configuration_edited_by_hand_is_refused_by_file_and_name(tmp_path, hand):
    TrainConfig(faces="faces", run=str(tmp_path)).save()
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | hand))
    with pytest.raises(DragFaceError, match=rf"config\.json .*{next(iter(hand))} is"):
        TrainConfig.load(tmp_path)


def test_a_configuration_that_cannot_be_read_now_is_not_said_to_be_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "RETRY_AFTER", ())
    TrainConfig(faces="faces", run=str(tmp_path)).save()
    monkeypatch.setattr(Path, "read_bytes", Mock(side_effect=OSError(errno.EIO, "Input/output error")))
    with pytest.raises(files.Unavailable, match=r"config\.json cannot be read now"):
        TrainConfig.load(tmp_path)


def test_two_point_zero_is_two(tmp_path):
    (tmp_path / "config.json").write_text('{"faces": "f", "steps": 2.0, "channels": 8.0, "lr": 1, "gain": null}')
    config = TrainConfig.load(tmp_path)
    assert (config.steps, config.channels, config.lr, config.gain) == (2, 8, 1, None)
    assert type(config.steps) is int


@pytest.mark.parametrize("content", ["[" * 100_000, '{"steps": ' + "9" * 5000 + "}", "\ufeff{}", "7"])
def test_a_crafted_configuration_is_a_sentence(tmp_path, content):
    (tmp_path / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(DragFaceError, match=r"config\.json is not a run's configuration"):
        TrainConfig.load(tmp_path)


def test_nothing_in_a_file_says_where_to_write_or_for_how_long(tmp_path):
    config = TrainConfig("f", str(tmp_path), scratch=str(tmp_path / "s"), device="cpu", session_minutes=5.0)
    (tmp_path / "s").mkdir()
    config.save()
    written = json.loads((tmp_path / "s/config.json").read_text())
    assert not written.keys() & {"run", "scratch", "device", "session_minutes"}
    hostile = {"run": "/etc", "scratch": "/etc", "device": "abacus", "session_minutes": -1}
    (tmp_path / "config.json").write_text(json.dumps(written | hostile))
    assert TrainConfig.load(tmp_path) == replace(config, scratch="", device="auto", session_minutes=0.0)


def test_one_table_says_what_each_setting_and_fact_may_do_between_two_parts_of_a_run():
    known = [field.name for field in fields(TrainConfig)] + ["processes", "threads", "torch", "python"]
    known += [f"The faces in {domain}/train" for domain in DOMAINS]
    assert sorted(REFUSED + NOTED + SILENT) == sorted(known)
    now = facts_of(TrainConfig("f", "r"), torch.device("cpu"), torch.float32)
    assert now.keys() == set(REFUSED + NOTED) - {f"The faces in {domain}/train" for domain in DOMAINS}
    for name in REFUSED:
        with pytest.raises(DragFaceError, match=f"r was trained with {name} other, not"):
            changes_since(now | {name: "other"}, now, "r")
    assert changes_since(now | dict.fromkeys(SILENT, "other"), now, "r") == []
    saved = now | {"precision": "torch.float16", "processes": 2, "device": "cuda", "lr": torch.zeros(2)}
    assert len(changes_since(saved, now, "r")) == 4


@pytest.mark.parametrize("checkpoint", [{}, {"facts": None}, {"facts": [1]}])
def test_a_checkpoint_without_facts_is_a_sentence(checkpoint):
    with pytest.raises(DragFaceError, match="of the run r does not say"):
        facts_in(checkpoint, "r")


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
