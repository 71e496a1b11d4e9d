"""Generator files: written the same twice, read back exactly, and refused in one sentence when something is wrong."""

import json
import pickle

import pytest
import torch
from reference_generator import trained_reference
from safetensors.torch import load_file, save_file

from dragface_lib.__main__ import main
from dragface_lib.errors import DragFaceError
from dragface_lib.model import Generator, load_generator, newest_generator, save_generator, starter_looks, starter_path
from dragface_lib.model.weights import FORMAT

METADATA = {"direction": "selfie_to_drag", "look": "glamour", "steps": "7", "alignment": "eyes", "licence": "CC0"}


def small_generator(seed=0, **settings):
    torch.manual_seed(seed)
    return Generator(64, 4, 2, **settings).eval().requires_grad_(False)


def refusal(path, direction="selfie_to_drag"):
    """The sentence with which a file is refused: one line that names the file."""
    with pytest.raises(DragFaceError) as caught:
        load_generator(path, direction)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert len(sentence) < 400 + len(str(path))
    return sentence


@pytest.mark.parametrize("settings", [{}, {"light": False}, {"form": "published"}])
def test_a_saved_generator_is_read_back_exactly(tmp_path, faces, settings):
    generator = small_generator(**settings)
    save_generator(generator, tmp_path / "g.safetensors", METADATA)
    loaded = load_generator(tmp_path / "g.safetensors")
    for name, tensor in generator.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    torch.testing.assert_close(loaded(faces(64)).image, generator(faces(64)).image)
    assert METADATA.items() <= loaded.metadata.items()
    assert loaded.metadata["size"] == "64"
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_half_precision_halves_the_file_and_hardly_changes_the_picture(tmp_path, faces):
    generator = small_generator()
    save_generator(generator, tmp_path / "whole.safetensors", METADATA)
    save_generator(generator, tmp_path / "half.safetensors", METADATA, half=True)
    whole, half = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("whole", "half"))
    assert half < 0.6 * whole
    loaded = load_generator(tmp_path / "half.safetensors")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(loaded(faces(64)).image, generator(faces(64)).image, atol=2 / 255, rtol=0)


def test_the_same_generator_gives_the_same_bytes_every_time(tmp_path):
    files = [tmp_path / f"{n}.safetensors" for n in range(4)]
    for n, path in enumerate(files):
        save_generator(small_generator(), path, dict(sorted(METADATA.items(), reverse=n % 2 == 1)))
    assert len({path.read_bytes() for path in files}) == 1
    assert load_file(files[0])["stem.1.weight"].shape == (4, 3, 7, 7)  # and any reader of the format reads them


def test_a_missing_file_is_refused(tmp_path):
    assert "no generator file" in refusal(tmp_path / "nowhere.safetensors")
    assert "no generator file" in refusal(tmp_path / "nowhere.pt")


def test_a_cut_off_or_overwritten_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "g.safetensors"
    save_generator(small_generator(), path, METADATA)
    content = path.read_bytes()
    for size in (0, 5, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        refusal(path)
    path.write_bytes(bytes(range(256)) * 40)
    refusal(path)


def test_a_cut_off_or_overwritten_pt_file_is_refused(tmp_path):
    path = tmp_path / "g.pt"
    torch.save({"genA2B": trained_reference(0, channels=4, blocks=1, light=True).state_dict()}, path)
    content = path.read_bytes()
    for size in (0, 1, 5, 100, len(content) // 3, len(content) // 2, len(content) - 30, len(content) - 1):
        path.write_bytes(content[:size])
        refusal(path)
    texts = [first + b"ello, this is text\n" * 5 for first in map(bytes, zip(range(1, 128)))]
    for other in (*texts, bytes(range(256)) * 40, b"\x80\x02}q\x00.", b"PK\x03\x04" + b"0" * 99):
        path.write_bytes(other)
        refusal(path)


def test_a_cut_off_pt_file_of_old_torch_is_refused_wherever_it_is_cut(tmp_path):
    path = tmp_path / "g.pt"
    state = {"genA2B": {"FC.0.weight": torch.zeros(2, 2)}}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        refusal(path)


class Mischief:
    """Unpickling it runs a command that leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("way", ["torch", "pickle"])
def test_a_malicious_pickle_is_refused_and_runs_nothing(tmp_path, way):
    path, trace = tmp_path / "evil.pt", tmp_path / "it_ran"
    content = {"genA2B": Mischief(trace)}
    if way == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    refusal(path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Mischief(trace)))  # it would have run
    assert trace.exists()


def test_the_other_direction_is_refused_or_named(tmp_path):
    path = tmp_path / "g.safetensors"
    save_generator(small_generator(), path, METADATA)
    assert "selfie_to_drag" in refusal(path, "drag_to_selfie")
    with pytest.raises(DragFaceError, match="sideways"):
        load_generator(path, "sideways")
    path = tmp_path / "one_way.pt"
    torch.save({"genA2B": trained_reference(0, channels=4, blocks=1, light=True).state_dict(), "genX": {}}, path)
    assert "genB2A" in refusal(path, "drag_to_selfie")


def test_safetensors_of_something_else_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    assert "not a DragFace generator" in refusal(path)
    save_file({"weight": torch.zeros(3)}, path, metadata={"format": FORMAT})
    assert "architecture" in refusal(path)


@pytest.mark.parametrize(
    "change", [{"channels": 8}, {"blocks": 3}, {"light": False}, {"size": 65}, {"channels": "four"}, {"blocks": None}]
)
def test_weights_that_do_not_fit_the_stated_architecture_are_refused(tmp_path, change):
    path = tmp_path / "g.safetensors"
    stated = {"size": 64, "channels": 4, "blocks": 2, "light": True, "form": "residual"} | change
    metadata = {"format": FORMAT} | {name: json.dumps(value) for name, value in stated.items()}
    save_file({name: tensor.contiguous() for name, tensor in small_generator().state_dict().items()}, path, metadata)
    refusal(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [("size", "9" * 5000), ("size", "[" * 100_000), ("size", "64.0"), ("size", "-64"), ("channels", "1e0")]
    + [("channels", "true"), ("channels", str(10**9)), ("blocks", "NaN"), ("blocks", "{}"), ("blocks", str(10**7))]
    + [("light", '"yes"'), ("light", "1"), ("form", "null"), ("form", '["residual"]'), ("format", "x" * 10**6)]
    + [("steps", "9" * 5000), ("steps", "many"), ("steps", "-1"), ("steps", "1.5"), ("steps", "٣")]
    + [("direction", "\x1b[31m" * 9999)],
    ids=lambda text: text[:9].encode("ascii", "replace").decode(),
)
def test_what_a_strangers_file_says_of_itself_is_checked_where_it_is_read(tmp_path, name, text):
    path = tmp_path / "g.safetensors"
    stated = {"size": 64, "channels": 4, "blocks": 2, "light": True, "form": "residual"}
    metadata = {"format": FORMAT} | {name: json.dumps(value) for name, value in stated.items()} | {name: text}
    save_file({name: tensor.contiguous() for name, tensor in small_generator().state_dict().items()}, path, metadata)
    assert refusal(path).isprintable()


def test_texts_of_a_file_are_one_line_of_bounded_length_and_what_is_unsaid_is_filled_in(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_generator(small_generator(), path, {"look": "a\x1b[31m\n<b>\0" + "x" * 10**6})
    told = load_generator(path).metadata
    assert told["look"].startswith("a [31m <b> xxx")
    assert len(told["look"]) <= 2000
    assert (told["licence"], told["steps"]) == ("unknown", "0")
    save_generator(small_generator(), path, {})
    assert load_generator(path).metadata["look"] == "mine"


@pytest.mark.parametrize("name", ["A.SAFETENSORS", "a.SafeTensors"])
def test_a_suffix_in_capitals_is_read_as_any_other(tmp_path, name):
    save_generator(small_generator(), tmp_path / name, METADATA)
    assert load_generator(tmp_path / name).metadata["look"] == "glamour"


def test_a_light_checkpoint_of_the_port_has_the_size_that_is_given(tmp_path, faces):
    for light, path in ((True, tmp_path / "light.pt"), (False, tmp_path / "full.pt")):
        torch.save({"genA2B": trained_reference(0, channels=4, blocks=1, light=light, size=64).state_dict()}, path)
    assert load_generator(tmp_path / "light.pt").size == 256
    assert load_generator(tmp_path / "light.pt", size=64).size == 64
    assert load_generator(tmp_path / "full.pt", size=64).size == 64
    with pytest.raises(DragFaceError, match=r"full\.pt was trained at 64 px, not at 128: leave the size out\."):
        load_generator(tmp_path / "full.pt", size=128)
    assert main(["export", str(tmp_path / "light.pt"), "--size", "64", "-o", str(tmp_path / "new.safetensors")]) == 0
    assert load_generator(tmp_path / "new.safetensors").size == 64


def test_a_checkpoint_of_a_run_is_told_from_a_generator(tmp_path):
    torch.save({"step": 7, "networks": {}, "ema": small_generator().state_dict()}, tmp_path / "step_00000007.pt")
    assert "choose the generator.safetensors in the run's folder" in refusal(tmp_path / "step_00000007.pt")


def changed(state, case):
    """A port's state dict that is almost right."""
    if case == "missing weight":
        del state["gamma.weight"]
    elif case == "unknown weight":
        state["UpBlock3.1.weight"] = torch.zeros(2)
    elif case == "name without a dot":
        state["epoch"] = torch.tensor(4)
    elif case == "wrong shape":
        state["conv1x1.bias"] = torch.zeros(3)
    elif case == "no blocks":
        state = {name: tensor for name, tensor in state.items() if not name.startswith("UpBlock1")}
    elif case == "names that are numbers":
        state = dict(enumerate(state.values()))
    elif case == "flat weights":
        state = {name: tensor.flatten() for name, tensor in state.items()}
    elif case == "scalars":
        state = {name: tensor.sum() for name, tensor in state.items()}
    elif case == "another network":
        state = torch.nn.Linear(3, 3).state_dict()
    elif case == "empty":
        state = {}
    return state


@pytest.mark.parametrize(
    "case",
    ["missing weight", "unknown weight", "name without a dot", "wrong shape", "no blocks", "names that are numbers"]
    + ["flat weights", "scalars", "another network", "empty"],
)
def test_checkpoints_of_another_architecture_are_refused(tmp_path, case):
    path = tmp_path / "other.pt"
    state = dict(trained_reference(0, channels=4, blocks=1, light=True).state_dict())
    torch.save({"genA2B": changed(state, case)}, path)
    refusal(path)


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), {"genA2B": 5}, {"a": "text"}, None])
def test_checkpoints_without_a_generator_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    refusal(tmp_path / "other.pt")


def test_the_newest_run_is_chosen_and_the_starter_where_there_is_none(tmp_path):
    import os

    assert newest_generator(tmp_path) == starter_path()
    for age, name in ((50, "b"), (10, "a"), (90, "c")):
        path = tmp_path / name / "generator.safetensors"
        save_generator(small_generator(), path, METADATA)
        os.utime(path, (1e9 - age, 1e9 - age))
    assert newest_generator(tmp_path) == tmp_path / "a" / "generator.safetensors"


@pytest.mark.parametrize("look", starter_looks())
def test_the_starters_say_what_they_are_and_paint(faces, look):
    starter = load_generator(starter_path(look))
    told = starter.metadata
    assert (told["look"], told["alignment"], told["direction"]) == (look, "eyes-0.25-0.46", "selfie_to_drag")
    assert (told["form"], told["size"], int(told["steps"])) == ("residual", "256", 5775)
    assert "CC BY 4.0; trained on" in told["licence"]
    assert "said yes" in told["intended_use"]
    image = starter(faces(starter.size)).image
    assert image.shape == (2, 3, 256, 256)
    assert (image - faces(256)).abs().max() > 0.3


def test_the_starters_are_classic_and_goth_and_small_enough_for_the_repository():
    assert starter_looks() == ["classic", "goth"]
    assert starter_path() == starter_path("classic")
    assert sum(starter_path(look).stat().st_size for look in starter_looks()) <= 30e6
