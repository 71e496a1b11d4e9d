"""What this machine computes on, and how exactly: a GPU where there is one, and the precision that suits it."""

from __future__ import annotations

import sys
from typing import Literal

import torch

from .errors import DragFaceError

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def choose_device(name: str) -> torch.device:
    """The device to compute on; "auto" takes CUDA, then Apple's MPS, then the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cuda", "mps", "cpu"):
        raise DragFaceError(f"The device {name!r} is unknown: use auto, cuda, mps or cpu.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DragFaceError("There is no Apple GPU here: use --device cpu.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DragFaceError(
            "There is no CUDA GPU here: use --device cpu, or switch the GPU on in Colab's Runtime menu."
        )
    return device


def choose_precision(name: Precision, device: torch.device) -> torch.dtype:
    """The dtype of autocast. "auto": bf16 where the GPU has it (not emulated), else fp16; fp32 on a CPU."""
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory so far, in MiB: the GPU's as torch reserved it, the process's own on a CPU."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_reserved(device) / 2**20, 1)
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
