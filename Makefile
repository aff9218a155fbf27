# make demo    see the node work: a study in, a segmentation and a report out (STUDY=folder: your own DICOM files)
# make test    lint and every test          make lint    only the linters
# Both set themselves up in .venv from the pinned and hashed lock files; nothing else on the machine is touched, except that
# `make test`, where it runs as root on Debian, installs the peers that the tests talk to (tests/peers/install).

.PHONY: demo test faults faults-short faults-selftest scale soak bench bench-short profiles pictures follow lint setup peers lock
.DEFAULT_GOAL := test
.SILENT:
MAKEFLAGS += --no-print-directory

PYTHON := .venv/bin/python
READY := .venv/.ready
UV := uv==0.13.9

demo: $(READY)
	$(PYTHON) -m tests.demo $(if $(STUDY),--study "$(STUDY)")

# Two processes, as the machines of CI have two cores; a file's tests stay together, since they share what they started, and the files
# come in the order that tests/conftest.py gives them (by itself the plugin leaves those with the fewest tests, the longest, to the end).
# The short fault matrix comes after them, alone: what it waits for is counted in seconds.
test: $(READY) peers lint
	$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder
	$(PYTHON) -m tests.faults --short

# The fault matrix (docs/faults.md): everything is killed, cut, filled and damaged at every stage. The short one takes under five minutes.
faults faults-short: $(READY) peers
	$(PYTHON) -m tests.faults $(if $(findstring short,$@),--short)

# Ten million instances in the journal (docs/capacity.md): does everything cost what it did? (DATABASE=postgresql; some 10 GiB of disk)
scale: $(READY) peers
	$(PYTHON) -m tests.scale simulate --database $(or $(DATABASE),sqlite)

# Twenty minutes at the full rate of this machine (docs/soak.md): is everything that the node holds flat? (DATABASE=postgresql)
soak: $(READY) peers
	$(PYTHON) -m tests.soak $(if $(DATABASE),--$(DATABASE))

# The node beside DCMTK, Orthanc, highdicom, dcmqi and MONAI, in one run, alone on the machine: writes docs/performance.md. The short one
# takes under ten minutes, leaves out torch and growth, and prints its tables.
bench bench-short: $(READY) peers
	$(if $(findstring short,$@),,tests/benchmarks/install)
	$(PYTHON) -m tests.benchmarks $(if $(findstring short,$@),--short,--page docs/performance.md)

# Every result profile through a real Orthanc, and through an archive that refuses one SOP class after the other: writes docs/profiles.md.
profiles: $(READY) peers
	$(PYTHON) -m tests.profiles

# Findings over time on made pairs whose truth is known, and through the shipped model: writes the tables of docs/follow.md (ten minutes).
follow: $(READY)
	$(PYTHON) -m tests.follow --page docs/follow.md

# The pictures of the docs: a real CT study through the node, in OHIF and in Orthanc's own viewer; needs ../shared. Look at each of them.
pictures: $(READY) peers
	$(PYTHON) -m tests.pictures
	$(PYTHON) -m tests.pictures --language fr

# Can the matrix fail? Breaks durability on purpose in a copy, one way at a time.
faults-selftest: $(READY) peers
	$(PYTHON) -m tests.faults.selftest

lint: $(READY)
	$(PYTHON) -m ruff check --quiet .
	$(PYTHON) -m ruff format --check --quiet .
	$(PYTHON) -m mypy --no-error-summary
	said=$$(.venv/bin/lint-imports --no-logo) || { echo "$$said"; exit 1; }

setup: $(READY)

peers:
	tests/peers/install

$(READY): tests/requirements.lock requirements.lock pyproject.toml
	echo "setting up .venv (about a minute the first time)"
	for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	  if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo "make: needs Python 3.11 or newer with venv (Debian: apt-get install python3-venv)" >&2; exit 1; fi; \
	[ -x $(PYTHON) ] || $$found -m venv .venv
	$(PYTHON) -m pip install -qq --disable-pip-version-check --no-input --require-hashes -r tests/requirements.lock
	$(PYTHON) -m pip install -qq --disable-pip-version-check --no-input --no-deps --editable .
	touch $@

# The lock files hold versions and hashes and no address, so that they serve behind any mirror.
COMPILE = .venv-lock/bin/uv pip compile --quiet pyproject.toml --universal --generate-hashes --no-header --no-annotate --no-emit-index-url
lock:
	python3 -m venv .venv-lock
	.venv-lock/bin/pip install -qq --disable-pip-version-check $(UV)
	$(COMPILE) --extra test --output-file tests/requirements.lock
	$(COMPILE) --extra s3 --constraint tests/requirements.lock --output-file requirements.lock  # what is tested is what runs
