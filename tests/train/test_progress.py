"""The journal survives a crash; plots and the progression are drawn from what is on the disk."""

import errno
import json
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from dragface_lib import files
from dragface_lib.errors import DragFaceError
from dragface_lib.files import write_atomically
from dragface_lib.images import save_photo
from dragface_lib.model import Generator, save_generator
from dragface_lib.train import LiveView, TrainConfig, plot_losses, progression, read_journal
from dragface_lib.train.pictures import Pictures, best_step_and_score, forget_after, heat_map, is_milestone, samples
from dragface_lib.train.progress import append_to_journal, draw_run, shorten_journal, smoothed, status

# What a hand, a crash or a stranger may leave in a journal.
CRAFTED = ("[" * 100_000, '{"step": ' + "9" * 5000 + "}", '{"step": 1, "generator": "many"}', '{"step": 1, "cam": NaN}')
CRAFTED += ('{"step": 2.5}', '{"step": true}', '{"step": 1, "score": [1]}', '{"step": 1, "score": 1e400}', "null")
CRAFTED += ('{"step": 30, "generator": 1.0}', '{"step": 30, "score": 1}', '{"step": 1, "cycle": 1' + "0" * 400 + "}")


def losses(value):
    return dict.fromkeys(("generator", "discriminator", "cycle", "identity", "cam"), value)


def test_a_line_cut_short_by_a_crash_is_left_out(tmp_path):
    path = tmp_path / "journal.jsonl"
    append_to_journal(path, 1, **losses(2.0))
    with open(path, "a") as file:
        file.write('{"step": 2, "gen')
    assert [row["step"] for row in read_journal(path)] == [1]
    shorten_journal(path, 5)
    append_to_journal(path, 2, note="again")
    assert [row["step"] for row in read_journal(path)] == [1, 2]


def test_a_line_that_is_no_line_of_a_journal_is_left_out(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"step": 1}\n[1]\n"step"\n7\n{"step": "two"}\n\xff\xfe\n{"step": 3}\n')
    assert read_journal(path) == [{"step": 1}, {"step": 3}]
    assert read_journal(tmp_path / "nowhere.jsonl") == []


def test_a_journal_that_cannot_be_read_now_is_not_written_over(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    append_to_journal(path, 1, note="mine")
    with monkeypatch.context() as patch:
        patch.setattr(files, "RETRY_AFTER", ())
        patch.setattr(Path, "read_bytes", Mock(side_effect=OSError(errno.EIO, "Input/output error")))
        with pytest.raises(files.Unavailable, match=r"journal\.jsonl cannot be read now"):
            shorten_journal(path, 1)
    assert read_journal(path) == [{"step": 1, "note": "mine"}]


def test_a_full_disk_is_said_to_be_full():
    with pytest.raises(DragFaceError, match="cannot be written"):
        append_to_journal("/dev/full", 1, generator=1.0)


def test_a_resumed_journal_forgets_what_came_after_the_checkpoint(tmp_path):
    path = tmp_path / "journal.jsonl"
    for step in range(1, 10):
        append_to_journal(path, step, **losses(1.0))
    shorten_journal(path, 6)
    assert [row["step"] for row in read_journal(path)] == [1, 2, 3, 4, 5, 6]


def test_a_line_written_by_hand_stays_in_the_journal_and_is_counted(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"step": 1}\n# I changed the rate here\n{"step": 2}\n{"step": 9}\n{"step": 3')
    assert shorten_journal(path, 6) == 1
    assert path.read_text() == '{"step": 1}\n# I changed the rate here\n{"step": 2}\n'


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


def sheet(value, faces=2, size=16):
    rows = [np.full((size, size * faces, 3), shade, np.uint8) for shade in (200, value, 0)]
    return np.vstack(rows)


def save_sheets(run, sheets):
    for step, value in sheets.items():
        save_photo(run / "samples" / f"step_{step:08d}.jpg", sheet(value))


def test_the_progression_shows_the_selfie_and_then_its_drag_at_growing_steps(tmp_path):
    assert progression(tmp_path) is None
    save_sheets(tmp_path, {10: 50, 100: 100, 1000: 150})
    picture = progression(tmp_path, cell=32)
    assert picture.shape == (2 * (32 + 14), 4 * 32, 3)
    shades = picture.reshape(2, 46, 4, 32, 3)[:, :32].mean((1, 3, 4))
    np.testing.assert_allclose(shades, [[200, 50, 100, 150]] * 2, atol=3)


def test_of_many_samples_the_progression_shows_seven_closer_together_at_the_start(tmp_path):
    save_sheets(tmp_path, {500 * n: 5 * n for n in range(1, 21)})
    shades = progression(tmp_path, cell=32).reshape(2, 46, 8, 32, 3)[0, :32].mean((0, 2, 3))[1:]
    np.testing.assert_allclose(shades, [5, 10, 15, 20, 35, 60, 100], atol=3)


def save_best(run, step, score):
    save_generator(Generator(64, 2, 1), run / "best.safetensors", {"steps": step, "score": score})


def test_pictures_and_generators_of_a_future_not_reached_again_are_forgotten(tmp_path):
    save_sheets(tmp_path, dict.fromkeys((10, 20, 30), 1))
    for step in (20, 30):
        write_atomically(tmp_path / f"milestones/step_{step:08d}.safetensors", b"")
    somebodys = [tmp_path / "samples/step_00000030 (1).jpg", tmp_path / "milestones/step_00000030_good.safetensors"]
    for path in somebodys:
        path.write_bytes(b"")
    save_best(tmp_path, 20, 0.25)
    forget_after(tmp_path, 20)
    assert list(samples(tmp_path)) == [10, 20]
    assert [path.name for path in (tmp_path / "milestones").iterdir() if path not in somebodys] == [
        "step_00000020.safetensors"
    ]
    assert all(path.exists() for path in somebodys)
    assert best_step_and_score(tmp_path) == (20, 0.25)
    forget_after(tmp_path, 19)
    assert best_step_and_score(tmp_path) == (0, -np.inf)


def test_a_best_generator_that_is_damaged_has_no_score(tmp_path):
    (tmp_path / "best.safetensors").write_bytes(b"cut short")
    assert best_step_and_score(tmp_path) == (0, -np.inf)
    forget_after(tmp_path, 0)
    assert (tmp_path / "best.safetensors").exists()


@pytest.mark.parametrize("content", [b"", b"not a picture", "odd"])
def test_a_sample_that_cannot_be_read_is_said_and_left_out(tmp_path, content):
    save_sheets(tmp_path, {10: 50, 100: 100, 1000: 150})
    path, said = tmp_path / "samples/step_00000100.jpg", []
    if content == "odd":
        save_photo(path, np.zeros((50, 7, 3), np.uint8))
    else:
        path.write_bytes(content)
    (tmp_path / "samples/step_00000500 (1).jpg").write_bytes(b"")
    (tmp_path / "samples/step_abc.jpg").write_bytes(b"")
    assert progression(tmp_path, cell=32, say=said.append).shape == (2 * (32 + 14), 3 * 32, 3)
    assert len(said) == 1


def test_sheets_of_fewer_faces_shorten_the_progression(tmp_path):
    save_sheets(tmp_path, {10: 50})
    save_photo(tmp_path / "samples/step_00000020.jpg", sheet(100, faces=1))
    assert progression(tmp_path, cell=32).shape == (32 + 14, 3 * 32, 3)


def test_what_is_wrong_with_a_picture_is_said_once_and_ends_nothing():
    said = []
    pictures = Pictures(said.append)
    for _ in range(3):
        pictures.draw(lambda: 1 / 0)
        pictures.say("A sample is left out.")
    assert said == ["A picture of the run is left out: division by zero", "A sample is left out."]
    with pytest.raises(KeyboardInterrupt):
        pictures.draw(interrupt)


def interrupt():
    raise KeyboardInterrupt


def test_a_run_with_an_odd_name_and_a_hand_written_journal_is_drawn(tmp_path):
    config = TrainConfig("faces", str(tmp_path / "my$^$run"))
    (tmp_path / "my$^$run").mkdir()
    lines = [json.dumps(tick(20)), "# I changed the rate here", *CRAFTED, json.dumps(tick(40) | {"note": "mine"})]
    (tmp_path / "my$^$run/journal.jsonl").write_text("\n".join(lines) + "\n")
    assert len(draw_run(config)) == 1
    assert status(read_journal(tmp_path / "my$^$run/journal.jsonl"), 100).startswith("step 40 of 100")


def test_a_heat_map_runs_from_dark_to_bright_and_a_flat_one_is_no_fault():
    ramp = heat_map(np.linspace(3, 9, 16).reshape(4, 4), 64)
    assert ramp.shape == (64, 64, 3)
    assert ramp[0, 0].sum() < 60
    assert ramp[-1, -1].sum() > 500
    flat = heat_map(np.full((4, 4), 2.0), 64)
    assert (flat == flat[0, 0]).all()


def tick(step, **more):
    return {"step": step, **losses(1.0), "seconds_per_step": 0.5, "memory_mb": 2110.4, "seconds_to_save": 130, **more}


def test_the_status_says_how_far_it_is_and_how_long_it_will_take():
    assert status([], 5000) == "step 0 of 5,000"
    rows = [tick(20), tick(40, seconds_per_step=0.4), tick(60)]
    line = status([*rows, {"step": 60, "note": "n"}], 20_060)
    assert line == "step 60 of 20,060 · 0.5 s a step · 2:46:40 to go · 2,110 MiB · next save in 0:02:10"
    rows += [{"step": 60, "score": 0.5, "line": 0.1}, {"step": 61, "score": 0.2, "line": 0.1}]
    assert status(rows, 100).endswith("best score 0.50 at step 60")


def test_what_was_measured_is_plotted_below_the_losses():
    rows = [{"step": n, **losses(1000.0 / n)} for n in range(1, 50)]
    steps = (10, 19, 30, 40)
    rows += [{"step": n, "score": n % 20 / 20, "line": 0, "makeup": n / 2, "outside": 60 - n / 2} for n in steps]
    top, makeup, background = plot_losses(rows).axes
    assert top.get_yscale() == "log"
    np.testing.assert_allclose(makeup.lines[0].get_ydata(), [5, 9.5, 15, 20])
    np.testing.assert_allclose(background.lines[0].get_ydata(), [55, 50.5, 45, 40])
    assert makeup.lines[1].get_xdata()[0] == 19  # the best score


def test_the_live_view_shows_a_run_from_its_folder_alone(tmp_path, monkeypatch):
    class Shown(list):
        def update(self, content):
            self.append(content)

    shown = []

    def display(content, display_id):
        shown.append(Shown([content]))
        return shown[-1]

    monkeypatch.setattr("IPython.display.display", display)
    config = TrainConfig("faces", str(tmp_path / "run"), steps=100)
    view = LiveView(config)
    view()
    assert [part[0].data for part in shown] == ["step 0 of 100"]
    save_sheets(config.run_folder, {20: 100})
    append_to_journal(config.run_folder / "journal.jsonl", **tick(20))
    view()  # looked at only just now
    assert len(shown[0]) == 1
    LiveView(config)()  # as after a restart
    assert shown[1][0].data.startswith("step 20 of 100")
    assert len(shown) == 4
    assert shown[2][0].data == (config.run_folder / "losses.png").read_bytes()
    assert shown[3][0].data == (config.run_folder / "samples/step_00000020.jpg").read_bytes()
    monkeypatch.setattr("dragface_lib.train.progress.REDRAW_SECONDS", 0)
    view._next = 0
    view()
    assert shown[0][-1].data.startswith("step 20 of 100")


def test_few_generators_are_kept_and_more_of_them_early():
    kept = [step for step in range(300_001) if is_milestone(step, 1000)]
    assert kept[:8] == [1000, 2000, 3000, 4000, 6000, 8000, 12000, 16000]
    assert (len(kept), kept[-1]) == (16, 256_000)
    assert [step for step in range(9) if is_milestone(step, 4)] == [4, 8]
