#!/bin/sh
# Colab has three OpenCV wheels in one folder: the one installed last decides which OpenCV that is, 4 or 5.
#     sh tools/set_up_opencv.sh FOLDER 4|5
set -eu
install() { .venv/bin/uv pip install --quiet --no-deps --reinstall --python "$folder/bin/python" "$@"; }
folder=$1
wheels() { grep -E "^$1==" tests/colab/versions.txt; }
four=$(wheels opencv-contrib-python) five="$(wheels opencv-python) $(wheels opencv-python-headless)"
.venv/bin/uv pip uninstall --quiet --python "$folder/bin/python" opencv-python opencv-python-headless opencv-contrib-python
# shellcheck disable=SC2086
if [ "$2" = 5 ]; then
    install $four
    install $five
else
    install $five
    install $four
fi
"$folder/bin/python" -c 'import cv2, sys; sys.exit(not cv2.__version__.startswith(sys.argv[1]))' "$2"
