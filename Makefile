# make demo [PHOTO=path]     a photo in drag, in out/before_after.jpg
# make test                  everything that is tested
# make test-colab            unit tests and notebooks with the versions that Colab has
# make test-oldest           the same with the oldest versions that requirements.txt allows
# make coverage              the lines and branches of the library that no test and no notebook reaches
# make repository URL=...    the published address, into badges and set-up cells
PYTHON ?= python3
VENV := .venv
PHOTO ?=

NOTEBOOKS := --nbval-lax --nbval-current-env --nbval-cell-timeout=600

.PHONY: demo test test-colab test-oldest coverage style repository clean

demo: $(VENV)/installed
	$(VENV)/bin/python -m dragface_lib demo $(if $(PHOTO),"$(PHOTO)")

test: $(VENV)/installed style
	$(VENV)/bin/python -m pytest tests notebooks $(NOTEBOOKS)

# Colab has OpenCV 4 and 5 in one folder: everything runs with the 5 on top, and with the 4 what uses OpenCV.
# OpenCV 5 finds no face without YuNet's file, which DRAGFACE_MODELS names: without it everything runs with the 4.
USES_OPENCV := $(if $(DRAGFACE_MODELS),tests/crop tests/practice tests/showcase,tests)
test-colab: .venv-colab/installed
ifdef DRAGFACE_MODELS
	sh tools/set_up_opencv.sh .venv-colab 5
	PYTHONPATH=tests/colab .venv-colab/bin/python -m pytest tests notebooks $(NOTEBOOKS) -m "not browser"
else
	@echo "Not tested with OpenCV 5: no folder with YuNet's file is named by DRAGFACE_MODELS."
endif
	sh tools/set_up_opencv.sh .venv-colab 4
	PYTHONPATH=tests/colab .venv-colab/bin/python -m pytest $(USES_OPENCV) notebooks $(NOTEBOOKS) -m "not browser"

test-oldest: .venv-oldest/installed
	.venv-oldest/bin/python -m pytest tests notebooks $(NOTEBOOKS) -m "not browser"

coverage: $(VENV)/installed
	$(VENV)/bin/python -m pytest tests notebooks $(NOTEBOOKS) --cov --cov-report=term-missing:skip-covered

style: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/nbstripout --verify --keep-id notebooks/*.ipynb

repository: $(VENV)/installed
	$(VENV)/bin/python tools/set_repository.py "$(URL)"

$(VENV)/installed: requirements.txt tools/set_up.sh
	@PYTHON="$(PYTHON)" sh tools/set_up.sh $(VENV)
	@touch $@

.venv-%/installed: requirements.txt tests/colab/versions.txt tools/set_up_versions.sh $(VENV)/installed
	@PYTHON="$(PYTHON)" sh tools/set_up_versions.sh $* .venv-$*
	@touch $@

clean:
	rm -rf $(VENV) .venv-colab .venv-oldest out
