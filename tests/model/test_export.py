"""A generator that is taken away paints, in another program, what it painted here."""

import os
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from skimage import data
from torchvision.transforms.v2 import functional as TF

from dragface_lib.__main__ import main
from dragface_lib.errors import DragFaceError
from dragface_lib.model import Generator, load_generator, save_generator
from dragface_lib.model.export import export

TOLD = {
    "direction": "selfie_to_drag",
    "look": "neon",
    "licence": "CC0 1.0",
    "steps": "7",
    "alignment": "eyes-0.25-0.46",
}


@pytest.fixture(scope="module", params=["residual-light", "published-full-half"])
def source(request, tmp_path_factory):
    """The file of an untrained generator of 64 px that changes faces visibly: each architecture once."""
    form, kind, *_ = request.param.split("-")
    torch.manual_seed(0)
    generator = Generator(64, 4, 1, light=kind == "light", form=form).eval()
    generator.to_rgb[1].weight.data.mul_(60 if form == "residual" else 1)
    path = tmp_path_factory.mktemp("export") / f"{request.param}.safetensors"
    save_generator(generator, path, TOLD)
    return path


@pytest.fixture(scope="module")
def exported(source):
    """What the command made of it, the full architecture in half precision: {suffix: path}."""
    half = ["--half"] if "half" in source.name else []
    paths = {suffix: source.with_name(f"exported{suffix.upper()}") for suffix in (".onnx", ".safetensors")}
    for path in paths.values():
        assert main(["export", str(source), "-o", str(path), *half]) == 0
    return paths


@pytest.fixture(scope="module")
def faces():
    """(3, 3, 64, 64) float32 in -1..1: the astronaut's face, the same shifted, and mirrored."""
    photo = torch.from_numpy(data.astronaut().copy()).permute(2, 0, 1)
    pictures = [photo[:, 0:224, 112:336], photo[:, 20:276, 90:346], photo[:, 20:276, 90:346].flip(-1)]
    return (torch.stack([TF.resize(one, [64, 64], antialias=True) for one in pictures]) / 127.5 - 1).numpy()


def test_onnxruntime_paints_what_the_pytorch_generator_paints(exported, faces):
    session = onnxruntime.InferenceSession(exported[".onnx"], providers=["CPUExecutionProvider"])
    assert [(one.name, one.shape, one.type) for one in session.get_inputs()] == [
        ("faces", ["batch", 3, 64, 64], "tensor(float)")
    ]
    assert [one.name for one in session.get_outputs()] == ["image", "cam_logits", "attention"]
    reference = load_generator(exported[".safetensors"])
    for batch in (faces[:1], faces):  # any number of faces at once
        with torch.inference_mode():
            expected = reference(torch.from_numpy(batch))
        for name, found, wanted in zip(expected._fields, session.run(None, {"faces": batch}), expected, strict=True):
            assert found.shape == wanted.shape
            assert np.abs(found - wanted.numpy()).max() < 1e-4 * max(1, wanted.abs().max()), name
        assert np.abs(expected.image.numpy() - batch).max() > 0.1


def test_half_precision_takes_about_half_the_bytes_and_hardly_changes_the_picture(source, exported, faces):
    files = {suffix: path.stat().st_size / source.stat().st_size for suffix, path in exported.items()}
    weights = [
        np.prod(t.dims) * (2 if t.data_type == onnx.TensorProto.FLOAT16 else 4)
        for t in onnx.load(exported[".onnx"]).graph.initializer
    ]
    share = sum(weights) / sum(4 * tensor.numel() for tensor in load_file(source).values())
    with torch.inference_mode():
        pictures = [load_generator(path)(torch.from_numpy(faces)).image for path in (source, exported[".safetensors"])]
    moved = (pictures[0] - pictures[1]).abs().mean()
    if "half" in source.name:
        assert files[".safetensors"] < 0.6
        assert share < 0.6
        assert 0 < moved < 1e-3
    else:
        assert files[".safetensors"] == pytest.approx(1, abs=0.1)
        assert share < 1.2
        assert moved == 0


def test_files_say_what_they_are_and_nothing_of_this_machine(exported, tmp_path):
    for suffix, path in exported.items():
        if suffix == ".onnx":
            model = onnx.load(path)
            onnx.checker.check_model(model, full_check=True)
            assert (model.opset_import[0].version, model.ir_version) == (18, 8)
            told = {entry.key: entry.value for entry in model.metadata_props}
            assert "-1..1" in told["faces"]
        else:
            told = load_generator(path).metadata
        assert told.items() >= TOLD.items()
        assert "said yes" in told["intended_use"]
        content = path.read_bytes()
        for private in (os.getcwd(), sys.prefix, "dragface_lib/"):
            assert private.encode() not in content


def test_what_was_exported_can_be_exported_again(source, exported, tmp_path):
    generator, half = load_generator(exported[".safetensors"]), "half" in source.name
    assert export(generator, tmp_path / "again.safetensors", half) == exported[".safetensors"].stat().st_size
    assert (tmp_path / "again.safetensors").read_bytes() == exported[".safetensors"].read_bytes()


def test_another_suffix_and_missing_packages_are_one_sentence(tmp_path, monkeypatch, capsys):
    assert main(["export", "-o", str(tmp_path / "drag.tflite")]) == 2
    assert "drag.tflite ends neither in .onnx nor in .safetensors" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(DragFaceError, match="pip install onnx onnxscript"):
        export(Generator(64, 4, 1), tmp_path / "drag.onnx")
    assert not list(tmp_path.iterdir())


def test_a_generator_too_large_for_onnx_is_one_sentence(tmp_path):
    with torch.device("meta"):
        generator = Generator(512, 64, light=False)
    with pytest.raises(DragFaceError, match="too large for one ONNX file"):
        export(generator, tmp_path / "drag.onnx", half=True)
