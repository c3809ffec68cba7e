# The common ways through the harness. Every target sets up .venv by itself; `make help` lists them.
VENV ?= .venv
PYTHON ?= python3.11
BIN := $(VENV)/bin
HARNESS := $(BIN)/harness
SPLIT ?= test
DATA ?= $(HARNESS_DATA)
RECIPE ?=
RUN ?=
WEIGHTS ?=
GPUS ?=
FAULTS ?= full
SEED ?= 0
COUNT ?= 300
FACES ?= $(if $(HARNESS_REAL_DATA),$(HARNESS_REAL_DATA)/faces)
ORL ?= harness/demo/orl_landmarks.csv
ONLY ?=
ROUNDS ?=
PEERS ?=
ARGS ?=
CHALLENGE ?= EXPR

# What `make demo` trains first, how its runs are called, and which labels of the embedded test split it scores against.
ifeq ($(CHALLENGE),EXPR)
DEMO := demo
DEMO_RECIPE := lite0-short
DEMO_LABELS := test_labels
else
DEMO_NAME := $(shell echo "$(CHALLENGE)" | tr A-Z a-z)
DEMO := demo-$(DEMO_NAME)
DEMO_RECIPE := $(DEMO_NAME)-lite0
DEMO_LABELS := test_labels_$(DEMO_NAME)
# Few frames of a unit are active: unless they count as much as the others, a short training answers that none is.
DEMO_FROZEN := $(if $(filter AU MTL,$(CHALLENGE)),--set active_weights=balanced)
endif

# With DATA the default recipe is the paper's Res-50; without it the embedded data set is made and lite0 trained on it.
ifeq ($(strip $(DATA)),)
NEEDS_DATA := data/demo/demo-data.json
DEFAULT_RECIPE := $(or $(RECIPE),lite0)
DEFAULT_RUN := $(or $(RUN),demo-$(basename $(notdir $(DEFAULT_RECIPE))))
else
NEEDS_DATA :=
DEFAULT_RECIPE := $(or $(RECIPE),res50)
DEFAULT_RUN := $(or $(RUN),$(basename $(notdir $(DEFAULT_RECIPE))))
endif
# Quoted, because folders have names with blanks in them.
DATA_OPTION := $(if $(strip $(DATA)),--data "$(DATA)")
WEIGHTS_OPTION := $(if $(strip $(WEIGHTS)),--weights "$(WEIGHTS)")
BENCH = $(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(PEERS),--peers $(PEERS)) \
	--json $(or $(OUT),reports/bench).json --markdown $(or $(OUT),reports/bench).md $(ARGS)
LAUNCH := $(if $(strip $(GPUS)),$(BIN)/accelerate launch --num_processes $(GPUS) -m harness,$(HARNESS))

.DEFAULT_GOAL := help
.PHONY: help setup lock demo train predict rehearse validate test test-slow test-campaigns lint types count check bench bench-check gpu-check faults mutants twin faces-bar affect-bar honesty power warp-gate warp-evidence video-positives clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.setup-done  ## make .venv and install everything into it

# The lock, where there is one of this platform: the very files that were tried. Elsewhere the bounds of requirements.txt.
$(VENV)/.setup-done: requirements.txt pyproject.toml $(wildcard requirements.lock)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=24" "setuptools>=77" wheel
	@if test -f requirements.lock && $(BIN)/python benchmarks/locking.py --fits requirements.lock; then \
	  $(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock; \
	else $(BIN)/python -m pip install --quiet -r requirements.txt; fi
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

lock: setup  ## write requirements.lock: every package with its sha256, for this platform
	$(BIN)/python benchmarks/locking.py --write requirements.lock

data/demo/demo-data.json: | setup
	@$(HARNESS) demo-data

demo: setup  ## the whole road on the embedded faces: data, two recipes, prediction, ensemble, validation, score, report (CHALLENGE=VA AU MTL)
	$(HARNESS) demo-data
	$(HARNESS) train --recipe $(DEMO_RECIPE) --data data/demo --run $(DEMO)-lite0-short
	$(HARNESS) train --recipe lite0-frozen --challenge $(CHALLENGE) $(DEMO_FROZEN) --data data/demo --run $(DEMO)-lite0-frozen
	$(HARNESS) predict $(DEMO)-lite0-short --split test
	$(HARNESS) predict $(DEMO)-lite0-frozen --split test
	$(HARNESS) ensemble $(DEMO)-lite0-short $(DEMO)-lite0-frozen --run $(DEMO)-ensemble
	$(HARNESS) validate submissions/$(DEMO)-ensemble
	$(HARNESS) evaluate $(DEMO)-ensemble --split test --labels data/demo/$(DEMO_LABELS)
	$(HARNESS) report $(DEMO)-ensemble $(DEMO)-lite0-short --split test --labels data/demo/$(DEMO_LABELS) --out reports/$(DEMO).html
	@echo
	@echo "submission of the ensemble:  submissions/$(DEMO)-ensemble"
	@echo "report, open it in a browser:  file://$(abspath reports/$(DEMO).html)"
	@echo "next, with the real data:  make train DATA=/path/to/aff-wild2"

train: setup $(NEEDS_DATA)  ## train a recipe (DATA= RECIPE= RUN= WEIGHTS= GPUS= ARGS=)
	$(LAUNCH) train --recipe $(DEFAULT_RECIPE) --run $(DEFAULT_RUN) $(DATA_OPTION) $(WEIGHTS_OPTION) $(ARGS)

predict: setup  ## score a split and write its submission (SPLIT= RUN= DATA= GPUS= ARGS=)
	$(LAUNCH) predict $(DEFAULT_RUN) --split $(SPLIT) $(DATA_OPTION) $(ARGS)

rehearse: setup $(NEEDS_DATA)  ## a dress rehearsal on this machine: hours, memory, disk, what is missing (DATA= RECIPE= WEIGHTS= ARGS=)
	$(HARNESS) rehearse --recipe $(DEFAULT_RECIPE) $(DATA_OPTION) $(WEIGHTS_OPTION) $(ARGS)

validate: setup  ## check every submission below submissions/
	$(HARNESS) validate submissions/

test: setup  ## the tests, without the slow ones and the campaigns
	$(BIN)/python -m pytest -n 2 $(ARGS)

test-slow: setup  ## the slow tests
	$(BIN)/python -m pytest -n 2 -m slow $(ARGS)

test-campaigns: setup  ## tests that take minutes each: many simulations, whole tables on real faces
	$(BIN)/python -m pytest -n 2 -m campaign $(ARGS)

faults: setup  ## the campaign of faults: kills, full disks, flipped bytes (FAULTS=ci: a sample of some minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.faults --sample $(FAULTS)

lint: setup  ## ruff, lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup  ## mypy
	$(BIN)/mypy

.PHONY: docs notebooks report-picture
docs: setup  ## the site of docs/ into site/, failing where a link leads nowhere; open site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

notebooks: setup  ## run docs/notebooks anew and keep what they print
	$(BIN)/python -m benchmarks.notebooks --write

report-picture: setup  ## docs/report.png anew, from the report of make demo (needs Chromium)
	$(BIN)/python -m benchmarks.report_picture reports/demo.html docs/report.png

count: setup  ## how much code there is; between revisions with ARGS="main ." (ARGS=--names: names defined twice, tiny files)
	$(BIN)/python benchmarks/counting.py $(ARGS)

check: lint types test  ## lint, types and tests

twin: setup  ## a twin of the official release from published counts, to try the doctor on (ORACLE=DIR OUT=DIR)
	$(BIN)/python benchmarks/twin.py "$(ORACLE)" "$(or $(OUT),/tmp/twin)"

gpu-check: setup  ## what a CUDA machine does of what is promised: a table and JSON in under 8 minutes (OUT=reports/gpu)
	$(BIN)/python -m benchmarks.gpu_check --json $(or $(OUT),reports/gpu).json

bench: setup  ## every benchmark: a table and JSON (ONLY=predict,input ROUNDS= OUT=reports/bench PEERS=DIR)
	$(BENCH)

bench-check: setup  ## the same, failing where a figure is below 0.9 of its target (ONLY= ROUNDS= OUT= PEERS=)
	$(BENCH) --check

mutants: setup  ## small changes of the code that no test notices: rows kept as they come, a table (COUNT= SEED= ARGS=--table)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.mutants --count $(COUNT) --seed $(SEED) $(ARGS)

faces-bar: setup  ## train lite0 with three seeds on real faces and compare with the bar (FACES=DIR; goes on by itself)
	$(BIN)/python benchmarks/faces.py $(FACES) $(ARGS)

affect-bar: setup  ## values and units of unseen people: a fine-tuned network against ridge and logistic regression (OUT=DIR)
	$(BIN)/python -m benchmarks.affect_bar --work $(or $(OUT),/tmp/affect-bar) $(ARGS)

honesty: setup data/demo/demo-data.json  ## what is printed against what comes true: recordings divided anew, rows kept as they come (FACES=DIR ARGS=)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.honesty $(FACES) --embedded data/demo --rows docs/honesty.jsonl $(ARGS)

power: setup  ## simulated: widths of intervals, false alarms and power of both tests of compare (ARGS=)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.power $(ARGS)

warp-gate: setup  ## can a network that is told see warps? rows kept as they come (FACES=DIR ORL=FILE OUT=DIR ARGS=)
	$(BIN)/python -m benchmarks.warp_gate $(FACES) $(or $(OUT),/tmp/warp-gate) --orl "$(ORL)" --rows docs/warp-gate.jsonl $(ARGS)

warp-evidence: setup data/demo/demo-data.json  ## does pre-training on warps help? minutes of a core an arm and seed for narrow, hours for res18; goes on (FACES=DIR ORL=FILE OUT=DIR ARGS=)
	$(BIN)/python -m benchmarks.evidence $(FACES) $(or $(OUT),/tmp/warp-evidence) --orl "$(ORL)" --rows docs/evidence-rows.jsonl $(ARGS)

video-positives: setup data/demo/demo-data.json  ## are two frames of a track better pairs than two views of one? rows kept as they come (OUT=DIR ARGS=)
	$(BIN)/python -m benchmarks.video_positives $(or $(OUT),/tmp/video-positives) --rows docs/video-positives.jsonl $(ARGS)

clean:  ## remove caches, not runs, data or submissions
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
