"""The page of published numbers beside tables that are known."""

import pytest
from table_examples import whole

from squeezeproof.analysis.published import AGREES
from squeezeproof.pages.published_page import published_page
from squeezeproof.tables.files import write_table

MEANS = {"a": (90.0, 80.0), "b": (50.0, 60.0)}


def published(architectures):
    rows = []
    for architecture in architectures:
        for compression, ratio, mean in zip(("none", "filter"), ("0", "0.5"), MEANS[architecture], strict=True):
            model = {"architecture": architecture, "training": "standard", "compression": compression, "ratio": ratio}
            ours = {"mean": mean, "low": mean - 1, "high": mean + 1, "min": mean, "max": mean}
            told = {"published": mean, "difference": 0.0, "agreement": AGREES, "runs": 2, "eps": float("nan")}
            rows.append(model | ours | told | {"attack": "none"})
    return whole("published", rows)


@pytest.mark.parametrize("architectures", ["a", "b", "ab"])
def test_a_pruned_network_is_set_beside_the_base_of_its_own_architecture(architectures, tmp_path):
    write_table(tmp_path / "published.csv", published(architectures))
    sizes = [{"architecture": name, "training": "standard"} for name in architectures]
    write_table(tmp_path / "compression.csv", whole("compression", sizes))
    published_page(tmp_path, "t", "i", {}, [])
    said = (tmp_path / "README.md").read_text()
    for name in architectures:
        training = f"{name}, standard" if len(architectures) > 1 else "standard"
        step = {"a": "−10.0", "b": "+10.0"}[name]
        assert f"| {training} | filter 50 % | clean images |  | {step} | {step} | same direction |" in said


@pytest.mark.parametrize(
    ("compression", "ratio", "told"),
    [
        (
            "filter",
            "0.5",
            ": clean accuracy from 30.0 to 80.0 over seeds. Filters left in its convolutions: 4-8 (seed 1).",
        ),
        ("ptq", "int2", ": clean accuracy from 30.0 to 80.0 over seeds.\n"),
    ],
)
def test_a_model_that_depends_on_its_seed_is_told_with_its_filters_where_it_lost_some(
    compression, ratio, told, tmp_path
):
    rows = published("a").assign(min=30.0, max=80.0)
    rows.loc[rows["compression"] == "filter", ["compression", "ratio"]] = compression, ratio
    write_table(tmp_path / "published.csv", rows)
    own = {
        "architecture": "a",
        "training": "standard",
        "compression": "filter",
        "ratio": 0.5,
        "filters": "4-8",
        "seed": 1,
    }
    write_table(tmp_path / "compression.csv", whole("compression", [own]))
    published_page(tmp_path, "t", "i", {}, [])
    assert told in (tmp_path / "README.md").read_text()
