# One thin line around the command `head2toe` for each target. `make` alone prints this help.
#
#   make demo                        the whole way on embedded images: install, extract, select, probe
#   make test                        install what the tests need and run them
#   make run TASK=path/to/folder     extract, select and probe a task
#   make extract|select|probe TASK=… one stage (a stage runs those before it where they are missing)
#   make bench                       print the benchmarks' ratios (bench-store, -select, -extract, -probe: one)
#   make bench-growth                how selection and heads grow with the rows: CPU seconds, memory, exponents
#   make bench-scaling               what a million images and ten million features would take of many machines, on paper
#   make bench-gpu-model             what stage two would ask of a GPU, counted without one, and a model of its time
#   make bench-gpu-extract           images a second of stage one on a GPU, by batch size, precision and threads
#   make gpu-check                   the first minutes on a machine with a GPU: its tests, agreement, costs, as a table
#   make bench-accuracy DATA=…       every method on every task below a folder
#   make bench-guarantees DATA=…     how often prediction sets hold the true class, and whether foreign images are known
#   make bench-audit DATA=…          how many turned labels and copied pictures an audit finds
#   make bench-curve DATA=…          what a learning curve of half of the labels promises for all of them
#   make bench-suggest DATA=…        whether labelling what `suggest` names beats labelling at random
#   make torture                     kill writers of a store, and commands (KILLS=200), at random moments; nothing may be lost
#   make check                       ruff and mypy (check-lint, check-format, check-types: one of them)
#   make docs                        the documentation's pages, into site/
#   make pictures                    the pictures of docs/images that commands make, anew (`make docs` makes its own)
#   make faq                         the table of bad inputs in docs/faq.md, from the rows that the tests run
#   make clean                       remove builds, caches and results (never feature stores)
#
# Variables, passed on where given: TASK BACKBONE WEIGHTS TAPS INPUT_SIZE TARGET_SIZE (several in quotes) STORE OUTPUT
# DEVICE BATCH_SIZE SEED, and ARGS for anything else the command takes. PYTHON is the interpreter that makes .venv.

PYTHON ?= python3
TASK ?= digits
VENV := .venv
BIN := $(VENV)/bin

OPTIONS = $(if $(BACKBONE),--backbone $(BACKBONE)) $(if $(WEIGHTS),--weights '$(WEIGHTS)') $(if $(TAPS),--taps '$(TAPS)') \
  $(if $(INPUT_SIZE),--input-size $(INPUT_SIZE)) $(foreach size,$(TARGET_SIZE),--target-size $(size)) \
  $(if $(STORE),--store '$(STORE)') $(if $(OUTPUT),--output '$(OUTPUT)') $(if $(DEVICE),--device $(DEVICE)) \
  $(if $(BATCH_SIZE),--batch-size $(BATCH_SIZE)) $(if $(SEED),--seed $(SEED)) $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check check-lint check-format check-types docs pictures faq bench bench-store bench-select bench-extract bench-probe bench-growth bench-scaling bench-gpu-model bench-gpu-extract gpu-check bench-accuracy bench-guarantees bench-audit bench-curve bench-suggest torture extract select probe run clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

demo: $(VENV)/demo
	$(BIN)/head2toe run digits --input-size 96 --target-size 512

# A process of one thread for each core: threads of several would get in each other's way, which takes half as long
# again. Tests of a file stay in one process, which makes what they share once. Python keeps what it compiled, whatever
# the environment says: tests start many processes.
test: $(VENV)/dev
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m "not slow" -n auto --maxprocesses 8 --dist loadfile

test-slow: $(VENV)/dev
	$(BIN)/python -m pytest -m slow

# What .pre-commit-config.yaml calls one by one.
check: check-lint check-format check-types

check-lint: $(VENV)/dev
	$(BIN)/ruff check .

check-format: $(VENV)/dev
	$(BIN)/ruff format --check .

check-types: $(VENV)/dev .cache/typing/head2toe
	$(BIN)/mypy -p head2toe.extract -p head2toe.probe -p head2toe.select -p head2toe.store -m head2toe.pipeline

# The variable silences news about the tool's successor; --strict makes every warning an error.
docs: $(VENV)/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

pictures: $(VENV)/docs
	$(BIN)/python docs/hooks/pictures.py

faq: $(VENV)/dev
	$(BIN)/python -m head2toe.tests.bad_inputs.page

extract select probe run: $(VENV)/demo
	$(BIN)/head2toe $@ '$(TASK)' $(OPTIONS)

bench: bench-store bench-select bench-extract bench-probe

bench-store: $(VENV)/bench
	$(BIN)/python benchmarks/store/products.py $(ARGS)
	$(BIN)/python benchmarks/store/checksums.py $(ARGS)

# One BLAS thread: what is compared is CPU time.
bench-select: $(VENV)/bench
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/selection.py $(ARGS)

bench-extract: $(VENV)/bench
	$(BIN)/python benchmarks/extraction.py $(ARGS)

bench-probe: $(VENV)/bench
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/probing.py $(ARGS)

# The largest sizes take half an hour: ARGS="--rows 1000 2000 4000" for less.
bench-growth: $(VENV)/bench
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/rows/growth.py $(ARGS)

bench-scaling: $(VENV)/demo
	$(BIN)/python benchmarks/rows/scaling.py $(ARGS)

# A model of the time on a GPU from what is counted on a stand-in for CuPy: nothing is measured on one.
bench-gpu-model: $(VENV)/bench
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/gpu/model.py $(ARGS)

bench-gpu-extract: $(VENV)/bench
	$(BIN)/python benchmarks/gpu/extraction.py $(ARGS)

gpu-check: $(VENV)/dev
	$(BIN)/python benchmarks/gpu/check.py $(ARGS)

bench-accuracy: $(VENV)/bench
	$(BIN)/python benchmarks/accuracy.py --data $(DATA) $(ARGS)

bench-guarantees: $(VENV)/bench
	$(BIN)/python benchmarks/tasks/guarantees.py --data $(DATA) $(ARGS)

bench-audit: $(VENV)/bench
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/tasks/audit.py --data $(DATA) $(ARGS)

bench-curve: $(VENV)/bench
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/tasks/curve.py --data $(DATA) $(ARGS)

bench-suggest: $(VENV)/bench
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/tasks/suggest.py --data $(DATA) $(ARGS)

torture: $(VENV)/dev
	$(BIN)/python benchmarks/torture.py $(ARGS)
	$(BIN)/python benchmarks/torture_commands.py $(if $(KILLS),--kills $(KILLS))

clean:
	rm -rf build dist site results *.egg-info .pytest_cache .mypy_cache .ruff_cache .cache/typing .cache/docs
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# A file in .venv stands for an install that was done; pyproject.toml being newer makes it again.
$(VENV)/demo: pyproject.toml
	$(call install,.[demo])

$(VENV)/dev: pyproject.toml
	$(call install,.[demo$(,)dev])

$(VENV)/docs: pyproject.toml
	$(call install,.[demo$(,)docs])

$(VENV)/bench: pyproject.toml
	$(call install,.[demo$(,)bench])

, := ,
define install
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	rm -rf build
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '$(1)'
	touch $@
endef

# mypy reads the package under its own name through this link.
.cache/typing/head2toe:
	mkdir -p .cache/typing
	ln -sfn ../.. $@
