"""What must hold of the notebooks besides that they run: no outputs, short cells, one address, one set-up cell."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
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


def run_set_up(tmp_path, monkeypatch, mount="print('mounted', path)"):
    """The cell itself, with a stand-in for Colab's drive and Drive's folder moved below tmp_path. Returns what it
    printed, and the folder that dragface_lib was imported from.
    """
    stand_in = tmp_path / "stand_in" / "google" / "colab"
    stand_in.mkdir(parents=True, exist_ok=True)
    (stand_in / "__init__.py").write_text("")
    (stand_in / "drive.py").write_text(f"def mount(path): {mount}\n")
    commands = tmp_path / "commands"
    commands.mkdir(exist_ok=True)
    for name, body in {
        "unzip": "import zipfile; zipfile.ZipFile(sys.argv[2]).extractall(sys.argv[4])",
        "git": f"import shutil; shutil.copytree({str(tmp_path / 'published')!r}, sys.argv[-1])",
    }.items():
        (commands / name).write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
        (commands / name).chmod(0o755)
    cell = "".join(code_cells("01_scrape")[0]["source"])
    cell = cell.replace("/content/drive", str(tmp_path / "drive")).replace("/content/", f"{tmp_path}/content/")
    cell = cell.replace('[sys.executable, "-m", "pip"', '["true"')  # no test reaches out
    script = f"import sys\nsys.path.insert(0, {str(tmp_path / 'stand_in')!r})\n{cell}\n"
    script += "import dragface_lib\nprint(dragface_lib.__file__)\n"
    elsewhere = tmp_path / "content"
    elsewhere.mkdir(exist_ok=True)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(commands), prepend=":")
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=elsewhere, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    *printed, imported = done.stdout.splitlines()
    return " ".join(printed), Path(imported).parents[1]


def project(folder):
    """A copy of what the cell imports."""
    shutil.copytree(ROOT / "dragface_lib", folder / "dragface_lib", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_set_up_on_colab_takes_the_project_from_a_zip_on_drive(tmp_path, monkeypatch):
    drive = tmp_path / "drive" / "MyDrive"
    drive.mkdir(parents=True)
    project(tmp_path / "packed" / "DragFace-main")
    shutil.make_archive(str(drive / "DragFace"), "zip", tmp_path / "packed", "DragFace-main")
    for _ in range(2):  # the cell is safe to run twice
        _, home = run_set_up(tmp_path, monkeypatch)
        assert home == tmp_path / "content" / "dragface-code" / "DragFace-main"


def test_set_up_on_colab_prefers_a_folder_on_drive_and_passes_over_other_zips(tmp_path, monkeypatch):
    drive = tmp_path / "drive" / "MyDrive"
    project(drive / "MyCopy")
    with zipfile.ZipFile(drive / "DragFace photos.zip", "w") as other:
        other.writestr("me.jpg", b"")
    (drive / "dragface.zip").write_text("no zip at all")
    assert run_set_up(tmp_path, monkeypatch)[1] == drive / "MyCopy"


def test_set_up_on_colab_clones_the_repository_when_drive_is_refused(tmp_path, monkeypatch):
    project(tmp_path / "published")
    printed, home = run_set_up(tmp_path, monkeypatch, mount="raise ValueError('mount failed')")
    assert "mount failed" in printed
    assert home == tmp_path / "content" / "dragface-code"


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
