#!/bin/sh
# Make a virtual environment beside .venv: with Colab's versions, or with the oldest that requirements.txt allows.
#     sh tools/set_up_versions.sh colab|oldest FOLDER
# The Python is the one that Colab has (3.13), or the oldest supported (3.10), where this machine has it.
set -eu
kind=$1 folder=$2
browsers='^(playwright|voila|jupyterlab|uv)[>=]'  # browser tests need JupyterLab 4, and Colab has a front end of its own
case $kind in
colab) wanted=3.13 options="--constraint $folder/constraints.txt" left_out="$browsers|^(opencv-python|jaxtyping|ImageHash)[>=]" ;;
oldest) wanted=3.10 options="--resolution lowest-direct" left_out=$browsers ;;
*) echo "usage: $0 colab|oldest FOLDER" >&2; exit 2 ;;
esac

for python in "python$wanted" "$HOME/.pyenv/versions/$wanted".*/bin/python "${PYTHON:-python3}"; do
    "$python" -c 'import venv' 2>/dev/null && break
done
echo "Installing into $folder, with $("$python" --version) ..."
rm -rf "$folder"
"$python" -m venv --without-pip "$folder"
uv() { .venv/bin/uv "$@"; }
# Compiled once here: every notebook and command of the tests is a process of its own that imports torch.
install() {
    uv pip install --quiet --compile-bytecode --python "$folder/bin/python" "$@" || {
        echo "$folder could not be installed: it needs the network and 5 GB of disk; nothing was tested in it." >&2
        exit 1
    }
}
grep -vE "$left_out" requirements.txt >"$folder/requirements.txt"
grep -v "^tifffile==" tests/colab/versions.txt >"$folder/constraints.txt"  # not for Python 3.11, and not called here
# shellcheck disable=SC2086
install $options -r "$folder/requirements.txt"
install pip
[ "$kind" = colab ] || exit 0

# The rest as the notebooks' set-up cell does it, with pip: nothing that Colab has may change.
install --constraint "$folder/constraints.txt" PyWavelets  # Colab has it
sh tools/set_up_opencv.sh "$folder" 5
freeze() { uv pip freeze --quiet --python "$folder/bin/python" | LC_ALL=C sort; }
freeze >"$folder/before.txt"
started=$(date +%s)
"$folder/bin/python" -c 'from dragface_lib import session; session.install_missing()'
echo "The set-up cell has installed what was missing in $(($(date +%s) - started)) s."
freeze >"$folder/after.txt"
if changed=$(LC_ALL=C comm -23 "$folder/before.txt" "$folder/after.txt") && [ -n "$changed" ]; then
    echo "The set-up cell has changed what Colab has installed: $changed" >&2
    exit 1
fi
LC_ALL=C comm -13 "$folder/before.txt" "$folder/after.txt" | sed 's/^/The set-up cell adds /'
