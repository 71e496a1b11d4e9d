"""Reflection padding is PyTorch's, value for value and gradient for gradient, in any layout and precision."""

import pytest
import torch
from torch.nn import functional as F

from dragface_lib.model.norms import ReflectionPad, folded, padded


def features(layout=torch.contiguous_format, dtype=torch.float32):
    torch.manual_seed(0)
    return torch.randn(2, 3, 9, 7).to(dtype, memory_format=layout).requires_grad_()


@pytest.mark.parametrize(("padding", "mode"), [(1, "reflect"), (3, "reflect"), (1, "replicate")])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_those_of_pytorch(padding, mode, layout):
    ours, theirs = features(layout), features(layout)
    found, expected = padded(ours, padding, mode), F.pad(theirs, [padding] * 4, mode=mode)
    assert torch.equal(found, expected)
    weight = torch.randn_like(found)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    again = folded(folded(weight, padding, 2, mode), padding, 3, mode)  # the deterministic way
    torch.testing.assert_close(again, theirs.grad)


def test_autocast_leaves_the_precision_alone():
    with torch.autocast("cpu", torch.bfloat16):
        assert ReflectionPad(1)(features(dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_nothing_is_kept_for_the_gradient():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.shape), lambda shape: shape):
        ReflectionPad(1)(features() * 1.0)
    assert torch.Size([2, 3, 9, 7]) not in kept
