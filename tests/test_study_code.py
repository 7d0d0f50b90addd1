"""A script's digest follows the modules it imports, and nothing else."""

import os
from pathlib import Path

import pytest

from squeezeproof.study import code
from squeezeproof.study.code import LIBRARY, closure, code_digest, module_digest

TREE = {
    "train.py": "from library.models import build\nimport torch\n",
    "plot.py": "import library.figures as figures, json\n",
    "lazy.py": "def run():\n    from library import tables\n    return tables\n",
    "library/__init__.py": "",
    "library/models/__init__.py": "",
    "library/models/build.py": "import library.models.layers\n",
    "library/models/layers.py": "from library.models.build import build\n",
    "library/figures.py": "from library.tables import read\n",
    "library/tables.py": "from pathlib import Path\n",
    "library/unused.py": "import library.figures\n",
}
EVERY = "library/__init__.py"
CLOSURES = {
    "train.py": {
        "train.py",
        EVERY,
        "library/models/__init__.py",
        "library/models/build.py",
        "library/models/layers.py",
    },
    "plot.py": {"plot.py", EVERY, "library/figures.py", "library/tables.py"},
    "lazy.py": {"lazy.py", EVERY, "library/tables.py"},
}


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / "tree", TREE)


def write(root, tree):
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(autouse=True)
def read_anew():
    forget()


def forget():
    """Files are read once in a process; what a test edits is read again."""
    for function in (code._read, code.code_digest, code.module_digest):
        function.cache_clear()


def digests(root):
    forget()
    return {script: code_digest(script, root=root) for script in CLOSURES}


def names(paths, root):
    return {path.relative_to(root).as_posix() for path in paths}


@pytest.mark.parametrize("script", CLOSURES)
def test_closure_holds_what_a_script_imports_directly_or_not(root, script):
    assert names(closure([root / script], root), root) == CLOSURES[script]


@pytest.mark.parametrize("edited", TREE)
def test_edited_file_changes_exactly_the_digests_of_the_scripts_that_import_it(root, edited):
    before = digests(root)
    with (root / edited).open("a") as file:
        file.write("edited = True\n")
    changed = {script for script, digest in digests(root).items() if digest != before[script]}
    assert changed == {script for script, modules in CLOSURES.items() if edited in modules}


BEFORE = '''"""Module."""
import torch

class Net(torch.nn.Module):
    """A class."""

    def forward(self, x, *, scale=1):
        """A function."""
        return {"x": x * scale, **x}

async def run():
    """Nothing else."""
'''
SAME = {
    "comment": lambda text: text.replace("import torch", "# why\nimport torch  # so"),
    "module's docstring": lambda text: text.replace("Module.", "The module."),
    "docstring of a class": lambda text: text.replace("A class.", "Another word\n    and one more."),
    "docstring of a function": lambda text: text.replace('        """A function."""\n', ""),
    "docstring that is the whole body": lambda text: text.replace("Nothing else.", "All."),
    "layout": lambda text: text.replace("return {", "return {\n\n            "),
}
OTHER = {
    "name": lambda text: text.replace("Net", "Network"),
    "number": lambda text: text.replace("scale=1", "scale=2"),
    "type of a number": lambda text: text.replace("scale=1", "scale=1.0"),
    "text that is no docstring": lambda text: text.replace('"x":', '"y":'),
    "import": lambda text: text.replace("import torch", "import torchvision"),
    "keyword-only argument": lambda text: text.replace("*, ", ""),
    "unpacked dictionary": lambda text: text.replace(", **x", ""),
    "decorator": lambda text: text.replace("async", "@torch.no_grad()\nasync"),
    "order": lambda text: text.replace("x * scale", "scale * x"),
}


ANNOTATED = '''"""Module."""
from typing import TYPE_CHECKING

import torch
from library import Names, Shape as Size, other

if TYPE_CHECKING:
    from library.models import Net

scale: float = 2

class Sized:
    number: int = 1

    def forward(self, x: torch.Tensor, *rest: Size, net: "Net | None" = None, **settings: Names) -> Size:
        found: list[int] = []
        late: int
        return torch.stack(found)
'''
BARE = """import torch
from library import other

scale = 2

class Sized:
    number: int = 1

    def forward(self, x, *rest, net=None, **settings):
        found = []
        return torch.stack(found)
"""


def test_annotations_and_their_imports_change_no_digest(tmp_path):
    root = write(tmp_path, {"library/__init__.py": "", "library/models.py": "", "library/Shape.py": ""})
    assert digest_of(root / "run.py", ANNOTATED) == digest_of(root / "run.py", BARE)
    assert names(closure([root / "run.py"], root), root) == {"run.py", "library/__init__.py"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("number: int", "number: float"),
        ("scale: float = 2", "scale: float = 3"),
        ("net: ", "network: "),
        (", other", ""),
        ("stack(found)", "stack(found, Size)"),
    ],
)
def test_what_stands_beside_annotations_changes_the_digest(tmp_path, old, new):
    text = ANNOTATED.replace(old, new)
    assert text != ANNOTATED
    assert digest_of(tmp_path / "run.py", text) != digest_of(tmp_path / "run.py", ANNOTATED)


RECORDING = """from squeezeproof.store.made_with import MADE_WITH, made_with

OWN = {"seconds", MADE_WITH}

def save(metadata):
    write({**metadata, "kind": "model", MADE_WITH: made_with(), **made_with()})
"""
SILENT = """
OWN = {"seconds"}

def save(metadata):
    write({**metadata, "kind": "model"})
"""


def test_what_files_record_of_their_making_changes_no_digest(tmp_path):
    root = write(
        tmp_path, {f"squeezeproof/{name}.py": "" for name in ("__init__", "store/__init__", "store/made_with")}
    )
    assert digest_of(root / "run.py", RECORDING) == digest_of(root / "run.py", SILENT)
    assert names(closure([root / "run.py"], root), root) == {"run.py"}
    for old, new in (
        ('"model"', '"set"'),
        ("import MADE_WITH", "import SIZE, MADE_WITH"),
        ("{**m", "{**made_with(), **m"),
    ):
        same = digest_of(root / "run.py", RECORDING.replace(old, new)) == digest_of(root / "run.py", SILENT)
        assert same == (old != '"model"')
    used = RECORDING.replace("write({", "write(made_with(), {")
    assert digest_of(root / "run.py", used) != digest_of(root / "run.py", SILENT)


def test_writers_alone_are_passed_over_where_they_record():
    named = {path.stem for path in LIBRARY.rglob("*.py") if f"from {code.RECORDS} import" in path.read_text()}
    assert named == {"checkpoints", "adversarial", "shards"}


def digest_of(path, text):
    path.write_text(text)
    forget()
    return code_digest(path.name, root=path.parent)


@pytest.mark.parametrize("edit", SAME)
def test_what_changes_no_result_changes_no_digest(tmp_path, edit):
    text = SAME[edit](BEFORE)
    assert text != BEFORE
    assert digest_of(tmp_path / "run.py", text) == digest_of(tmp_path / "run.py", BEFORE)


@pytest.mark.parametrize("edit", OTHER)
def test_what_may_change_a_result_changes_the_digest(tmp_path, edit):
    assert digest_of(tmp_path / "run.py", OTHER[edit](BEFORE)) != digest_of(tmp_path / "run.py", BEFORE)


def test_touched_or_identically_rewritten_file_changes_nothing(root):
    before = digests(root)
    for name, text in TREE.items():
        (root / name).write_text(text)
        os.utime(root / name, (0, 0))
    assert digests(root) == before


def test_digest_depends_neither_on_the_directory_nor_on_files_nobody_imports(root, tmp_path):
    elsewhere = write(tmp_path / "elsewhere", {**TREE, "library/new.py": "", "notes.txt": ""})
    assert digests(elsewhere) == digests(root)


def test_text_that_moves_between_files_changes_the_digest(tmp_path):
    script = {"run.py": "import a, b\n"}
    one = write(tmp_path / "one", {**script, "a.py": "x = 1\n"})
    other = write(tmp_path / "other", {**script, "b.py": "x = 1\n"})
    assert code_digest("run.py", root=one) != code_digest("run.py", root=other)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("import package.module", {"package/module.py"}),
        ("import package.module as short", {"package/module.py"}),
        ("import json, package.inner.deep", {"package/inner/__init__.py", "package/inner/deep.py"}),
        ("from package import module", {"package/module.py"}),
        ("from package import module as short, other", {"package/module.py", "package/other.py"}),
        ("from package.module import name", {"package/module.py"}),
        ("from package.inner import deep", {"package/inner/__init__.py", "package/inner/deep.py"}),
        ("from package import name_of_no_module", set()),
        ("from package import *", set()),
        ("def run():\n    if True:\n        import package.module", {"package/module.py"}),
        (
            "try:\n    import package.module\nexcept ImportError:\n    import package.other",
            {"package/module.py", "package/other.py"},
        ),
        ("class A:\n    async def run(self):\n        from package import module", {"package/module.py"}),
        ("import importlib\nimportlib.import_module('package.module')", {"package/module.py"}),
        ("from importlib import import_module\nbuild = import_module('package.module').build", {"package/module.py"}),
        ("__import__('package.inner.deep')", {"package/inner/__init__.py", "package/inner/deep.py"}),
    ],
)
def test_every_form_of_import_is_followed(tmp_path, statement, found):
    root = write(
        tmp_path,
        {
            "run.py": statement + "\n",
            "package/__init__.py": "",
            "package/module.py": "",
            "package/other.py": "",
            "package/inner/__init__.py": "",
            "package/inner/deep.py": "",
        },
    )
    assert names(closure([root / "run.py"], root), root) == {"run.py", "package/__init__.py"} | found


@pytest.mark.parametrize(
    "statement",
    [
        *(
            "# import module",
            '"""import module"""',
            "import json",
            "import torch.module",
            "module = 1",
            "import modules",
        ),
        *("import_module(module)", "import_module()", "run('module')", "import_module(f'{a}.module')"),
        "import_module(f'mod{a}')",
        "import_module(f'module.{a}')",
    ],
)
def test_what_is_no_import_of_ours_is_not_followed(tmp_path, statement):
    root = write(tmp_path, {"run.py": statement + "\n", "module.py": ""})
    assert names(closure([root / "run.py"], root), root) == {"run.py"}


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("from . import layers", "user/nets/layers.py"),
        ("from .layers import Block", "user/nets/layers.py"),
        ("from .. import common", "user/common.py"),
        ("from ..common import Block", "user/common.py"),
        ("import_module('.layers', __package__)", "user/nets/layers.py"),
        ("import_module('..common', __package__)", "user/common.py"),
    ],
)
def test_relative_import_is_followed(tmp_path, statement, found):
    root = write(tmp_path, {"user/nets/small.py": statement + "\n", "user/nets/layers.py": "", "user/common.py": ""})
    assert names(closure([root / "user/nets/small.py"], root), root) == {"user/nets/small.py", found}


def test_extra_module_joins_the_digest(root):
    extra = code_digest("train.py", "library.unused", root=root)
    assert extra != code_digest("train.py", root=root)
    (root / "library/tables.py").write_text("edited = True\n")
    forget()
    assert code_digest("train.py", "library.unused", root=root) != extra


def test_module_digest_follows_a_module_of_the_users(root):
    before = module_digest("library.models.build", root)
    (root / "library/figures.py").write_text("edited = True\n")
    forget()
    assert module_digest("library.models.build", str(root)) == before
    (root / "library/models/layers.py").write_text("edited = True\n")
    forget()
    assert module_digest("library.models.build", root) != before


@pytest.mark.parametrize("module", ["torch.nn", "", "..", "library_of_nobody"])
@pytest.mark.parametrize("directory", ["project", "my.project"])
def test_module_from_elsewhere_has_the_digest_of_nothing(tmp_path, directory, module):
    root = write(tmp_path, {f"{directory}/run.py": "", "my.py": "", "project.py": ""}) / directory
    assert module_digest(module, root) == module_digest("installed.elsewhere", tmp_path)


def test_module_digest_in_the_root_directory():
    assert module_digest("", Path("/")) == module_digest("installed_elsewhere", Path("/"))


SHOWN = {"analysis", "tables", "figures", "pages"}
LEARNED = {"models", "training", "attacks", "compression", "datasets", "study"}


@pytest.mark.parametrize(
    ("script", "imported", "not_imported"),
    [
        ("prepare.py", {"datasets"}, {"models", "training", "attacks", "compression", "study", *SHOWN}),
        ("train.py", {"models", "training"}, {"compression", "datasets", "study", *SHOWN}),
        ("compress.py", {"models", "training", "compression"}, {"datasets", "study", *SHOWN}),
        ("craft.py", {"models", "attacks"}, {"training", "compression", "datasets", "study", *SHOWN}),
        ("predict.py", {"models", "evaluation"}, {"training", "attacks", "compression", "datasets", "study", *SHOWN}),
        ("write_tables.py", {"tables"}, {*LEARNED, "figures", "pages"}),
        ("plot.py", {"figures"}, {*LEARNED, "pages"}),
    ],
)
def test_workflow_script_depends_on_its_own_packages_alone(script, imported, not_imported):
    found = closure([LIBRARY.parent / script], LIBRARY.parent)
    packages = {path.relative_to(LIBRARY).parts[0] for path in found if LIBRARY in path.parents}
    assert imported <= packages
    assert not packages & not_imported


@pytest.mark.parametrize("script", ["train.py", "compress.py"])
def test_training_depends_on_the_parts_of_attacks_and_on_no_attack(script):
    found = closure([LIBRARY.parent / script], LIBRARY.parent)
    parts = {path.stem for path in found if path.parent == LIBRARY / "attacks"}
    assert parts == {"__init__", "ball", "gradient", "objective", "random", "source"}


@pytest.mark.parametrize("script", ["train.py", "compress.py", "craft.py", "predict.py", "write_tables.py"])
def test_script_that_plots_nothing_does_not_depend_on_the_figures(script):
    found = names(closure([LIBRARY.parent / script], LIBRARY.parent), LIBRARY.parent)
    assert "squeezeproof/jobs.py" in found
    assert not [name for name in found if name.startswith("squeezeproof/figures/")]


def test_package_files_hold_no_code():
    packages = sorted(LIBRARY.rglob("__init__.py"))
    assert LIBRARY / "models" / "__init__.py" in packages
    # That of the library itself has the two calls for Python alone, which no job makes.
    doors = LIBRARY / "__init__.py"
    assert [path for path in packages if path.read_text().strip() and path != doors] == []
    assert not [path for path in LIBRARY.parent.glob("*.py") if "import squeezeproof\n" in path.read_text()]
