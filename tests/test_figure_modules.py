"""A figure is its module: the plan, its rule and its place in the report follow from what the module declares."""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import forked_snakemake
import pytest
import yaml
from conftest import ROOT, TINY, WORKFLOW
from table_examples import whole

from squeezeproof.study.figures import figures
from squeezeproof.study.outputs import targets
from squeezeproof.study.paths import Paths
from squeezeproof.study.plan import Study
from squeezeproof.tables.files import write_table

DRILL = '''"""Clean accuracies as bars."""

import matplotlib.pyplot as plt

from squeezeproof.study.figures import Figure, for_datasets
from squeezeproof.tables.files import read_table

FIGURE = Figure(
    file="{dataset}/bars",
    each=for_datasets,
    needs=lambda study, paths, names: {"clean": paths.table("clean_accuracy")},
    caption="Clean accuracy on {dataset}.",
    subcategory="Models",
    labels={"data set": "{dataset}"},
    params=lambda study, names: {"study": study.name},
)


def draw(files, names, params):
    table = read_table(files.clean)
    figure, axes = plt.subplots()
    axes.bar(table["model"], table["accuracy"])
    axes.set_title(f"{names.dataset}: {params['study']}")
    return figure
'''


@pytest.fixture
def copy(tmp_path):
    """The workflow with a figure more, and the tiny study whose table of clean accuracies is there."""
    for name in WORKFLOW:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, tmp_path / name)
    (tmp_path / "workflow_scripts/squeezeproof/figures/bars.py").write_text(DRILL)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(TINY))
    table = tmp_path / "results/tiny/tables/clean_accuracy.csv"
    table.parent.mkdir(parents=True)
    write_table(table, whole("clean_accuracy", [{"dataset": "digits", "model": "m", "accuracy": 0.5}]))
    return tmp_path


def snakemake(folder, *arguments):
    status, output = forked_snakemake.run(["--cores", "1", *arguments], folder)
    assert status == 0, output
    return output


def test_a_new_figure_is_its_module(copy):
    assert "plot_bars" in snakemake(copy, "-n", "--quiet", "rules")
    drawn = copy / "results/tiny/figures/digits/bars.svg"
    snakemake(copy, drawn.relative_to(copy).as_posix(), "--allowed-rules", "plot_bars", "--rerun-triggers", "code")
    assert f"digits: {TINY['study']}" in drawn.read_text()
    assert drawn.with_suffix(".png").stat().st_size > 1000
    assert (copy / "results/tiny/logs/plot_bars/digits.log").is_file()


def test_what_a_figure_declares_is_read_without_what_draws():
    code = (
        "import sys; from squeezeproof.study.figures import figures; assert len(figures()) > 10; "
        "print({'torch', 'matplotlib', 'numpy', 'pandas', 'squeezeproof.figures.style'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "workflow_scripts", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


DRAWN = """
import sys
sys.path.insert(0, "workflow_scripts")
from squeezeproof.figures.style import save
import matplotlib.pyplot as plt
figure, axes = plt.subplots()
axes.plot([1, 3, 2], label="a line")
axes.legend()
save(figure, sys.argv[1:])
"""


def test_neither_the_shell_nor_settings_of_the_users_own_change_a_figure(tmp_path):
    settings = tmp_path / "matplotlibrc"
    settings.write_text("font.size: 30\nlines.linewidth: 9\naxes.facecolor: red\nlegend.loc: center\nbackend: TkAgg\n")
    drawn = []
    for variables in ({}, {"MATPLOTLIBRC": str(settings), "MPLBACKEND": "Qt4Agg", "DISPLAY": ""}):
        paths = [tmp_path / f"{len(drawn)}.{ending}" for ending in ("svg", "png")]
        command, environment = [sys.executable, "-c", DRAWN, *map(str, paths)], {**os.environ, **variables}
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        drawn.append([path.read_bytes() for path in paths])
    assert drawn[0] == drawn[1]


def test_a_declaration_may_use_the_plan_alone(tmp_path):
    (tmp_path / "bad.py").write_text("import numpy as np\n\nFIGURE = np.pi\n")
    with pytest.raises(
        NameError, match=r"bad.py: FIGURE may use what the module imports from squeezeproof.study alone"
    ):
        figures(tmp_path)


@pytest.mark.parametrize("name", figures())
def test_every_figure_is_whole(name):
    figure = figures()[name]
    names = dict.fromkeys(figure.wildcards, "x")
    assert figure.caption.format(**names).endswith(".")
    assert [text.format(**names) for text in figure.labels.values()]
    module = __import__(f"squeezeproof.figures.{name}", fromlist=["draw"])
    assert callable(module.draw) and module.FIGURE.file == figure.file


def test_the_plan_has_every_file_of_every_figure():
    study = Study({**TINY})
    planned = set(targets(study))
    for figure in figures().values():
        for names in figure.each(study):
            assert set(figure.files(Paths("tiny"), **names)) <= planned
            assert figure.needs(study, Paths("tiny"), SimpleNamespace(**names))
