PYTHON ?= python3
# Of the machine; nproc takes a shell's OMP_NUM_THREADS for their number.
CORES ?= $(shell env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
STUDY ?= config.yaml
MAX_DROP ?= 2
# Python keeps what it compiled, of the tests and of what they copy, whatever the shell says.
PYTEST = PYTHONDONTWRITEBYTECODE= .venv/bin/python -m pytest
# Snakemake, matplotlib and uv keep files in the home folder; where they can make none there, they keep them here.
CACHE = "$${XDG_CACHE_HOME:-$$HOME/.cache}"
ifneq ($(shell mkdir -p $(CACHE) 2> /dev/null && test -w $(CACHE) && echo writable),writable)
export XDG_CACHE_HOME = $(CURDIR)/.snakemake/cache
export MPLCONFIGDIR = $(CURDIR)/.snakemake/matplotlib
endif
# Set-up is done when this file is newer than the lock.
READY = .venv/.ready
# An environment that work trees share is not cleared under whatever runs with it.
unlinked = @! test -L $(1) || { echo "$(1) is a link to $$(readlink $(1)), which is older than the lock and is not cleared" \
	"from here: run make there; touch $(1)/.ready where its packages are those of the lock; or remove the link" >&2; exit 1; }

.PHONY: demo check test test-all test-cluster test-cloud fuzz audit-dependencies lint plan estimate resources prune gate reference benchmark simulate docs libraries lock clean

demo: $(READY)
	.venv/bin/snakemake --cores $(CORES) --report results/demo/report.html --report-after-run

test: $(READY) lint
	$(PYTEST) -m "not slow and not cluster and not cloud" -n 2 --dist loadfile --no-loadscope-reorder

test-all: $(READY) lint
	$(PYTEST)

# The Slurm profile on a real Slurm on loopback; skipped, and said so, where it is not installed (slurm-wlm, munge).
test-cluster: $(READY)
	$(PYTEST) -m cluster -rs

# A study on S3, which is moto's server on loopback, and the cloud profiles by their plugins' own validation; in an
# environment of its own, for these plugins hold back packages of the others.
test-cloud: .venv-cloud/.ready
	PYTHONDONTWRITEBYTECODE= .venv-cloud/bin/python -m pytest -m cloud -rs tests/test_storage.py tests/test_profiles.py

# Configs, tensor files, checkpoints, images and tables as strangers might make them; INPUTS=1000 for a look.
fuzz: $(READY)
	PYTHONPATH=workflow_scripts:workflow_scripts/tools:tests .venv/bin/python -W ignore tests/fuzz.py --inputs $(or $(INPUTS),100000)

# Known vulnerabilities of the pinned packages; needs the package index and its advisory database.
audit-dependencies: $(READY)
	.venv/bin/uv tool run pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock

lint: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/ty check
	.venv/bin/snakefmt --check Snakefile rules
	.venv/bin/snakemake --lint
	.venv/bin/python workflow_scripts/tools/write_reference.py --check

plan: $(READY)
	@.venv/bin/python workflow_scripts/tools/show_plan.py $(STUDY)

# The names that stand on make's own command line: make hands their values on, among variables of the same names that a
# shell happens to have.
WRITTEN = $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))

# May a compressed model replace its base? BASE=my/base.pt COMPRESSED=my/small.onnx IMAGES=my/images; docs/check.md.
check: $(READY)
	@WRITTEN='$(strip $(WRITTEN))' .venv/bin/python workflow_scripts/tools/check.py --cores $(CORES)

# What a study will cost: jobs, passes, bytes, hours.
estimate: $(READY)
	@.venv/bin/python workflow_scripts/tools/show_estimate.py $(STUDY)

# What the jobs of a finished study used, beside what their rules ask for.
resources: $(READY)
	@.venv/bin/python workflow_scripts/tools/show_resources.py $(STUDY)

# What the study's plan no longer names, below results/{study} and data/prepared; YES=1 removes it.
prune: $(READY)
	@.venv/bin/python workflow_scripts/tools/prune.py $(if $(filter 1,$(YES)),--yes) $(STUDY)

# Whether every compressed model of a finished study lost at most MAX_DROP points of accuracy: docs/answers.md.
gate: $(READY)
	@.venv/bin/python workflow_scripts/tools/gate.py $(MAX_DROP) $(STUDY)

# docs/config.md, schemas/ and the table of attacks in docs/choose_an_attack.md, from the library's settings.
reference: $(READY)
	.venv/bin/python workflow_scripts/tools/write_reference.py

# Every attack against the libraries that have it; one of them is no part of the lock.
benchmark: $(READY)
	.venv/bin/uv pip install --quiet --no-deps --require-hashes --requirement benchmarks/peers.txt
	.venv/bin/python benchmarks/attacks.py --write docs/benchmarks/attacks.csv

# How often verdicts are false in simulated studies of known truth: docs/verdicts; minutes.
simulate: $(READY)
	.venv/bin/python workflow_scripts/tools/simulate_verdicts.py

# The figures and tables that the README and docs/ show, from finished studies.
docs: $(READY)
	.venv/bin/python workflow_scripts/tools/write_docs.py

# The tables of the attacks of other libraries, from the installed versions.
libraries: $(READY)
	.venv/bin/python workflow_scripts/tools/write_libraries.py

# Every package pinned with its hashes, no addresses; those of the container image with what clouds need, and what the
# tests of these need beside.
COMPILE = .venv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command "make lock" --quiet
lock: $(READY)
	$(COMPILE) --extra test --extra tflite --output-file requirements.lock
	$(COMPILE) --extra cloud --output-file requirements-cloud.lock
	$(COMPILE) --extra test-cloud --constraint requirements-cloud.lock --output-file requirements-test-cloud.lock \
		$$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' requirements-cloud.lock)

clean:
	rm -rf .venv .venv-cloud .snakemake

$(READY): requirements.lock
	$(call unlinked,.venv)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is %s" % sys.version.split()[0])'
	$(PYTHON) -m venv --clear .venv
	awk '/^[a-z]/ {uv = /^uv==/} uv' requirements.lock > .venv/uv.lock
	.venv/bin/pip install --quiet --require-hashes --requirement .venv/uv.lock
	.venv/bin/uv pip sync --quiet --require-hashes --compile-bytecode requirements.lock
	touch $@

.venv-cloud/.ready: $(READY) requirements-cloud.lock requirements-test-cloud.lock
	$(call unlinked,.venv-cloud)
	$(PYTHON) -m venv --clear .venv-cloud
	.venv/bin/uv pip sync --python .venv-cloud/bin/python --quiet --require-hashes --compile-bytecode requirements-cloud.lock
	.venv/bin/uv pip install --python .venv-cloud/bin/python --quiet --no-deps --require-hashes --compile-bytecode \
		--requirement requirements-test-cloud.lock
	touch $@
