"""Names are never read as what they name: a minimum-norm entry called `fab-eps` survives tables, figures and pages."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from explorer_study import ExplorerStudy
from table_examples import clean_differences, compression_table, describe, over_seeds, robust_accuracy, verdicts, whole

from squeezeproof.analysis import wide
from squeezeproof.analysis.published import compare
from squeezeproof.figures.accuracy_against_ratio import accuracy_against_ratio
from squeezeproof.figures.accuracy_differences import accuracy_differences
from squeezeproof.figures.heatmap import heatmap
from squeezeproof.figures.levels import attack_groups
from squeezeproof.figures.pareto import pareto
from squeezeproof.figures.transfer import transfer
from squeezeproof.pages.explorer_data import explorer_data
from squeezeproof.pages.findings_page import findings_page
from squeezeproof.pages.sections import write_audit_in_short
from squeezeproof.pages.story import sentences, verdict_matrix
from squeezeproof.tables.files import write_table

NAME = "fab-eps"


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def renamed(table):
    """The table with a minimum-norm attack of that name in the place of FGSM."""
    fgsm = table["attack"] == "fgsm-eps0.1"
    columns = {"attack": NAME, "entry": NAME, "method": "fab", "norm": "l2", "eps": np.nan}
    return table.assign(**{key: table[key].where(~fgsm, value) for key, value in columns.items() if key in table})


def texts(figure):
    figure.canvas.draw()
    found = [text.get_text() for text in figure.findobj(plt.Text)]
    return "\n".join(found)


def test_the_curves_of_levels_name_it():
    for figure in (
        accuracy_against_ratio(renamed(over_seeds(2)), "digits", "cnn8"),
        accuracy_differences(renamed(verdicts(2)), clean_differences(), "digits", "cnn8"),
    ):
        shown = texts(figure).splitlines()
        assert "FAB-eps" in shown and "a1, eps 0.1" in shown


def test_it_stands_in_a_group_without_a_budget():
    groups = [set(group) - {"clean"} for group in attack_groups(renamed(over_seeds(2)))]
    assert groups == [{"a1-eps0.1"}, {NAME}]


def test_the_matrix_names_it():
    assert "digits, FAB-eps: accuracy" in texts(heatmap(renamed(over_seeds()), "digits", NAME))


def test_the_pareto_front_names_it():
    efficiency = compression_table().assign(
        packed_bytes=[3.0, 2.0, 1.0], eager_ms=1.0, onnxruntime_ms=1.0, int8_ms=np.nan
    )
    assert "accuracy under FAB-eps" in texts(pareto(renamed(over_seeds()), efficiency, "digits", NAME))


def test_curves_against_eps_name_an_entry_that_looks_like_a_budget():
    table = over_seeds().assign(entry="fab-eps0.1", method="fab")
    table.loc[table["attack"] == "clean", ["entry", "method"]] = "clean"
    figure = transfer(table, 100, 0.1, "digits", describe(0.0), ["fgsm-eps0.1"])
    assert "FAB-eps0.1 crafted on cnn8.standard.none.none" in texts(figure)


def test_the_layouts_of_the_papers_name_it():
    cells = wide.read_cells(renamed(over_seeds()), renamed(robust_accuracy()), compression_table())
    assert "FAB-eps" in wide.models_by_attack(cells)
    assert set(wide.attacks_by_level(cells, "filter", {})["attack"]) == {"clean images", "FAB-eps"}


def test_the_story_names_it():
    assert any("less robust than its base to FAB-eps (" in line for line in sentences(renamed(verdicts()), 10))
    assert verdict_matrix(renamed(verdicts())).columns[5:] == ["FAB-eps"]


def test_it_is_set_beside_published_numbers():
    names = {f"{axis}s": {} for axis in ("dataset", "architecture", "training", "compression", "attack")}
    settings = {
        **names,
        "table": "p.csv",
        "tables": ["*"],
        "threat": "white-box",
        "eps_scale": 1,
        "attacks": {"FAB": NAME},
    }
    row = {"table": 1, "metric": "accuracy_pct", "dataset": "digits", "architecture": "cnn8", "training": "standard"}
    row |= {"compression": "filter", "ratio": 0.5, "attack": "FAB", "epsilon": np.nan, "value": 30.0}
    [found] = compare(renamed(over_seeds()), 100, pd.DataFrame([row]), settings).itertuples()
    assert found.mean == pytest.approx(30)


def test_the_explorer_shows_it_without_a_budget(tmp_path):
    study = ExplorerStudy(tmp_path, attacks=("fgsm",), eps=(0.1,))
    tables = {name: renamed(table) if "attack" in table else table for name, table in study.tables.items()}
    attacks = explorer_data(tables, "s", "?")["attacks"]
    assert attacks["entry"]["values"] == [NAME] and attacks["budget"]["values"] == [""] and attacks["eps"] == [None]


def test_the_page_of_findings_names_it(tmp_path):
    selected = {"dataset": "digits", "compression": "filter", "selected": "not evaluated", "attack": NAME}
    for name, table in {
        "over_seeds": renamed(over_seeds()),
        "verdicts": whole("verdicts", renamed(verdicts())),
        "selected": whole("selected", [{**selected, "tolerance": 0.01}]),
    }.items():
        write_table(tmp_path / f"{name}.csv", table)
    write_audit_in_short(tmp_path, whole("audit", []))
    findings_page(tmp_path, "t", "i", [])
    page = (tmp_path / "README.md").read_text()
    assert "| FAB-eps |" in page and NAME not in page.replace("FAB-eps", "")
