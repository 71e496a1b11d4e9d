"""The journal survives a crash; plots and the progression are drawn from what is on the disk."""

import numpy as np
import pytest

from dragface_lib.errors import DragFaceError
from dragface_lib.images import save_photo
from dragface_lib.train import plot_losses, progression, read_journal
from dragface_lib.train.journal import Journal, smoothed
from dragface_lib.train.pictures import chosen_steps, forget_samples_after, heat_map, samples


def losses(value):
    return dict.fromkeys(("generator", "discriminator", "cycle", "identity", "cam"), value)


def test_a_line_cut_short_by_a_crash_is_left_out(tmp_path):
    path = tmp_path / "journal.jsonl"
    Journal(path, 0).add(1, **losses(2.0))
    with open(path, "a") as file:
        file.write('{"step": 2, "gen')
    assert [row["step"] for row in read_journal(path)] == [1]
    Journal(path, 5).add(2, note="again")
    assert [row["step"] for row in read_journal(path)] == [1, 2]


def test_a_line_that_is_no_line_of_a_journal_is_left_out(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"step": 1}\n[1]\n"step"\n7\n{"step": "two"}\n\xff\xfe\n{"step": 3}\n')
    assert read_journal(path) == [{"step": 1}, {"step": 3}]


def test_a_full_disk_is_said_to_be_full(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl", 0)
    journal.path = "/dev/full"
    with pytest.raises(DragFaceError, match="cannot be written"):
        journal.add(1, generator=1.0)


def test_a_resumed_journal_forgets_what_came_after_the_checkpoint(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, 0)
    for step in range(1, 10):
        journal.add(step, **losses(1.0))
    Journal(path, 6)
    assert [row["step"] for row in read_journal(path)] == [1, 2, 3, 4, 5, 6]
    assert read_journal(tmp_path / "nowhere.jsonl") == []


def test_the_loss_plot_is_logarithmic_and_has_a_curve_for_each_loss():
    rows = [{"step": n, **losses(1000.0 / n)} for n in range(1, 50)] + [{"step": 49, "note": "not a loss"}]
    axes = plot_losses(rows, "first").axes[0]
    assert axes.get_yscale() == "log"
    assert axes.get_title() == "first"
    assert len(axes.get_legend().get_texts()) == 5
    assert len(axes.lines[0].get_xdata()) == 49


@pytest.mark.parametrize("rows", [[], [{"step": 0, "note": "n"}], [{"step": n, **losses(0.0)} for n in (1, 2)]])
def test_the_loss_plot_of_next_to_nothing_is_drawn(rows):
    plot_losses(rows).canvas.draw()


def test_smoothing_keeps_a_constant_and_damps_a_jump():
    assert smoothed(np.array([])).size == 0
    np.testing.assert_allclose(smoothed(np.full(10, 3.0)), 3.0)
    jump = smoothed(np.array([1.0, 1, 1, 1000, 1, 1, 1]))
    assert 1 < jump.max() < 11
    assert jump[0] == pytest.approx(1)


def test_steps_are_chosen_closer_together_at_the_start():
    every = [500 * n for n in range(1, 601)]
    chosen = chosen_steps(every)
    assert len(chosen) == 7
    assert chosen[0] == 500
    assert chosen[-1] == 300_000
    gaps = np.diff(chosen)
    assert (np.diff(gaps) > 0).all()


@pytest.mark.parametrize(
    ("steps", "chosen"),
    [([], []), ([0], []), ([0, 5], [5]), ([1, 2, 3], [1, 2, 3]), (range(8), list(range(1, 8)))]
    + [([1, 999, 1000, 1001], [1, 1000, 1001])],
)
def test_few_steps_are_all_chosen(steps, chosen):
    assert chosen_steps(list(steps), 3 if 999 in steps else 7) == chosen


def test_as_many_steps_as_asked_for_are_chosen():
    for last in range(8, 60):
        chosen = chosen_steps(list(range(1, last + 1)))
        assert len(set(chosen)) == 7
        assert chosen[-1] == last


def sheet(value, faces=2, size=16):
    rows = [np.full((size, size * faces, 3), shade, np.uint8) for shade in (200, value, 0)]
    return np.vstack(rows)


def test_the_progression_shows_the_selfie_and_then_its_drag_at_growing_steps(tmp_path):
    assert progression(tmp_path) is None
    for step, value in ((10, 50), (100, 100), (1000, 150)):
        save_photo(tmp_path / "samples" / f"step_{step:08d}.jpg", sheet(value))
    picture = progression(tmp_path, cell=32)
    assert picture.shape == (22 + 2 * 32, 4 * 32, 3)
    shades = picture[22:].reshape(2, 32, 4, 32, 3).mean((1, 3, 4))
    np.testing.assert_allclose(shades, [[200, 50, 100, 150]] * 2, atol=3)


def test_samples_of_a_future_not_reached_again_are_forgotten(tmp_path):
    for step in (10, 20, 30):
        save_photo(tmp_path / "samples" / f"step_{step:08d}.jpg", sheet(1))
    forget_samples_after(tmp_path, 20)
    assert [step for _, step in samples(tmp_path)] == [10, 20]


def test_a_heat_map_runs_from_dark_to_bright_and_a_flat_one_is_no_fault():
    ramp = heat_map(np.linspace(3, 9, 16).reshape(4, 4), 64)
    assert ramp.shape == (64, 64, 3)
    assert ramp[0, 0].sum() < 60
    assert ramp[-1, -1].sum() > 500
    flat = heat_map(np.full((4, 4), 2.0), 64)
    assert (flat == flat[0, 0]).all()
