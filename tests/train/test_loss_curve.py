"""The first 20 steps of a tiny run lose what they always lost: whatever is made faster, the curve stays.

A change that is meant to change what is learned writes the curve anew: python tests/train/test_loss_curve.py
"""

import json
import sys
from pathlib import Path

import pytest
import torch

CURVE = Path(__file__).with_name("loss_curve.json")
STEPS = 20


def loss_curve() -> dict[str, list[float]]:
    """Each loss at each step, on faces that are a smooth function of their pixels' places."""
    from dragface_lib.train.config import TrainConfig
    from dragface_lib.train.data import Batch
    from dragface_lib.train.step import Trainer

    settings = {"size": 64, "channels": 4, "blocks": 2, "steps": STEPS, "device": "cpu", "precision": "fp32"}
    config = TrainConfig("", "", cam_weight=1000, gain=1, **settings)
    trainer = Trainer(config, torch.device("cpu"), torch.float32)
    place = torch.linspace(0, 6, 64)
    curve: dict[str, list[float]] = {}
    for step in range(STEPS):
        waves = torch.stack([torch.sin(place[:, None] * (1 + colour) + place[None] + step) for colour in range(3)])
        losses = trainer.step(step, Batch(waves[None]), Batch(waves.flip(0)[None] * 0.8))
        for name, loss in losses.items():
            curve.setdefault(name, []).append(float(f"{loss.item():.7g}"))
    return curve


def test_the_losses_of_twenty_steps_are_those_on_record():
    recorded, found = json.loads(CURVE.read_text()), loss_curve()
    assert found.keys() == recorded.keys()
    for name, losses in recorded.items():
        assert found[name] == pytest.approx(losses, rel=1e-3), name


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    CURVE.write_text(json.dumps(loss_curve(), indent=1) + "\n")
