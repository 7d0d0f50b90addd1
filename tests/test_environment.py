"""The environments agree: lock, conda pins, what scripts import, what rules name."""

import ast
import re
import sys
import textwrap
import tomllib
from functools import cache

import pytest
import yaml
from conftest import ROOT

CONDA_NAMES = {"pytorch": "torch"}
MODULES = {
    "adv-lib": "adv_lib",
    "adversarial-robustness-toolbox": "art",
    "ai-edge-litert": "ai_edge_litert",
    "pillow": "PIL",
    "pytest-xdist": "xdist",
    "pytorch": "torch",
    "pydantic-core": "pydantic_core",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
    "snakemake-interface-logger-plugins": "snakemake_interface_logger_plugins",
    "snakemake-interface-executor-plugins": "snakemake_interface_executor_plugins",
    "snakemake-interface-storage-plugins": "snakemake_interface_storage_plugins",
    "torch-pruning": "torch_pruning",
}
# They are run, or loaded by what is run.
COMMANDS = {
    "snakemake-executor-plugin-slurm",
    "snakemake-executor-plugin-cluster-generic",
    "snakemake-storage-plugin-fs",
    "uv",
}
# Imported where a study asks for it, or by what makes files for tests; no part of the lock.
ASKED_FOR = {"timm", "tensorflow"}
TEST_COMMANDS = {"axe-playwright-python", "pytest-xdist", "ruff", "snakefmt", "ty"}
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))


def locked():
    """Package -> versions in the lock (a package may have one per Python version)."""
    versions = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==([^ ]+)", (ROOT / "requirements.lock").read_text(), re.M):
        versions.setdefault(name, set()).add(version)
    return versions


def pins(path):
    """Package -> pinned version of a conda environment, its pip section included."""
    listed = yaml.safe_load(path.read_text())["dependencies"]
    plain = [entry for entry in listed if isinstance(entry, str)]
    piped = [entry for entry in listed if isinstance(entry, dict) for entry in entry["pip"]]
    return dict(re.split("={1,2}", entry) for entry in [*plain, *piped] if entry != "pip")


def declared():
    """The packages that pyproject.toml names: those of the library and the further ones of the tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    # Those of the libraries of attacks are imported by their names.
    further = [*(line for line in extras["test"] if line != "squeezeproof[attacks]"), *extras["attacks"]]
    lists = [*project["dependencies"], *extras["tflite"]], further
    return [{re.match(r"[\w-]+", line)[0] for line in packages} for packages in lists]


@cache
def run_imports(path):
    """The imports of a file but those that a type checker alone reads."""
    pending, found = [ast.parse(path.read_text())], []
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        pending += ast.iter_child_nodes(node)
    return found


def imported(folder):
    """The top-level modules that the files of a folder import, but those of the standard library."""
    nodes = [node for path in (ROOT / folder).rglob("*.py") for node in run_imports(path)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names


def own(*folders):
    """The modules and packages of this repository that are imported by their bare name."""
    paths = [path for folder in folders for path in [*(ROOT / folder).glob("*"), *(ROOT / folder / "tools").glob("*")]]
    return {path.stem for path in paths if path.is_dir() or path.suffix == ".py"}


def modules(packages):
    return {MODULES.get(name, name) for name in packages}


def test_what_is_imported_is_declared_and_the_reverse():
    library, tests = declared()
    assert imported("workflow_scripts") - own("workflow_scripts") - ASKED_FOR == modules(library - COMMANDS)
    peers = {
        name.replace("-", "_") for name in re.findall(r"^([\w-]+)==", (ROOT / "benchmarks/peers.txt").read_text(), re.M)
    }
    further = imported("tests") | imported("benchmarks")
    further -= own("tests", "benchmarks", "workflow_scripts") | modules(library) | peers | ASKED_FOR
    assert further == modules(tests - TEST_COMMANDS)


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_conda_pins_equal_the_lock(path):
    versions = locked()
    for name, version in pins(path).items():
        if name != "python":
            assert version in versions[CONDA_NAMES.get(name, name)], name


def rules():
    """Rule name -> its text, of every rule but the target `all`."""
    found = {}
    for path in (ROOT / "rules").glob("*.smk"):
        found |= dict(re.findall(r"^rule (\w+):\n(.*?)(?=^(?:use )?rule |\Z)", path.read_text(), re.M | re.S))
    # The one of every figure is made in a loop.
    [plot] = re.findall(
        r"^    rule:\n        name:\n.*?\n(        input:.*)", (ROOT / "rules/figures.smk").read_text(), re.M | re.S
    )
    return {**found, "plot": textwrap.indent(textwrap.dedent(plot), "    ")}


@pytest.mark.parametrize("name", sorted(rules()))
def test_every_rule_has_all_its_parts(name):
    body = rules()[name]
    parts = ["output", "log", "benchmark", "conda", "threads", "resources", "params", "message", "script"]
    written = re.findall(r"^    (\w+):", body, re.M)
    optional = ("input", "wildcard_constraints", "group", "localrule", "priority")
    assert [part for part in written if part not in optional] == parts
    assert "input" not in written[1:], "inputs come first"
    for part in ("mem_mb", "runtime", "code="):
        assert part in body, part


@pytest.mark.parametrize("name", sorted(rules()))
def test_the_conda_environment_of_a_rule_covers_what_its_script_imports(name):
    from squeezeproof.entries import registry
    from squeezeproof.study.code import closure

    sections = ("attacks", "compressions", "architectures", "adversaries", "optimizers", "datasets")
    calls = re.compile(r"imported\(|Functions\(")

    def runs(files):
        """The files that some files import, and those of every entry that they look up by name."""
        found = closure(files, ROOT / "workflow_scripts")
        texts = [path.read_text() for path in found]
        used = {name for name in sections for text in texts if f"registry.{name}()" in text and calls.search(text)}
        names = {
            name for section in used for entry in getattr(registry, section)().values() for name in entry.modules()
        }
        known = [(ROOT / "workflow_scripts").joinpath(*name.split(".")).with_suffix(".py") for name in names]
        entries = [path for path in known if path.is_file()]
        return found if found.issuperset(entries) else runs([*found, *entries])

    environment = re.search(r'"\.\./(envs/\w+\.yaml)"', rules()[name])[1]
    script = ROOT / re.search(r'"\.\./(workflow_scripts/\w+\.py)"', rules()[name])[1]
    offered = {MODULES.get(package, package) for package in pins(ROOT / environment)} | sys.stdlib_module_names
    figures = (ROOT / "workflow_scripts/squeezeproof/figures").glob("*.py") if name == "plot" else ()
    for path in runs([script, *figures]):
        for node in run_imports(path):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {module.split(".")[0] for module in modules} <= offered | {"squeezeproof", *ASKED_FOR}, path


def test_scripts_are_short_and_shadow_no_installed_module():
    installed = {name.replace("-", "_") for name in locked()} | sys.stdlib_module_names
    for path in (ROOT / "workflow_scripts").glob("*.py"):
        assert path.stem not in installed, f"{path.name} would be imported in place of the package {path.stem}"


def test_the_lock_holds_hashes_and_no_addresses():
    text = (ROOT / "requirements.lock").read_text()
    assert "http" not in text
    assert len(re.findall(r"--hash=sha256:", text)) > len(locked())


def test_no_pickle_is_loaded_anywhere():
    for path in (ROOT / "workflow_scripts").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "")]
                assert "pickle" not in names, path
            if isinstance(node, ast.Attribute) and node.attr == "load":
                allowed = ("torch",) if path.name == "torch_files.py" else ("yaml", "json", "resume", "image")
                assert getattr(node.value, "id", "") in allowed, f"{path}:{node.lineno}"
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert {key.arg: ast.unparse(key.value) for key in node.keywords}["weights_only"] == "True", path
