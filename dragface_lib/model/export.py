"""Take a generator away: as ONNX, for other programs, phones and browsers, or as .safetensors, for this project.

    python -m dragface_lib export runs/mine/generator.safetensors -o drag.onnx --half

The ONNX file has one input and three outputs, float32 also where the weights are halves:

    faces       (batch, 3, size, size)        RGB in -1..1, cut out and aligned as in crop/align.py
    image       (batch, 3, size, size)        the drag, in -1..1
    cam_logits  (batch, 2)                    how surely the generator takes the face for a bare one, by two poolings
    attention   (batch, 1, size/4, size/4)    where it looks, 0 or more
"""

from __future__ import annotations

import copy
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..crop.align import ALIGNMENT
from ..errors import DragFaceError
from ..files import write_atomically
from .generator import Generator, Translation
from .weights import ARCHITECTURE, save_generator

OPSET, FORMAT_OF_2022 = 18, 8  # read by onnxruntime from 1.14 on, its builds for browsers and phones, TensorRT from 8.6
MAX_ONNX_BYTES = 2**31  # bytes of an ONNX file
FACES = f"RGB in -1..1; {ALIGNMENT} means pupils level, 0.25 of the width apart and at 0.46 of the height"
INTENDED_USE = (
    "Paints drag make-up onto the face of someone who said yes to it. Not for passing a picture off as a photograph, "
    "for recognising people, or for giving anybody another person's face."
)


def export(generator: Generator, path: str | Path, half: bool = False) -> int:
    """Write a generator as .onnx or .safetensors, whichever the suffix says. Returns the bytes of the file.

    half: weights as fp16 in about half the bytes; what is computed with them stays fp32, so that every runtime gives
    the same picture. Both kinds carry what the generator's file said of itself (look, licence, alignment …) and what it
    is meant for. Raises DragFaceError for another suffix, a file that cannot be written, a generator too large for
    ONNX, or where the packages onnx and onnxscript are missing.
    """
    path = Path(path)
    metadata = {name: value for name, value in generator.metadata.items() if name not in {*ARCHITECTURE, "format"}}
    metadata["intended_use"] = INTENDED_USE
    if path.suffix.lower() == ".safetensors":
        save_generator(generator, path, metadata, half)
    elif path.suffix.lower() == ".onnx":
        write_atomically(path, _onnx_bytes(generator, metadata, half))
    else:
        raise DragFaceError(f"{path} ends neither in .onnx nor in .safetensors: end its name in one of them.")
    return path.stat().st_size


def _onnx_bytes(generator: Generator, metadata: dict[str, str], half: bool) -> bytes:
    try:
        import onnxscript.optimizer
    except ImportError:
        raise DragFaceError("ONNX needs two more packages: pip install onnx onnxscript, and export again.") from None
    if sum(weight.numel() for weight in generator.parameters()) * (2 if half else 4) >= MAX_ONNX_BYTES:
        raise DragFaceError("This generator is too large for one ONNX file: use --half, or export it as .safetensors.")
    if half:  # rounded before anything is computed from them, so that both kinds of file hold the same weights
        generator = copy.deepcopy(generator).half().float()
    faces = torch.zeros(2, 3, generator.size, generator.size, device=next(generator.parameters()).device)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # its warnings are meant for its own developers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            generator.eval(),
            (faces,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["faces"],
            output_names=Translation._fields,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
        # Kernels that are computed from weights become weights, however large: not every runtime does that by itself.
        program.model = onnxscript.optimizer.optimize(
            program.model, input_size_limit=MAX_ONNX_BYTES, output_size_limit=MAX_ONNX_BYTES
        )
    model = program.model_proto
    model.ir_version = FORMAT_OF_2022  # newer ones add nothing but notes for debugging, such as this machine's paths
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
    if half:
        _halve(graph)
    described = {name: str(getattr(generator, name)) for name in ARCHITECTURE} | metadata | {"faces": FACES}
    for name, value in sorted(described.items()):
        model.metadata_props.add(key=name, value=value)
    return model.SerializeToString(deterministic=True)


def _halve(graph: Any) -> None:
    """Store as fp16 what loses nothing by it, each with a cast back to fp32 before its first use."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or not tensor.dims:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        if np.array_equal(halves, values):
            tensor.CopyFrom(numpy_helper.from_array(halves, f"{name}.half"))
            casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
