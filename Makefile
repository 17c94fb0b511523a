# Every command of the project; CONTRIBUTING.md explains them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OLD := $(VENV)-generativeai
TESTS ?= tests
WRITERS := $(addprefix tests/services/test_,writers.py answers.py gemini.py gemini_sdks.py generativeai.py)
PSTEST := build/pstest
COMPILE := $(BIN)/uv pip compile -q --universal --no-header --no-emit-index-url --no-emit-find-links

.PHONY: demo test test-generativeai test-pstest test-kills check template bench lock wheel clean

demo: $(READY)  ## The main job on real input: titles in, narrated MP3s out.
	$(BIN)/roteiro run examples/cafe.yaml

test: $(READY)  ## All tests, warnings as errors, coverage shown.
	$(BIN)/python -m pytest $(TESTS) -n 2 --cov --cov-report=term-missing:skip-covered \
		$(if $(filter tests,$(TESTS)),--cov-fail-under=90)

test-generativeai: $(OLD)/.ready  ## The writers' tests beside the SDK that holds others back.
	$(OLD)/bin/python -m pytest $(WRITERS)

test-pstest: $(READY) $(PSTEST)  ## The tests of Pub/Sub once more, against Google's own fake; needs Go.
	$(PSTEST) $(BIN)/python -m pytest $(TESTS) -m pubsub -n 2

test-kills: $(READY)  ## Runs killed at random moments and gone on with: twenty seeds, their figures.
	$(BIN)/python -m tests.faults.kills --seeds 20

check: $(READY)  ## Format, lint, types, the direction of imports, the Dockerfile.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	if [ -x $(BIN)/hadolint ]; then $(BIN)/hadolint Dockerfile; fi

template: $(READY)  ## What the Flex Template asks for, from the settings.
	$(BIN)/python -m launcher.deploying > deploy/flex-template.json

bench: $(READY)  ## Figures of speed and memory; the last line of each is JSON.
	$(BIN)/python -m benchmarks.latency
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.cache

lock: $(READY)  ## Choose versions anew: what is installed, and what tests need besides.
	$(COMPILE) --upgrade setup.py -o requirements.lock
	$(COMPILE) --extra dev -c requirements.lock setup.py -o requirements-dev.lock
	$(COMPILE) --upgrade --extra dev --extra generativeai setup.py -o requirements-generativeai.lock

wheel: $(READY)  ## dist/roteiro-*.whl
	$(BIN)/python -m build --wheel --installer uv

clean:  ## Removes what the others made, deliverables excepted.
	rm -rf $(VENV) $(OLD) build dist *.egg-info .coverage* .hypothesis .*_cache \
		tests/emulators/node_modules tests/emulators/.installing

$(PSTEST): $(wildcard tests/emulators/pstest/*)
	cd $(<D) && go build -o $(CURDIR)/$@ .

# Made once for a given lock; uv, which pip installs, does in seconds what takes pip minutes. Compiled
# then, or every process of the tests, and every command, would compile Beam anew where nobody may write.
$(READY): requirements-dev.lock
$(OLD)/.ready: requirements-generativeai.lock
$(READY) $(OLD)/.ready: %/.ready: setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.11 …"; exit 1; }
	$(PYTHON) -m venv --clear $*
	$*/bin/python -m pip install --quiet --disable-pip-version-check uv
	$*/bin/uv pip install --quiet --compile-bytecode --python $*/bin/python -r $(filter %.lock,$^)
	$*/bin/uv pip install --quiet --python $*/bin/python --no-deps --editable .
	touch $@
