"""What must hold of the notebooks besides that they run: no outputs, short cells, one address, one set-up cell."""

from __future__ import annotations

import json
import os
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
    for number, cell in enumerate(code_cells(name)):
        source = "".join(cell["source"])
        assert source.startswith("# @title ")
        assert not cell["outputs"]
        assert cell["execution_count"] is None
        assert len(source.splitlines()) <= (25 if number else 31)


def test_all_notebooks_share_one_set_up_cell_with_the_address_of_the_project():
    setups = {"".join(code_cells(name)[0]["source"]) for name in NAMES}
    assert len(setups) == 1
    assert f'REPOSITORY, BRANCH = "{ADDRESS}", "main"' in setups.pop()


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Function that runs the set-up cell as on Colab or Kaggle, with `google.colab`'s stand-in where there is one and
    its folders below tmp_path. Returns the finished process and the folder that dragface_lib was imported from.
    """
    commands = tmp_path / "commands"
    commands.mkdir()
    for name, body in {"unzip": UNZIP, "git": GIT, "curl": CURL}.items():
        (commands / name).write_text(f"#!{sys.executable}\n{body}\n")
        (commands / name).chmod(0o755)
    for folder in ("content/sample_data", "drive", "colab"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setenv("PATH", str(commands), prepend=":")
    monkeypatch.setenv("COLAB_STAND_IN", str(tmp_path / "colab"))
    monkeypatch.setenv("COLAB_JUPYTER_IP", "172.28.0.12")
    monkeypatch.setenv("PUBLISHED", str(tmp_path / "published"))
    monkeypatch.delenv("DRAGFACE_HOME")

    def run(colab=True, says="print(refused)", **settings):
        (tmp_path / "colab" / "settings.json").write_text(json.dumps(settings))
        cell = "".join(code_cells("01_scrape")[0]["source"]).replace("session.begin(refused)", says)
        for place in ("content", "kaggle", "tmp/dragface-code"):
            cell = cell.replace(f'"/{place}', f'"{tmp_path}/{place}')
        script = f"{cell}\nimport dragface_lib\nprint(dragface_lib.__file__)\n"
        environment = os.environ | {"PYTHONPATH": str(ROOT / "tests" / "colab") if colab else ""}
        command = [sys.executable, "-c", script]
        done = subprocess.run(
            command, cwd=tmp_path / "content", env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done, Path(done.stdout.splitlines()[-1]).parents[1]

    return run


UNZIP = """
import fnmatch, sys, zipfile
_, options, packed, *parts, into, folder = sys.argv
assert (options, into) == ("-qo", "-d")
with zipfile.ZipFile(packed) as archive:
    archive.extractall(folder, [n for n in archive.namelist() if any(fnmatch.fnmatch(n, part) for part in parts)])
"""
GIT = """
import os, shutil, sys
if sys.argv[1] == "clone":
    shutil.copytree(os.environ["PUBLISHED"], sys.argv[-1])
    print("cloned", sys.argv[-2], sys.argv[-3])
"""
CURL = """
import os, sys
assert sys.argv[-1] == "172.28.0.12:9000/api/sessions"
print(os.environ.get("SESSIONS", ""))
"""


def project(folder):
    """A copy of what the cell needs."""
    shutil.copytree(ROOT / "dragface_lib", folder / "dragface_lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.txt", "pyproject.toml", "data_manifest.csv"):
        shutil.copy(ROOT / name, folder)
    return folder


def in_the_cloud(tmp_path, name):
    """A place on the Drive of this Colab."""
    place = tmp_path / "colab" / "cloud" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def test_set_up_on_colab_takes_the_project_from_a_zip_on_drive(tmp_path, machine):
    project(tmp_path / "packed" / "DragFace-main")
    target = in_the_cloud(tmp_path, "DragFace.zip").with_suffix("")
    shutil.make_archive(str(target), "zip", tmp_path / "packed", "DragFace-main")
    for _ in range(2):  # the cell is safe to run twice
        _, home = machine()
        assert home == tmp_path / "tmp/dragface-code/DragFace-main"
        assert (home / "requirements.txt").is_file()
        shutil.rmtree(tmp_path / "content/drive")


def test_set_up_on_colab_prefers_a_folder_on_drive_and_passes_over_other_zips(tmp_path, machine):
    project(in_the_cloud(tmp_path, "MyCopy"))
    with zipfile.ZipFile(in_the_cloud(tmp_path, "DragFace photos.zip"), "w") as other:
        other.writestr("me.jpg", b"")
    in_the_cloud(tmp_path, "dragface.zip").write_text("no zip at all")
    assert machine()[1] == tmp_path / "content/drive/MyDrive/MyCopy"
    assert not list(tmp_path.glob("tmp/**/me.jpg"))


def test_set_up_on_colab_clones_the_repository_when_drive_is_refused(tmp_path, machine):
    project(tmp_path / "published")
    done, home = machine(drive="refused")
    assert "credential propagation was unsuccessful" in done.stdout
    assert f"cloned {ADDRESS} main" in done.stdout
    assert home == tmp_path / "tmp/dragface-code/repository"
    assert "cloned" not in machine(drive="refused")[0].stdout  # it is there already


@pytest.mark.parametrize("slash", ["/", "%2F"])
def test_set_up_on_colab_takes_the_fork_and_branch_that_the_notebook_was_opened_from(
    tmp_path, machine, monkeypatch, slash
):
    project(tmp_path / "published")
    opened = "fileId=https%3A//github.com/someone/Their.Fork/blob/better-lips/notebooks/03_train.ipynb"
    monkeypatch.setenv("SESSIONS", json.dumps([{"path": opened.replace("/", slash), "name": "03_train.ipynb"}]))
    assert "cloned https://github.com/someone/Their.Fork better-lips" in machine()[0].stdout


def test_set_up_on_kaggle_takes_an_attached_copy_or_the_repository(tmp_path, machine):
    project(tmp_path / "published")
    assert machine(colab=False)[1] == tmp_path / "tmp/dragface-code/repository"
    project(tmp_path / "kaggle/input/dragface/DragFace-main")
    assert machine(colab=False)[1] == tmp_path / "kaggle/input/dragface/DragFace-main"


def test_set_up_asks_for_drive_once_and_says_in_one_line_what_it_found(tmp_path, machine):
    home = project(in_the_cloud(tmp_path, "DragFaceCode"))
    place = home / "dragface_lib/workspace.py"
    place.write_text(place.read_text().replace('Path("/content")', f'Path("{tmp_path}/content")'))
    opened = "session.begin(refused); print('torchvision' in sys.modules)"
    opened += "; from dragface_lib import Workspace; print(Workspace.open().root)"
    mounted, line, slow, root, _ = machine(says=opened)[0].stdout.splitlines()
    assert mounted.startswith("Mounted at")
    assert slow == "False"  # what takes seconds to import waits for the cell that needs it
    assert re.fullmatch(r"DragFace .* on Colab: no GPU .*T4 GPU.*; [\d.]+ GiB left on Drive; no run .* yet\.", line)
    assert root.endswith("MyDrive/DragFace")
    assert (tmp_path / "colab/calls.txt").read_text().split() == ["request_auth"]


def test_set_up_does_not_ask_again_for_a_drive_that_was_refused(tmp_path, machine):
    home = project(tmp_path / "published")
    place = home / "dragface_lib/workspace.py"
    place.write_text(place.read_text().replace('Path("/content")', f'Path("{tmp_path}/content")'))
    opened = "session.begin(refused); from dragface_lib import Workspace; print(Workspace.open().root)"
    _, line, root, _ = machine(says=opened, drive="timeout")[0].stdout.splitlines()
    assert "Drive was not mounted (mount failed: timeout" in line
    assert "ends with the session" in line
    assert root == f"{tmp_path}/content/DragFace"
    assert (tmp_path / "colab/calls.txt").read_text().split() == ["request_auth"]


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
