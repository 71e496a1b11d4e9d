"""What must hold of the notebooks besides that they run: no outputs, short cells, one address, one set-up cell."""

from __future__ import annotations

import json
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
    for cell in code_cells(name):
        source = "".join(cell["source"])
        assert source.startswith("# @title ")
        assert not cell["outputs"]
        assert cell["execution_count"] is None
        assert len(source.splitlines()) <= 25


def test_all_notebooks_share_one_set_up_cell_with_the_address_of_the_project():
    setups = {"".join(code_cells(name)[0]["source"]) for name in NAMES}
    assert len(setups) == 1
    assert f'REPOSITORY = "{ADDRESS}"' in setups.pop()


def test_set_up_on_colab_takes_the_project_from_a_zip_on_drive(tmp_path, monkeypatch):
    """The cell itself, with a stand-in for Colab's drive and Drive's folder moved to a temporary one."""
    project = tmp_path / "DragFace-main"
    shutil.copytree(ROOT / "dragface_lib", project / "dragface_lib", ignore=shutil.ignore_patterns("__pycache__"))
    drive = tmp_path / "drive" / "MyDrive"
    drive.mkdir(parents=True)
    shutil.make_archive(str(drive / "DragFace"), "zip", tmp_path, "DragFace-main")
    shutil.rmtree(project)
    stand_in = tmp_path / "stand_in" / "google" / "colab"
    stand_in.mkdir(parents=True)
    (stand_in / "__init__.py").write_text("")
    (stand_in / "drive.py").write_text("def mount(path): print('mounted', path)\n")
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "unzip").write_text(
        f"#!{sys.executable}\nimport sys, zipfile\nzipfile.ZipFile(sys.argv[2]).extractall(sys.argv[4])\n"
    )
    (commands / "unzip").chmod(0o755)
    cell = "".join(code_cells("01_scrape")[0]["source"])
    cell = cell.replace("/content/drive", str(tmp_path / "drive")).replace("/content/", f"{tmp_path}/content/")
    cell = cell.replace('[sys.executable, "-m", "pip"', '["true"')  # no test reaches out
    script = f"import sys\nsys.path.insert(0, {str(tmp_path / 'stand_in')!r})\n{cell}\n"
    script += "import dragface_lib\nprint(dragface_lib.__file__)\n"
    elsewhere = tmp_path / "content"
    elsewhere.mkdir()
    monkeypatch.setenv("PATH", str(commands), prepend=":")
    for _ in range(2):  # the cell is safe to run twice
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=elsewhere, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert str(elsewhere / "dragface-code") in done.stdout


def test_the_published_address_is_rewritten_everywhere_by_one_command(tmp_path):
    for name in ("pyproject.toml", "README.md", "tools", "notebooks"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    command = [sys.executable, str(tmp_path / "tools" / "set_repository.py")]
    assert subprocess.run([*command, "nonsense"], capture_output=True, check=False).returncode == 2
    subprocess.run([*command, "https://github.com/someone/Elsewhere"], check=True, capture_output=True)
    for path in [tmp_path / "pyproject.toml", tmp_path / "README.md", *(tmp_path / "notebooks").glob("*.ipynb")]:
        assert ADDRESS not in path.read_text()
        assert "someone/Elsewhere" in path.read_text()
        assert ADDRESS.removeprefix("https://github.com/") + "/blob" not in path.read_text()
