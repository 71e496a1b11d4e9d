"""The discriminators: published sizes at 256 px, and maps that never vanish at any size."""

import pytest
import torch
from torch.nn import functional as F

from dragface_lib.model.discriminator import GLOBAL_LAYERS, LOCAL_LAYERS, Discriminator, global_layers
from dragface_lib.model.generator import SIZES


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_discriminators_have_the_published_numbers_of_parameters():
    assert parameters(Discriminator(64, GLOBAL_LAYERS)) == 53_130_176
    assert parameters(Discriminator(64, LOCAL_LAYERS)) == 3_290_560


def test_the_global_discriminator_has_its_published_depth_at_256_pixels():
    assert global_layers(256) == 7
    assert global_layers(512) == 7
    assert LOCAL_LAYERS == 5


@pytest.mark.parametrize("size", sorted({*SIZES[::16], 92, 96, 188, 192, SIZES[-1]}))
def test_no_map_vanishes_at_any_size(size):
    judged = Discriminator(1, global_layers(size))(torch.zeros(1, 3, size, size))
    assert min(judged.logits.shape[2:]) >= 1
    assert judged.cam_logits.shape == (1, 2)
    if global_layers(size) < GLOBAL_LAYERS:  # one layer more would not have fitted
        assert size >> (global_layers(size) - 1) < 3


def test_a_patch_of_the_local_discriminator_is_smaller_than_the_global_ones():
    faces = torch.zeros(1, 3, 256, 256)
    local, whole = (Discriminator(1, layers)(faces).logits for layers in (LOCAL_LAYERS, GLOBAL_LAYERS))
    assert local.shape == (1, 1, 30, 30)
    assert whole.shape == (1, 1, 6, 6)


def normalised(layer, gain):
    """The layer's weight over u^T W v, W being the weight as a matrix."""
    return layer.weight * gain / (layer.sigma.u @ layer.weight.flatten(1) @ layer.sigma.v)


@pytest.mark.parametrize("gain", [1, 2])
def test_forward_follows_the_port_layer_by_layer_with_every_kernel_times_the_gain(faces, gain):
    torch.manual_seed(0)
    network, x = Discriminator(3, 5, gain), faces(64)
    for _ in range(5):
        network(x)  # so that the sigmas are near their values
    network.eval()
    judged = network(x)
    for layer, stride in zip(network.layers, (2, 2, 2, 1), strict=True):
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        x = F.leaky_relu(F.conv2d(padded, normalised(layer[1], gain), layer[1].bias, stride), 0.2)
    average, maximum = network.cam_average, network.cam_maximum
    of_average, of_maximum = normalised(average, gain), normalised(maximum, gain)
    logits = torch.cat([x.mean((2, 3)) @ of_average.t(), x.amax((2, 3)) @ of_maximum.t()], 1)
    # The port weights the features by the CAM weights before their spectral normalisation.
    raw = [layer.weight[:, :, None, None] for layer in (average, maximum)]
    x = F.leaky_relu(network.cam_mix(torch.cat([x * raw[0], x * raw[1]], 1)), 0.2)
    plain = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), normalised(network.head[1], gain))
    torch.testing.assert_close(judged.cam_logits, logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(judged.attention, x.sum(1, keepdim=True), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(judged.logits, plain, atol=1e-5, rtol=1e-4)
