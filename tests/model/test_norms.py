"""AdaLIN and LIN follow the paper's formula, gradients included; rho is clipped; spectral norms normalise."""

import pytest
import torch
from reference_generator import adalin
from torch import nn

from dragface_lib.model.norms import LIN, AdaLIN, clip_rho, instance_norm
from dragface_lib.model.spectral import SpectralConv2d, SpectralLinear, spectral_factors


def random_features(seed=0, shape=(2, 6, 5, 7)):
    torch.manual_seed(seed)
    scales = torch.linspace(0.1, 4, shape[1])[None, :, None, None]
    return torch.randn(shape) * scales + torch.randn(shape[0], shape[1], 1, 1) * 2


def gradients(output, wanted):
    weight = torch.linspace(-1, 1, output.numel()).view_as(output)
    return torch.autograd.grad((output * weight).sum(), wanted)


def test_adalin_is_the_formula_with_unbiased_variance_and_so_are_its_gradients():
    features = random_features().requires_grad_()
    gamma, beta = torch.randn(2, 6, requires_grad=True), torch.randn(2, 6, requires_grad=True)
    norm = AdaLIN(6)
    torch.nn.init.uniform_(norm.rho)
    plain = adalin(features, norm.rho[None, :, None, None], gamma[:, :, None, None], beta[:, :, None, None])
    mine = norm(features, gamma, beta)
    torch.testing.assert_close(mine, plain, atol=1e-5, rtol=1e-5)
    wanted = (features, gamma, beta, norm.rho)
    for one, other in zip(gradients(mine, wanted), gradients(plain, wanted), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_lin_is_the_formula_with_unbiased_variance_and_so_are_its_gradients():
    features = random_features(1).requires_grad_()
    norm = LIN(6)
    for parameter in norm.parameters():
        torch.nn.init.uniform_(parameter)
    parts = [parameter[None, :, None, None] for parameter in (norm.rho, norm.gamma, norm.beta)]
    mine, plain = norm(features), adalin(features, *parts)
    torch.testing.assert_close(mine, plain, atol=1e-5, rtol=1e-5)
    wanted = (features, *norm.parameters())
    for one, other in zip(gradients(mine, wanted), gradients(plain, wanted), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_the_variance_is_the_unbiased_one():
    features = torch.tensor([[[[-1.0, 1.0]]]])  # unbiased variance 2, biased 1
    normalised = AdaLIN(1)(features, torch.ones(1, 1), torch.zeros(1, 1))
    assert normalised.abs().max().item() == pytest.approx(2**-0.5, abs=1e-4)


def test_rho_begins_as_in_the_port():
    assert torch.equal(AdaLIN(3).rho, torch.full((3,), 0.9))
    assert torch.equal(LIN(3).rho, torch.zeros(3))


def test_rho_one_is_instance_norm_and_rho_zero_is_layer_norm():
    features, norm = random_features(2), AdaLIN(6)
    one, zero = torch.ones(2, 6), torch.zeros(2, 6)
    norm.rho.data.fill_(1)
    assert norm(features, one, zero).mean((2, 3)).abs().max() < 1e-5
    norm.rho.data.fill_(0)
    by_layer = norm(features, one, zero)
    assert by_layer.mean((1, 2, 3)).abs().max() < 1e-5
    assert by_layer.mean((2, 3)).abs().max() > 0.1


def test_statistics_are_taken_in_full_precision():
    features = (random_features(3) + 300).to(torch.bfloat16)
    out = AdaLIN(6)(features, torch.ones(2, 6), torch.zeros(2, 6))
    assert out.dtype == torch.bfloat16
    assert torch.isfinite(out).all()


def test_a_flat_picture_gives_no_infinities():
    features = torch.full((1, 3, 4, 4), 5.0, requires_grad=True)
    out = AdaLIN(3)(features, torch.ones(1, 3), torch.zeros(1, 3))
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(features.grad).all()


def test_rho_is_clipped_to_the_unit_interval_and_nothing_else_is():
    network = nn.ModuleDict({"ada": AdaLIN(3), "layer": LIN(3)})
    for parameter in network.parameters():
        parameter.data = torch.tensor([-0.5, 0.25, 7.0])
    clip_rho(network)
    assert network["ada"].rho.tolist() == network["layer"].rho.tolist() == [0.0, 0.25, 1.0]
    assert network["layer"].gamma.tolist() == network["layer"].beta.tolist() == [-0.5, 0.25, 7.0]


@pytest.fixture(params=["as usual", "channels last"])
def layer(request):
    torch.manual_seed(0)
    layer = SpectralConv2d(5, 8, 4)
    return layer.to(memory_format=torch.channels_last) if request.param == "channels last" else layer


def normalised(layer, features):
    """What the layer returns for the features, with one power iteration in training mode."""
    return layer(features, *spectral_factors([layer], 1.0)[0])


def effective_weight(layer):
    """The kernel with which the layer convolves; asking for it is one pass."""
    positions = torch.eye(5 * 16).reshape(-1, 5, 4, 4)
    bias = 0 if layer.bias is None else layer.bias[:, None, None]
    return (normalised(layer, positions) - bias).squeeze().t().reshape(layer.weight.shape)


def largest_singular_value(weight):
    return torch.linalg.matrix_norm(weight.detach().flatten(1), ord=2).item()


def test_spectral_norm_brings_the_largest_singular_value_to_one(layer):
    for _ in range(100):
        weight = effective_weight(layer)
    assert largest_singular_value(weight) == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(weight, layer.weight / largest_singular_value(layer.weight), atol=1e-3, rtol=1e-3)


def test_spectral_norm_iterates_once_a_pass_in_training_and_never_in_evaluation(layer):
    sigma = layer.sigma
    rows = layer.weight.detach().movedim(1, -1).flatten(1)
    v = nn.functional.normalize(rows.t() @ sigma.u, dim=0)
    u = nn.functional.normalize(rows @ v, dim=0)
    expected = layer.weight / (u @ rows @ v)
    torch.testing.assert_close(effective_weight(layer), expected)
    torch.testing.assert_close(sigma.u, u)
    layer.eval()
    before = sigma.u.clone(), sigma.v.clone()
    torch.testing.assert_close(effective_weight(layer), expected)
    assert torch.equal(sigma.u, before[0])
    assert torch.equal(sigma.v, before[1])


def test_spectral_norm_has_the_outputs_and_gradients_of_torchs_own(layer):
    """Of torch.nn.utils.parametrizations.spectral_norm, after as many iterations."""
    theirs = nn.Conv2d(5, 8, 4)
    theirs.load_state_dict({"weight": layer.weight.detach(), "bias": layer.bias.detach()})
    theirs = nn.utils.parametrizations.spectral_norm(theirs)
    for _ in range(200):  # both begin with vectors of their own
        normalised(layer, torch.zeros(1, 5, 4, 4)), theirs(torch.zeros(1, 5, 4, 4))
    faces = torch.randn(2, 5, 9, 9)
    outputs = normalised(layer, faces), theirs(faces)
    torch.testing.assert_close(*outputs, atol=1e-4, rtol=1e-4)
    for output in outputs:
        output.square().sum().backward()
    original = theirs.parametrizations.weight.original
    torch.testing.assert_close(layer.weight.grad, original.grad, atol=1e-2, rtol=1e-3)
    torch.testing.assert_close(layer.bias.grad, theirs.bias.grad, atol=1e-3, rtol=1e-3)


def test_a_linear_layer_is_normalised_too():
    torch.manual_seed(0)
    layer, features = SpectralLinear(6, 1), torch.randn(3, 6)
    for _ in range(3):
        judged = normalised(layer, features)
    torch.testing.assert_close(judged, features @ (layer.weight / layer.weight.norm()).t())


def test_two_passes_before_backward_do_not_disturb_each_other(layer):
    faces = torch.randn(1, 5, 8, 8)
    loss = sum(normalised(layer, faces).square().sum() for _ in range(2))
    loss.backward()  # fails when a later power iteration changes in place what backward needs
    assert layer.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_is_that_of_torch_and_keeps_layout_and_precision(layout):
    features = random_features(4).to(memory_format=layout).requires_grad_()
    mine, plain = instance_norm(features), nn.functional.instance_norm(features)
    torch.testing.assert_close(mine, plain, atol=1e-5, rtol=1e-5)
    assert mine.is_contiguous(memory_format=layout)
    torch.testing.assert_close(*(gradients(out, features) for out in (mine, plain)), atol=1e-4, rtol=1e-4)
    assert instance_norm(features.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(("precision", "epsilon"), [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
def test_instance_norm_in_half_precision_is_off_by_no_more_than_it_says(precision, epsilon):
    features = (random_features(5, (2, 6, 16, 16)) + 3).to(precision)
    exact = nn.functional.instance_norm(features.double())
    ratio = features.double().mean((2, 3)).abs() / features.double().std((2, 3))
    allowed = epsilon * (ratio + exact.abs().amax((2, 3)))
    assert ((instance_norm(features).double() - exact).abs().amax((2, 3)) <= 2 * allowed).all()
