"""The experiment on wigs compares what it says it compares, and goes on where it was stopped."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from detecting import DETECTOR
from skimage import data

from dragface_lib.crop.align import aligned_face
from dragface_lib.crop.detect import open_detector
from dragface_lib.crop.find import find_faces
from dragface_lib.images import open_photo, save_photo
from dragface_lib.model.generator import Generator
from dragface_lib.model.norms import AdaLIN
from dragface_lib.practice.painting import paint

TOOL = Path(__file__).parents[2] / "tools/wig_experiment.py"


@pytest.fixture(scope="module")
def tool():
    specification = importlib.util.spec_from_file_location("wig_experiment", TOOL)
    module = sys.modules["wig_experiment"] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wig_faces(tmp_path_factory):
    """The astronaut bare and painted, for training, and as a pair to measure on."""
    photo = np.ascontiguousarray(data.astronaut())
    points = find_faces(photo, open_detector(DETECTOR))[0].points
    faces = tmp_path_factory.mktemp("wig_faces")
    for domain, picture in (("selfie", photo), ("drag", paint(photo, points).photo)):
        face = aligned_face(picture, points, 256)
        save_photo(faces / "pairs" / domain / "portrait.png", face)
        save_photo(faces / domain / "train" / "female.jpg", face)
        save_photo(faces / domain / "train" / "other.jpg", face)
    return faces


def rough(generator):
    torch.nn.init.normal_(generator.to_rgb[1].weight, std=0.1)
    return generator.eval()


def test_one_rho_everywhere_is_adalin(tool):
    torch.manual_seed(0)
    features, gamma, beta = torch.randn(2, 8, 16, 16), torch.randn(2, 8), torch.randn(2, 8)
    plain, varying = AdaLIN(8), tool.VaryingAdaLIN(8, 0.9, 0.9)
    torch.testing.assert_close(varying(features, gamma, beta), plain(features, gamma, beta))


def test_two_rhos_are_the_one_on_the_face_and_the_other_outside(tool):
    torch.manual_seed(0)
    features, gamma, beta = torch.randn(1, 8, 64, 64), torch.randn(1, 8), torch.randn(1, 8)
    instance, layer = AdaLIN(8), AdaLIN(8)
    torch.nn.init.ones_(instance.rho)
    torch.nn.init.zeros_(layer.rho)
    mixed = tool.VaryingAdaLIN(8, 1.0, 0.0)(features, gamma, beta)
    torch.testing.assert_close(mixed[..., 32, 32], instance(features, gamma, beta)[..., 32, 32], atol=0.02, rtol=0)
    torch.testing.assert_close(mixed[..., 2, 2], layer(features, gamma, beta)[..., 2, 2], atol=0.02, rtol=0)


def test_masks_weaken_the_change_and_nothing_else(tool):
    torch.manual_seed(0)
    faces = torch.rand(2, 3, 64, 64) - 0.5
    attentive = rough(tool.AttentionMasked(size=64, channels=4, blocks=1))
    full = Generator(size=64, channels=4, blocks=1).eval()
    full.load_state_dict(attentive.state_dict())
    weak, strong = (network(faces).image - faces for network in (attentive, full))
    assert strong.abs().mean() > 0.01
    assert weak.abs().sum() < strong.abs().sum()
    assert ((weak * strong) > -1e-6).all()
    learned = rough(tool.LearnedMask(size=64, channels=4, blocks=1))
    assert learned(faces).image.shape == faces.shape


def test_every_variant_runs_and_is_reported_once(tool, wig_faces, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "STEPS", 2)
    monkeypatch.setattr(tool, "EVERY", 1)
    monkeypatch.setattr(tool, "CHANNELS", 2)
    monkeypatch.setattr(tool, "SEEDS", (0,))
    variants = [replace(variant, selfies=1) if variant.selfies else variant for variant in tool.VARIANTS]
    variants = [replace(variant, people=variant.people and "female") for variant in variants]
    monkeypatch.setattr(tool, "VARIANTS", variants)
    runs, docs = tmp_path / "runs", tmp_path / "docs"
    tool.main(["train", str(wig_faces), str(runs), "--only", *[variant.name for variant in variants[1:]]])
    (runs / "published_0.1.running").touch()  # of process 1, which lives
    tool.main(["train", str(wig_faces), str(runs)])
    assert not (runs / "published_0.npz").exists()
    (runs / "published_0.1.running").rename(runs / "published_0.99999999.running")  # of none
    tool.main(["train", str(wig_faces), str(runs)])
    tool.main(["report", str(wig_faces), str(runs), str(docs)])
    record = json.loads((docs / "results.json").read_text())
    assert record.keys() == {f"{variant.name}_0" for variant in variants}
    for run in record.values():
        assert [row["step"] for row in run["rows"]] == [1, 2]
    # At the start the residual form is the selfie, and the published form a blur.
    assert record["residual_0"]["rows"][0]["background_db"] > 30 > record["published_0"]["rows"][0]["background_db"]
    assert record["women_0"]["selfies"] == record["selfies_50_0"]["selfies"] == 1
    table = (docs / "results.md").read_text().splitlines()
    assert len(table) == len(variants) + 2
    for name in ("faces.jpg", "curves.png"):
        assert open_photo(docs / name).std() > 5

    # What is on record stays when the runs themselves are gone.
    (runs / "face_0.npz").unlink()
    tool.main(["report", str(wig_faces), str(runs), str(docs)])
    assert json.loads((docs / "results.json").read_text()) == record


def test_the_document_shows_what_is_on_record(tool):
    docs = TOOL.parents[1] / "docs/wigs"
    table = tool.table(*tool.summed_up(json.loads((docs / "results.json").read_text())))
    assert (docs / "results.md").read_text() == table + "\n"
    assert table in (docs / "README.md").read_text()
