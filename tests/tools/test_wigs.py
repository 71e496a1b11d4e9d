"""The experiment on wigs compares what it says it compares, and goes on where it was stopped."""

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
from dragface_lib.practice.canvas import Canvas
from dragface_lib.practice.painting import paint

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(ROOT / "tools"))
    import wigs

    sys.path.pop(0)
    return wigs


@pytest.fixture(scope="module")
def astronaut():
    photo = np.ascontiguousarray(data.astronaut())
    return photo, find_faces(photo, open_detector(DETECTOR))[0].points


@pytest.fixture(scope="module")
def wig_faces(tmp_path_factory, astronaut):
    """The astronaut bare and painted, for training, and as a pair to measure on."""
    photo, points = astronaut
    faces = tmp_path_factory.mktemp("wig_faces")
    for domain, picture in (("selfie", photo), ("drag", paint(photo, points).photo)):
        face = aligned_face(picture, points)
        save_photo(faces / "pairs" / domain / "portrait.png", face)
        for name in ("female", "other"):
            save_photo(faces / domain / "train" / f"{name}.jpg", face)
    return faces


def test_a_wig_on_a_stage_changes_the_surroundings_and_not_the_face(tool, astronaut):
    plain = paint(*astronaut, "classic", seed=2)
    dressed, again = (tool.dress(plain, astronaut[1], 2) for _ in range(2))
    change = np.abs(dressed.astype(int) - plain.photo).max(-1)
    assert change[plain.mask > 0.999].max() <= 1
    assert (change[plain.mask == 0] > 10).mean() > 0.4
    assert (again == dressed).all()


def test_hair_belongs_to_the_person_and_a_corner_of_the_photo_does_not(tool, astronaut):
    photo, points = astronaut
    person = tool.person_mask(Canvas.of(photo.astype(np.float32) / 255, points))
    column, row = (int(value) for value in points[139] - [0, 12])
    assert person[row, column] > 0.9
    assert person[:40, :40].max() < 0.1


def test_the_drag_side_wears_wigs_and_the_truth_does_not(tool, portraits, tmp_path, monkeypatch):
    photos, manifest = portraits["astronaut"].parent, tmp_path / "manifest.csv"
    manifest.write_text("id,domain,file,image_url,licence,split,split_group,status\n")
    bare = tool.practice_faces(photos, tmp_path / "bare", manifest, progress=False)
    tool.main(["paint", str(photos), str(tmp_path / "wigs"), str(manifest)])
    for row in bare:
        before, after = (open_photo(tmp_path / folder / row.face).astype(int) for folder in ("bare", "wigs"))
        changed = np.abs(after - before).max(-1) > 20
        assert (changed.mean() > 0.2) == (row.domain == "drag")
        assert not changed[120:160, 100:156].any()


def rough(generator):
    torch.nn.init.normal_(generator.to_rgb[1].weight, std=0.1)
    return generator.eval()


def test_one_rho_everywhere_is_adalin(tool):
    torch.manual_seed(0)
    features, gamma, beta = torch.randn(2, 8, 16, 16), torch.randn(2, 8), torch.randn(2, 8)
    plain, varying = AdaLIN(8), tool.VaryingAdaLIN(8, 0.9, 0.9)
    torch.testing.assert_close(varying(features, gamma, beta), plain(features, gamma, beta))


def test_two_rhos_are_one_on_the_face_and_another_outside(tool):
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
    learned = rough(tool.LearnedMask(size=64, channels=4, blocks=1))
    for masked in (attentive, learned):
        full = Generator(size=64, channels=4, blocks=1).eval()
        state = masked.state_dict()
        full.load_state_dict(state | {"to_rgb.1.weight": state["to_rgb.1.weight"][:3]})
        weak, strong = (network(faces).image - faces for network in (masked, full))
        assert strong.abs().mean() > 0.01
        assert weak.abs().sum() < strong.abs().sum()
        assert ((weak * strong) > -1e-6).all()


def test_every_variant_runs_once_and_is_reported(tool, wig_faces, tmp_path, monkeypatch):
    for name, value in {"STEPS": 2, "EVERY": 1, "CHANNELS": 2, "SEEDS": (0,)}.items():
        monkeypatch.setattr(tool, name, value)
    variants = [replace(variant, people=variant.people and "female") for variant in tool.VARIANTS]
    monkeypatch.setattr(tool, "VARIANTS", variants)
    runs, docs = tmp_path / "runs", tmp_path / "docs"
    tool.main(["train", str(wig_faces), str(runs), "--only", "published", "residual"])
    assert {path.stem for path in runs.glob("*.json")} == {"published_0", "residual_0"}
    before = (runs / "residual_0.json").stat().st_mtime_ns
    tool.main(["train", str(wig_faces), str(runs)])
    assert (runs / "residual_0.json").stat().st_mtime_ns == before
    tool.main(["report", str(runs), str(docs)])
    record = json.loads((docs / "results.json").read_text())
    assert record.keys() == {f"{variant.name}_0" for variant in variants}
    assert all(len(values) == 2 for run in record.values() for values in run.values())
    # At the start the residual form is the selfie, and the published form a blur.
    assert record["residual_0"]["outside"][0] > 30 > record["published_0"]["outside"][0]
    assert len((docs / "results.md").read_text().splitlines()) == len(variants) + 2
    for name in ("faces.jpg", "curves.png"):
        assert open_photo(docs / name).std() > 5

    # What is on record stays when the runs themselves are gone.
    (runs / "face_0.json").unlink()
    tool.main(["report", str(runs), str(docs)])
    assert json.loads((docs / "results.json").read_text()) == record


def test_a_variant_is_trained_on_its_selfies(tool, wig_faces):
    selfies = tool.FaceSet(wig_faces, "selfie", "train", 64, tool.MaskCache(wig_faces))
    women = tool.chosen(selfies, tool.Variant("women", "", people="female"))
    first = tool.chosen(selfies, tool.Variant("first", "", selfies=1))
    assert (women.names, len(women.images), len(women.masks)) == (["female.jpg"], 1, 1)
    assert first.names == selfies.names[:1]


def test_the_document_shows_what_is_on_record(tool):
    docs = ROOT / "docs" / "wigs"
    table = tool.table(json.loads((docs / "results.json").read_text()))
    assert (docs / "results.md").read_text() == table + "\n"
    assert table in (docs / "README.md").read_text()
