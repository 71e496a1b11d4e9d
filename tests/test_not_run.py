"""A test that needs what a machine lacks is taken out and listed with the reason, not skipped in silence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = """
import pytest

@pytest.mark.browser
def test_drop():
    raise AssertionError("must not run")

def test_other():
    pass
"""


def test_without_a_browser_its_tests_are_listed_as_not_run(tmp_path):
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = browser: needs a browser\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    environment = {**os.environ, "PATH": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_it.py::test_drop: no Chromium browser on this machine" in done.stdout
    assert "1 passed, 1 deselected" in done.stdout.splitlines()[-1]
