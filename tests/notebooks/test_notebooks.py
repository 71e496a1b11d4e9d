"""What must hold of the notebooks besides that they run: no outputs, short cells, one address, one set-up cell."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["01_scrape", "02_crop", "03_train", "04_showcase"]
ADDRESS = re.search(r'^Repository = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE).group(1)


def code_cells(name: str) -> list[dict]:
    book = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())
    return [cell for cell in book["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_begins_with_its_badge_and_has_short_titled_cells_without_outputs(name):
    book = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())
    badge = f"colab.research.google.com{ADDRESS.replace('https://github.com', '/github')}/blob/main/notebooks/{name}"
    assert badge in "".join(book["cells"][0]["source"])
    for number, cell in enumerate(code_cells(name)):
        source = "".join(cell["source"])
        assert source.startswith("# @title ")
        assert not cell["outputs"]
        assert cell["execution_count"] is None
        assert len(source.splitlines()) <= (25 if number else 12)


def test_all_notebooks_share_one_set_up_cell_with_the_address_of_the_project():
    setups = {"".join(code_cells(name)[0]["source"]) for name in NAMES}
    assert len(setups) == 1
    assert f"-b main {ADDRESS} " in setups.pop()


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Function that runs the set-up cell as on Colab or Kaggle, with `google.colab`'s stand-in where there is one and
    its folders below tmp_path, then the code `after`. Returns what was printed.
    """
    for folder in ("commands", "content", "drive", "colab", "tmp"):
        (tmp_path / folder).mkdir()
    git = tmp_path / "commands/git"
    git.write_text('#!/bin/sh\necho git "$@"\ncp -r "$PUBLISHED" "$7"\n')
    git.chmod(0o755)
    monkeypatch.setenv("PATH", str(git.parent), prepend=":")
    monkeypatch.setenv("COLAB_STAND_IN", str(tmp_path / "colab"))
    monkeypatch.setenv("PUBLISHED", str(project(tmp_path / "published", tmp_path)))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("DRAGFACE_HOME")

    def run(colab=True, after="", **settings):
        (tmp_path / "colab" / "settings.json").write_text(json.dumps(settings))
        cell = "".join(code_cells("01_scrape")[0]["source"])
        for place in ("content", "tmp/DragFace"):
            cell = cell.replace(f'"/{place}', f'"{tmp_path}/{place}')
        (tmp_path / "cell.ipy").write_text(f"{cell}\n{after}\n")
        environment = os.environ | {"PYTHONPATH": str(ROOT / "tests" / "colab") if colab else ""}
        command = [
            sys.executable,
            "-m",
            "IPython",
            "--no-banner",
            "--no-term-title",
            "--colors=NoColor",
            str(tmp_path / "cell.ipy"),
        ]
        done = subprocess.run(
            command, cwd=tmp_path / "content", env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def project(folder, tmp_path):
    """A copy of what the cell needs, with Colab's disk below tmp_path."""
    shutil.copytree(ROOT / "dragface_lib", folder / "dragface_lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.txt", "pyproject.toml", "data_manifest.csv"):
        shutil.copy(ROOT / name, folder)
    code = folder / "dragface_lib/session.py"
    code.write_text(code.read_text().replace('Path("/content")', f'Path("{tmp_path}/content")'))
    return folder


WHERE = "import dragface_lib; print(dragface_lib.__file__); print('torchvision' in sys.modules)"


def test_set_up_on_colab_clones_the_repository_once_mounts_drive_and_says_what_it_found(tmp_path, machine):
    cloned, mounted, line, place, slow = machine(after=WHERE).splitlines()
    assert cloned == f"git clone -q --depth=1 -b main {ADDRESS} {tmp_path}/tmp/DragFace"
    assert mounted.startswith("Mounted at")
    assert re.fullmatch(r"DragFace .* on Colab: no GPU .*T4 GPU.*; [\d.]+ GiB left on Drive; no run .* yet\.", line)
    assert place == f"{tmp_path}/tmp/DragFace/dragface_lib/__init__.py"
    assert slow == "False"  # what takes seconds to import waits for the cell that needs it
    assert "git" not in machine()  # the cell is safe to run twice


def test_set_up_on_colab_prefers_a_copy_on_drive(tmp_path, machine):
    copy = project(tmp_path / "content/drive/MyDrive/MyCopy", tmp_path)
    printed = machine(after=WHERE)
    assert "git" not in printed
    assert f"{copy}/dragface_lib/__init__.py" in printed


def test_set_up_does_not_ask_again_for_a_drive_that_was_refused(tmp_path, machine):
    after = "from dragface_lib import Workspace; print(Workspace.open().root)"
    *_, line, root = machine(after=after, drive="timeout").splitlines()
    assert "Drive was not mounted (mount failed: timeout" in line
    assert "ends with the session" in line
    assert root == f"{tmp_path}/content/DragFace"
    assert (tmp_path / "colab/calls.txt").read_text().split() == ["request_auth"]


def test_set_up_on_kaggle_clones_the_repository(tmp_path, machine):
    assert f"{tmp_path}/tmp/DragFace/dragface_lib/__init__.py" in machine(colab=False, after=WHERE)


def test_the_published_address_is_rewritten_everywhere_by_one_command(tmp_path):
    (tmp_path / "dragface_lib").mkdir()
    for name in ("pyproject.toml", "README.md", "tools", "notebooks", "dragface_lib/network.py"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    command = [sys.executable, str(tmp_path / "tools" / "set_repository.py")]
    assert subprocess.run([*command, "nonsense"], capture_output=True, check=False).returncode == 2
    subprocess.run([*command, "https://github.com/someone/Elsewhere"], check=True, capture_output=True)
    for path in [tmp_path / "pyproject.toml", tmp_path / "README.md", *(tmp_path / "notebooks").glob("*.ipynb")]:
        assert ADDRESS not in path.read_text()
        assert "someone/Elsewhere" in path.read_text()
        assert ADDRESS.removeprefix("https://github.com/") + "/blob" not in path.read_text()
