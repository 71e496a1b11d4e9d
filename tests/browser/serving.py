"""A notebook in a real browser: served by Voila or JupyterLab, opened in Chromium, without any network.

    with served(folder, cell, "lab") as address, chromium() as browser:
        page = browser.new_page()
        open_notebook(page, address, ".df-zone")

With DRAGFACE_SCREENSHOTS=folder `keep` saves pictures there, to be looked at.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat

try:
    from playwright.sync_api import sync_playwright
except ImportError:  # these tests are then listed as not run
    sync_playwright = None

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing may come from elsewhere
]
SCREENSHOTS = os.environ.get("DRAGFACE_SCREENSHOTS")
WAIT = 120_000  # milliseconds; a loaded machine is slow to start a kernel
SERVERS = {
    "voila": ["voila", "show.ipynb", "--no-browser", "--Voila.ip=127.0.0.1", "--port={port}"],
    "lab": [
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port={port}",
        "--IdentityProvider.token=",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly",
    ],
}
PATHS = {"voila": "", "lab": "lab/tree/show.ipynb?reset"}


@contextmanager
def served(folder: Path, cell: str, server: str = "voila") -> Iterator[str]:
    """The address of a notebook of one cell in `folder`, in which the server and the kernel run."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "show.ipynb")
    settings = folder / ".jupyter"
    (settings / "labconfig").mkdir(parents=True, exist_ok=True)
    off = {"@jupyterlab/apputils-extension:announcements": True}  # asks about news, which would come from elsewhere
    (settings / "labconfig" / "page_config.json").write_text(json.dumps({"disabledExtensions": off}))
    widgets = settings / "settings" / "@jupyter-widgets" / "jupyterlab-manager"
    widgets.mkdir(parents=True, exist_ok=True)
    (widgets / "plugin.jupyterlab-settings").write_text(json.dumps({"saveState": True}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DRAGFACE_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    environment["DRAGFACE_MIRROR"] = "http://127.0.0.1:9"  # whatever is not at hand is refused at once
    environment["JUPYTER_CONFIG_DIR"] = str(settings)
    for name in ("SETTINGS", "WORKSPACES"):
        environment[f"JUPYTERLAB_{name}_DIR"] = str(settings / name.lower())
    command = [sys.executable, "-m", *(part.format(port=port) for part in SERVERS[server])]
    with open(folder / f"{server}.log", "w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/{PATHS[server]}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


@contextmanager
def chromium(*flags: str):
    """A browser of playwright's, without a window."""
    executable = next(filter(None, map(shutil.which, BROWSERS)))
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=executable, args=[*FLAGS, *flags])
        yield browser
        browser.close()


def open_notebook(page, address: str, selector: str) -> None:
    """Open the notebook, run its cell where the server has not, and wait for what the cell shows."""
    page.failures = []
    page.on("pageerror", lambda error: page.failures.append(str(error)))
    page.goto(address, timeout=WAIT)
    if "/lab/" in address:
        # The kernel may be offered late; a cell that is run before it is there does nothing.
        page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
            timeout=WAIT,
        )
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(selector).first.wait_for(timeout=WAIT)


def keep(page, name: str) -> None:
    """Save a picture of the page where DRAGFACE_SCREENSHOTS says so."""
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)
