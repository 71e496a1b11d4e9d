# make demo [PHOTO=path]     a photo in drag, in out/before_after.jpg
# make test                  everything that is tested
# make repository URL=...    the published address, into badges and set-up cells
PYTHON ?= python3
VENV := .venv
PHOTO ?=

.PHONY: demo test style repository clean

demo: $(VENV)/installed
	$(VENV)/bin/python -m dragface_lib demo $(if $(PHOTO),"$(PHOTO)")

test: $(VENV)/installed style
	$(VENV)/bin/python -m pytest tests notebooks --nbval-lax --nbval-current-env --nbval-cell-timeout=600

style: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/nbstripout --verify --keep-id notebooks/*.ipynb

repository: $(VENV)/installed
	$(VENV)/bin/python tools/set_repository.py "$(URL)"

$(VENV)/installed: requirements.txt tools/set_up.sh
	@PYTHON="$(PYTHON)" sh tools/set_up.sh $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) out
