"""The generator is the published one: same sizes, same numbers; the residual form begins as the identity."""

import pytest
import torch
from reference_generator import trained_reference
from torch.nn import functional as F

from dragface_lib.errors import DragFaceError
from dragface_lib.model import Generator, load_generator
from dragface_lib.model.generator import convolved_when_doubled

DIRECTIONS = {"selfie_to_drag": "genA2B", "drag_to_selfie": "genB2A"}


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def save_port_checkpoint(path, **architecture):
    """A file as UGATIT-pytorch writes it, and its two generators."""
    generators = {entry: trained_reference(seed, **architecture) for seed, entry in enumerate(DIRECTIONS.values())}
    content = {entry: network.state_dict() for entry, network in generators.items()}
    torch.save(content | {"disGA": {"conv1x1.bias": torch.zeros(4)}, "disLB": {}}, path)
    return generators


def assert_same(loaded, reference, faces):
    with torch.no_grad():
        for mine, published in zip(loaded(faces), reference(faces), strict=True):
            assert mine.shape == published.shape
            scale = max(1.0, published.abs().max().item())  # heat maps are sums over channels
            torch.testing.assert_close(mine, published, atol=1e-4 * scale, rtol=1e-4)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_full_checkpoint_of_the_port_gives_the_published_outputs(tmp_path, faces, direction):
    published = save_port_checkpoint(tmp_path / "full.pt", channels=8, blocks=4, size=64, light=False)
    loaded = load_generator(tmp_path / "full.pt", direction)
    assert (loaded.size, loaded.channels, loaded.light, loaded.form) == (64, 8, False, "published")
    assert loaded.metadata["direction"] == direction
    assert_same(loaded, published[DIRECTIONS[direction]], faces(64))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_light_checkpoint_of_the_port_gives_the_published_outputs_at_any_size(tmp_path, faces, direction):
    published = save_port_checkpoint(tmp_path / "light.pt", channels=8, blocks=3, light=True)
    loaded = load_generator(tmp_path / "light.pt", direction)
    assert (loaded.size, loaded.blocks, loaded.light) == (256, 3, True)
    for size in (64, 100, 128):
        assert_same(loaded, published[DIRECTIONS[direction]], faces(size))


def test_the_two_directions_of_a_checkpoint_are_not_confused(tmp_path, faces):
    save_port_checkpoint(tmp_path / "light.pt", channels=4, blocks=1, light=True)
    there, back = (load_generator(tmp_path / "light.pt", direction) for direction in DIRECTIONS)
    assert not torch.allclose(there(faces(64)).image, back(faces(64)).image, atol=0.01)


@pytest.mark.parametrize("layout", ["bare", "data_parallel"])
def test_bare_and_data_parallel_state_dicts_are_read(tmp_path, faces, layout):
    published = trained_reference(5, channels=4, blocks=2, light=True)
    state = published.state_dict()
    if layout == "data_parallel":
        state = {"genA2B": {f"module.{name}": tensor for name, tensor in state.items()}}
    torch.save(state, tmp_path / "one.pt")
    assert_same(load_generator(tmp_path / "one.pt"), published, faces(64))


def test_generator_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert parameters(Generator(256, 64, 4, light=True)) == 10_589_888
        assert parameters(Generator(256, 64, 4, light=False)) == 278_959_808


@pytest.mark.parametrize("size", [64, 68, 100, 256, 512])
def test_sizes_that_are_multiples_of_four_keep_their_size(size):
    with torch.device("meta"):
        generator = Generator(size, channels=4, blocks=1, light=False)
        image, logits, attention = generator(torch.empty(2, 3, size, size))
    assert image.shape == (2, 3, size, size)
    assert logits.shape == (2, 2)
    assert attention.shape == (2, 1, size // 4, size // 4)


@pytest.mark.parametrize("size", [0, -64, 60, 66, 127, 516, 1024])
def test_other_sizes_are_refused_by_name(size):
    with pytest.raises(DragFaceError, match=f"{size} "):
        Generator(size)


@pytest.mark.parametrize("settings", [{"channels": 0}, {"blocks": 0}, {"blocks": 99}, {"form": "other"}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(DragFaceError, match=str(next(iter(settings.values())))):
        Generator(64, **({"channels": 4} | settings))


def test_residual_form_begins_near_the_identity_and_the_published_form_does_not(faces):
    torch.manual_seed(0)
    selfies = faces(64)
    kept = Generator(64, 8, 2, form="residual")(selfies).image
    drawn = Generator(64, 8, 2, form="published")(selfies).image
    assert (kept - selfies).abs().mean() < 0.02
    assert not torch.equal(kept, selfies)
    assert (drawn - selfies).abs().mean() > 0.2


def test_residual_form_stays_within_the_range_of_a_picture(faces):
    torch.manual_seed(0)
    generator = Generator(64, 4, 1, form="residual")
    with torch.no_grad():
        generator.to_rgb[1].weight.mul_(10_000)
    image = generator(faces(64)).image
    assert image.min() == -1
    assert image.max() == 1


def test_every_parameter_of_a_generator_learns(faces):
    torch.manual_seed(0)
    generator = Generator(64, 4, 2)
    image, logits, _ = generator(faces(64))
    (image.square().sum() + logits.sum()).backward()
    assert [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_faces_of_a_batch_do_not_influence_each_other(faces):
    generator = trained_like(Generator(64, 4, 2))
    selfies = faces(64)
    together, alone = generator(selfies), generator(selfies[1:])
    for batched, single in zip(together, alone, strict=True):
        torch.testing.assert_close(batched[1:], single, atol=1e-4, rtol=1e-4)


def trained_like(generator):
    torch.manual_seed(1)
    generator.requires_grad_(False)
    for parameter in generator.parameters():
        parameter.add_(torch.rand_like(parameter) * 0.05)
    return generator


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_one_transposed_convolution_is_doubling_padding_and_convolving(layout):
    torch.manual_seed(0)
    x = torch.randn(2, 6, 5, 7).to(memory_format=layout).requires_grad_()
    kernel = torch.randn(4, 6, 3, 3, requires_grad=True)
    doubled = F.pad(F.interpolate(x, scale_factor=2, mode="nearest"), [1, 1, 1, 1], mode="reflect")
    plain, mine = F.conv2d(doubled, kernel), convolved_when_doubled(x, kernel)
    torch.testing.assert_close(mine, plain, atol=1e-4, rtol=1e-4)
    weight = torch.randn_like(plain)
    found, expected = (torch.autograd.grad((out * weight).sum(), (x, kernel)) for out in (mine, plain))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
