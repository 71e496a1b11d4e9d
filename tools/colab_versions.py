"""Write tests/colab/versions.txt anew: what Google Colab's GPU runtime has installed, as a constraints file.

    git clone --depth=1 https://github.com/googlecolab/backend-info
    python tools/colab_versions.py backend-info/pip-freeze.gpu.txt 2026-08-19

The date is that of the list's last commit. Left out is what no package index has (Colab's own builds, local version
labels) and what depends on a machine's CUDA.
"""

from __future__ import annotations

import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "tests" / "colab" / "versions.txt"
LEFT_OUT = ("#", "nvidia-", "cuda-")


def main(freeze: str, date: str) -> None:
    """freeze: the file with Colab's list. date: on which it was made."""
    lines = [line.partition("+")[0].strip() for line in Path(freeze).read_text().splitlines()]
    pinned = [line for line in lines if "==" in line and " @ " not in line and not line.startswith(LEFT_OUT)]
    head = f"# What Google Colab's GPU runtime had installed on {date}; tools/colab_versions.py renews it."
    TARGET.write_text("\n".join([head, *pinned]) + "\n")
    print(f"{TARGET}: {len(pinned)} versions of {date}")


if __name__ == "__main__":
    main(*sys.argv[1:])
