#!/bin/sh
# Make the virtual environment named by $1 and install requirements.txt into it.
# What Debian and Ubuntu keep in packages of their own (venv, OpenCV's libGL) is installed when that is allowed.
set -eu
python=${PYTHON:-python3}

debian_packages() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "Please install first: apt-get install $*" >&2
        exit 1
    fi
    echo "Installing $* ..."
    apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed." >&2; exit 1; }
"$python" -c 'import venv, ensurepip' 2>/dev/null || debian_packages python3-venv
"$python" -m venv "$1"
echo "Installing requirements.txt into $1 (about 6 GB, two minutes) ..."
"$1/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
"$1/bin/python" -c 'import cv2' 2>/dev/null || debian_packages libgl1 libglib2.0-0
