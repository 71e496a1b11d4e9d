"""The step computes what a literal reading of the paper computes, in whatever order it is cheaper."""

import copy

import pytest
import torch
from torch.nn import functional as F

from dragface_lib.model import discriminator, norms
from dragface_lib.model.generator import to_unit
from dragface_lib.train.bench import CountOperations
from dragface_lib.train.config import learning_rate
from dragface_lib.train.data import Batch, FaceSet, MaskCache
from dragface_lib.train.step import Trainer


def batch(faces, domain, count, masked=False, first=0):
    found = FaceSet(faces, domain, "train", 64, masks=MaskCache(faces) if masked else None)
    part = slice(first, first + count)
    return Batch(to_unit(found.images[part]), found.masks[part] / 255 if masked else None)


def warmed_up(config, faces):
    """A trainer after two steps, so that moments, rho and spectral norms have left their first values."""
    trainer = Trainer(config, torch.device("cpu"), torch.float32)
    for step in range(2):
        trainer.step(step, batch(faces, "selfie", config.batch), batch(faces, "drag", config.batch))
    return trainer


def gradients_of(trainer, step, *faces):
    """Losses of one step, and the gradients as the optimisers see them."""
    names = {id(parameter): name for name, parameter in trainer.networks.named_parameters()}
    seen = {}

    def note(optimiser, *_):
        found = [p for group in optimiser.param_groups for p in group["params"]]
        seen.update({names[id(p)]: p.grad.clone() for p in found if p.grad is not None})

    optimisers = (trainer.generator_optimiser, trainer.discriminator_optimiser)
    handles = [optimiser.register_step_pre_hook(note) for optimiser in optimisers]
    losses = {name: loss.item() for name, loss in trainer.step(step, *faces).items()}
    for handle in handles:
        handle.remove()
    return losses, seen


def judge(discriminator, faces, target, iterate):
    """mean((D - target)^2) + the same of its CAM logits; the power iteration runs only if asked to."""
    discriminator.train(iterate)
    logits, cam_logits, _ = discriminator(faces)
    return ((logits - target) ** 2).mean() + ((cam_logits - target) ** 2).mean()


def cam_entropy(logits, label):
    return F.binary_cross_entropy(torch.sigmoid(logits), torch.full_like(logits, label))


def literal_step(networks, optimiser, selfie, drag, cam_weight):
    """One update as the paper words it: every face and every network on its own. Returns losses and gradients.

    With masks discriminators are shown what two faces have in common, all around it painted grey.
    """
    to_drag, to_selfie = networks.selfie_to_drag, networks.drag_to_selfie
    masked, masks = (
        selfie.masks is not None,
        {"drag": selfie.masks, "selfie": drag.masks},
    )  # of what is translated to it
    both = selfie.masks * drag.masks if masked else None
    selfie, drag = selfie.faces, drag.faces

    def shown(face):
        return face * both if masked else face

    found, gradients = {}, {}
    generators = [*to_drag.parameters(), *to_selfie.parameters()]

    # Discriminators, on fakes made for them.
    with torch.no_grad():
        fakes = {"drag": to_drag(selfie).image, "selfie": to_selfie(drag).image}
    for domain, real in (("drag", drag), ("selfie", selfie)):
        for reach in ("global", "local"):
            network = getattr(networks, f"{domain}_{reach}")
            found[f"{domain}_{reach}"] = judge(network, shown(real), 1, True) + judge(
                network, shown(fakes[domain]), 0, False
            )
    found["discriminator"] = sum(found.values())
    optimiser.zero_grad()
    found["discriminator"].backward()
    gradients |= {n: p.grad.clone() for n, p in networks.named_parameters() if p.grad is not None}
    optimiser.step()

    # Generators, on fakes made anew.
    to_drag_out, to_selfie_out = to_drag(selfie), to_selfie(drag)
    kept_drag, kept_selfie = to_drag(drag), to_selfie(selfie)
    for domain, fake in (("drag", to_drag_out.image), ("selfie", to_selfie_out.image)):
        found[f"fool_{domain}"] = sum(
            judge(getattr(networks, f"{domain}_{reach}"), shown(fake), 1, False) for reach in ("global", "local")
        )
    there_and_back = to_selfie(to_drag_out.image).image, to_drag(to_selfie_out.image).image
    found["cycle"] = (there_and_back[0] - selfie).abs().mean() + (there_and_back[1] - drag).abs().mean()
    found["identity"] = (kept_drag.image - drag).abs().mean() + (kept_selfie.image - selfie).abs().mean()
    found["cam"] = (
        cam_entropy(to_drag_out.cam_logits, 1.0)
        + cam_entropy(kept_drag.cam_logits, 0.0)
        + cam_entropy(to_selfie_out.cam_logits, 1.0)
        + cam_entropy(kept_selfie.cam_logits, 0.0)
    )
    found["generator"] = (
        found["fool_drag"] + found["fool_selfie"] + 10 * found["cycle"] + 10 * found["identity"]
    ) + cam_weight * found["cam"]
    if masked:
        changed = (to_drag_out.image - selfie).abs(), (to_selfie_out.image - drag).abs()
        found["background"] = ((1 - masks["drag"]) * changed[0]).mean() + ((1 - masks["selfie"]) * changed[1]).mean()
        found["generator"] = found["generator"] + 10 * found["background"]
    of_generators = torch.autograd.grad(found["generator"], generators)
    names = {id(parameter): name for name, parameter in networks.named_parameters()}
    gradients |= {names[id(p)]: gradient for p, gradient in zip(generators, of_generators, strict=True)}
    return {name: loss.item() for name, loss in found.items()}, gradients


# Seeds at which no absolute value or ReLU lies so near its kink that rounding decides its side.
@pytest.mark.parametrize(
    "changes",
    [
        {"discriminator_input": "picture"},
        {"batch": 2},
        {"form": "published"},
        {"light": False, "seed": 1, "discriminator_input": "picture"},
    ],
)
def test_step_has_the_losses_and_gradients_of_a_literal_reading(settings, faces, changes):
    config = settings(**changes)
    trainer = warmed_up(config, faces)
    networks = copy.deepcopy(trainer.networks)
    optimiser = torch.optim.Adam(
        networks.discriminators().parameters(), lr=1e-4, betas=(0.5, 0.999), weight_decay=1e-4, foreach=False
    )
    optimiser.load_state_dict(copy.deepcopy(trainer.discriminator_optimiser.state_dict()))
    optimiser.param_groups[0] |= {"fused": False, "lr": 1e-4}
    masked = config.discriminator_input == "face"
    selfie, drag = (batch(faces, domain, config.batch, masked, first=1) for domain in ("selfie", "drag"))
    expected, gradients = literal_step(networks, optimiser, selfie, drag, config.cam_loss_weight)
    losses, found = gradients_of(trainer, 2, selfie, drag)

    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        assert losses[name] == pytest.approx(value, rel=1e-4), name
    assert found.keys() == gradients.keys()
    for name, gradient in gradients.items():
        difference = (found[name] - gradient).norm() / gradient.norm().clamp_min(1e-6)
        assert difference < 1e-4, name
    for name, buffer in networks.named_buffers():  # one power iteration, no more
        torch.testing.assert_close(dict(trainer.networks.named_buffers())[name], buffer)


def test_what_discriminators_do_not_see_does_not_count_for_them(settings, faces):
    selfie, drag = (batch(faces, domain, 1, masked=True) for domain in ("selfie", "drag"))
    hidden = drag.masks == 0
    assert 0.3 < hidden.float().mean() < 0.9
    losses = []
    for stage in (drag, drag._replace(faces=torch.where(hidden, -drag.faces, drag.faces))):
        trainer = Trainer(settings(form="published"), torch.device("cpu"), torch.float32)
        losses.append(trainer.step(0, selfie, stage))
    for name in ("drag_global", "drag_local"):  # the fake is that of the same selfie
        assert losses[0][name].item() == pytest.approx(losses[1][name].item(), rel=1e-6)
    assert losses[0]["identity"].item() != pytest.approx(losses[1]["identity"].item(), rel=1e-3)


def test_step_moves_every_parameter_as_adam_does(settings, faces):
    config = settings(steps=4, weight_decay=0.1)
    trainer = Trainer(config, torch.device("cpu"), torch.float32)
    before = copy.deepcopy(trainer.networks)
    _, gradients = gradients_of(trainer, 3, batch(faces, "selfie", 1), batch(faces, "drag", 1))
    rate = learning_rate(3, 4, config.lr)
    assert rate == pytest.approx(0.5e-4)
    old = dict(before.named_parameters())
    for name, parameter in trainer.networks.named_parameters():
        gradient = gradients[name] + 0.1 * old[name]
        moved = old[name] - rate * gradient / (gradient.abs() + 1e-8)  # Adam's first step
        if name.endswith("rho"):
            moved = moved.clamp(0, 1)
        torch.testing.assert_close(parameter.detach(), moved.detach(), atol=2e-6, rtol=1e-5)


def test_rho_stays_between_zero_and_one(settings, faces):
    trainer = Trainer(settings(lr=0.5), torch.device("cpu"), torch.float32)
    trainer.step(0, batch(faces, "selfie", 1), batch(faces, "drag", 1))
    rhos = torch.cat([p for name, p in trainer.networks.named_parameters() if name.endswith("rho")])
    assert 0 <= rhos.min() <= rhos.max() <= 1
    assert (rhos == 0).any() or (rhos == 1).any()


def test_discriminators_take_gradients_again_after_the_generators_update(settings, faces):
    trainer = warmed_up(settings(), faces)
    for network in trainer.networks.discriminators():
        assert network.training
        assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_average_follows_the_generator_more_slowly(settings, faces):
    config = settings(ema_half_life=2, lr=0.01, steps=10_000)
    trainer = Trainer(config, torch.device("cpu"), torch.float32)
    faces = batch(faces, "selfie", 1), batch(faces, "drag", 1)
    for step in range(30):
        before = copy.deepcopy(trainer.ema)
        trainer.step(step, *faces)
    share = 1 - 0.5 ** (1 / 2)  # the half-life of two faces is reached after twenty
    for old, average, raw in zip(
        before.parameters(), trainer.ema.parameters(), trainer.networks.selfie_to_drag.parameters(), strict=True
    ):
        torch.testing.assert_close(average, old + share * (raw.detach() - old), atol=1e-6, rtol=1e-5)


def test_half_precision_on_the_cpu_stays_close_to_full_precision(settings, faces):
    found = []
    for precision in (torch.float32, torch.bfloat16):
        trainer = Trainer(settings(), torch.device("cpu"), precision)
        losses = trainer.step(0, batch(faces, "selfie", 1), batch(faces, "drag", 1))
        found.append({name: loss.item() for name, loss in losses.items()})
    for name, value in found[0].items():
        assert found[1][name] == pytest.approx(value, rel=0.05, abs=0.02), name


def test_a_restored_trainer_goes_on_bit_for_bit(settings, faces):
    first, second = warmed_up(settings(), faces), Trainer(settings(seed=9), torch.device("cpu"), torch.float32)
    second.load_state(copy.deepcopy(first.state()))
    pair = batch(faces, "selfie", 1), batch(faces, "drag", 1)
    for step in (2, 3):
        losses = [trainer.step(step, *pair)["generator"].item() for trainer in (first, second)]
        assert losses[0] == losses[1]
    for one, other in zip(first.networks.parameters(), second.networks.parameters(), strict=True):
        assert torch.equal(one, other)


PRECISIONS = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_gradients_under_autocast_point_where_those_of_full_precision_do(settings, faces, precision):
    pair = batch(faces, "selfie", 2), batch(faces, "drag", 2)
    config = settings(batch=2, channels=8)
    exact, rounded = (Trainer(config, torch.device("cpu"), kind) for kind in (torch.float32, precision))
    exact, scaled = (gradients_of(trainer, 0, *pair)[1] for trainer in (exact, rounded))
    scale = rounded.scaler.get_scale()  # of the losses, so that small gradients do not vanish
    assert scale > 1 or precision == torch.bfloat16
    for network in ("selfie_to_drag", "drag_to_selfie", "drag_global", "drag_local", "selfie_global", "selfie_local"):
        one, other = (
            torch.cat([found[name].flatten().double() for name in found if name.startswith(network)])
            for found in (exact, scaled)
        )
        assert torch.cosine_similarity(one, other / scale, dim=0) > 0.99, network
        assert (other / scale).norm().item() == pytest.approx(one.norm().item(), rel=0.05), network


def test_an_overflow_in_half_precision_skips_the_update_and_lowers_the_scale(settings, faces):
    trainer = Trainer(settings(), torch.device("cpu"), torch.float16)
    before = copy.deepcopy(trainer.networks.state_dict())
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**126)
    trainer.step(0, batch(faces, "selfie", 1), batch(faces, "drag", 1))
    for name, parameter in trainer.networks.named_parameters():
        assert torch.equal(parameter, before[name].clamp(0, 1) if name.endswith("rho") else before[name]), name
    assert trainer.scaler.get_scale() == 2.0**125


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_statistics_losses_and_sigmas_are_in_full_precision(settings, faces, precision, monkeypatch):
    seen = []

    def watch(module, name):
        original = getattr(module, name)

        def watched(*arguments):
            results = original(*arguments)
            seen.extend(result[0].dtype if isinstance(result, tuple) else result.dtype for result in results)
            return results

        monkeypatch.setattr(module, name, watched)

    watch(norms, "_moments")
    watch(discriminator, "spectral_factors")
    trainer = Trainer(settings(), torch.device("cpu"), precision)
    losses = trainer.step(0, batch(faces, "selfie", 1), batch(faces, "drag", 1))
    assert len(seen) > 60
    assert set(seen) | {loss.dtype for loss in losses.values()} == {torch.float32}


@pytest.mark.parametrize(("precision", "at_most"), [(torch.float32, 5000), (torch.bfloat16, 5000)])
def test_a_step_takes_few_operations(settings, faces, precision, at_most):
    """Each of them costs Python and the driver some time where no CUDA graph is replayed."""
    config = settings(size=256, blocks=4)
    trainer = Trainer(config, torch.device("cpu"), precision)
    pair = [Batch(torch.zeros(1, 3, 256, 256), torch.ones(1, 1, 256, 256)) for _ in range(2)]
    trainer.step(0, *pair)
    with CountOperations() as operations:
        trainer.step(1, *pair)
    assert 3000 < operations.count <= at_most
