PYTHON ?= python3
CORES ?= $(shell nproc)
STUDY ?= config.yaml
PYTEST = .venv/bin/python -m pytest
# Set-up is done when this file is newer than the lock.
READY = .venv/.ready

.PHONY: demo test test-all lint plan reference benchmark docs lock clean

demo: $(READY)
	.venv/bin/snakemake --cores $(CORES) --report results/demo/report.html --report-after-run

test: $(READY) lint
	$(PYTEST) -m "not slow" -n 2 --dist loadfile

test-all: $(READY) lint
	$(PYTEST)

lint: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/snakefmt --check Snakefile rules
	.venv/bin/snakemake --lint
	.venv/bin/python workflow_scripts/write_reference.py --check

plan: $(READY)
	@.venv/bin/python workflow_scripts/show_plan.py $(STUDY)

# The README's config reference, from the schemas.
reference: $(READY)
	.venv/bin/python workflow_scripts/write_reference.py

# Every attack against the libraries that have it; two of them are no part of the lock.
benchmark: $(READY)
	.venv/bin/uv pip install --quiet --no-deps --require-hashes --requirement benchmarks/peers.txt
	.venv/bin/python benchmarks/attacks.py --write docs/benchmarks/attacks.csv

# The figures and tables that the README and docs/ show, from finished studies.
docs: $(READY)
	.venv/bin/python workflow_scripts/write_docs.py

# Every package pinned with its hashes, no addresses.
lock: $(READY)
	.venv/bin/uv pip compile pyproject.toml --extra test --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" --quiet --output-file requirements.lock

clean:
	rm -rf .venv .snakemake

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is %s" % sys.version.split()[0])'
	$(PYTHON) -m venv --clear .venv
	awk '/^[a-z]/ {uv = /^uv==/} uv' requirements.lock > .venv/uv.lock
	.venv/bin/pip install --quiet --require-hashes --requirement .venv/uv.lock
	.venv/bin/uv pip sync --quiet --require-hashes --compile-bytecode requirements.lock
	touch $@
