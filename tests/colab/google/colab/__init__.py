"""A stand-in for Colab's own package, which is on no package index: what this project uses of it, and behaves like it.

Put `tests/colab` on the path, and it is `google.colab` (there is no `google/__init__.py`). The folder that the variable
COLAB_STAND_IN names says what this Colab is like; see `_front_end.py`. Errors and the order of checks are those of
googlecolab/colabtools as of April 2026.
"""
