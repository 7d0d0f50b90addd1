"""The data of the explorer page: packing, joins, sentences, images and the bytes they take; no browser."""

import base64
import hashlib
import html
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from explorer_study import TEMPLATES, ExplorerStudy
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from squeezeproof.errors import InputError
from squeezeproof.pages import explorer
from squeezeproof.pages.explorer import PAGE_BYTES, build_page, write_page
from squeezeproof.pages.explorer_data import explorer_data, first_runs, intervals, packed, template
from squeezeproof.pages.explorer_images import choose, fitting, sprite, step
from squeezeproof.statistics.intervals import wilson
from squeezeproof.tables.catalog.checks import UNSUPPORTED


@pytest.fixture(scope="module")
def invented(tmp_path_factory):
    return ExplorerStudy(tmp_path_factory.mktemp("invented"), seeds=(0, 1))


def unpacked(column):
    return column if isinstance(column, list) else [column["values"][row] for row in column["rows"]]


def rows(section):
    columns = {name: unpacked(column) for name, column in section.items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def data_of(page):
    """The data as a browser reads them."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


VALUES = st.one_of(st.lists(st.text()), st.lists(st.floats(0, 1)), st.lists(st.integers(-5, 5)))


@given(VALUES)
def test_packed_columns_unpack_to_what_they_were(values):
    found = json.loads(json.dumps(packed(pd.DataFrame({"column": pd.Series(values, dtype=object)}))))
    assert unpacked(found["column"]) == values


def test_missing_values_become_null():
    assert packed(pd.DataFrame({"std": [0.5, np.nan]})) == {"std": [0.5, None]}


@given(st.sampled_from(["pgd-eps0.1", "deepfool", "fgsm-eps8of255"]), st.lists(st.floats(-99, 99), max_size=4))
def test_a_template_fills_up_to_its_sentence(attack, numbers):
    source = "cnn3.standard.weight-2.5.none"
    said = "".join(f" {number:+.1f} points;" for number in numbers)
    sentence = f"More robust: under {attack}, on images crafted on {source}, it is{said} 300 images."
    text, kept = template(sentence, attack, source)
    decimals, names = iter(kept.split()), {"attack": attack, "source": source}
    assert re.sub(r"\{(\w*)\}", lambda match: names[match[1]] if match[1] else next(decimals), text) == sentence
    assert attack not in text and not re.search(r"\d\.\d points", text)


def test_every_cell_carries_the_numbers_of_the_tables(invented):
    data = explorer_data(invented.tables, "invented", "?")
    models, attacks, cells = (rows(data[name]) for name in ("models", "attacks", "cells"))
    over_seeds = invented.table("over_seeds")
    over_seeds = over_seeds[over_seeds["attack"] != "clean"].reset_index(drop=True)
    assert len(cells) == len(over_seeds) == 3 * 3 * 4
    for cell, row in zip(cells, over_seeds.itertuples(), strict=True):
        source, target = models[cell["source_model"]], models[cell["target_model"]]
        assert attacks[cell["attack"]]["attack"] == row.attack
        assert (source["compression"], source["ratio"]) == (row.source_compression, row.source_ratio)
        assert (target["compression"], target["ratio"]) == (row.target_compression, row.target_ratio)
        assert cell["mean"] == row.mean and cell["std"] == pytest.approx(float(row.std))
    robust = invented.table("robust_accuracy").set_index(["source", "target", "attack"])
    for run in rows(data["runs"]):
        cell = cells[run["cell"]]
        source, target = (models[cell[f"{side}_model"]]["model"] for side in ("source", "target"))
        names = f"{source}.s{run['source_seed']}", f"{target}.s{run['target_seed']}"
        assert run["accuracy"] == robust.loc[(*names, attacks[cell["attack"]]["attack"]), "accuracy"]
    assert len(data["runs"]["n"]["rows"]) == len(robust)


def test_verdicts_find_their_cell_and_keep_their_sentence(invented):
    data = explorer_data(invented.tables, "invented", "?")
    models, attacks, cells = (rows(data[name]) for name in ("models", "attacks", "cells"))
    said = set()
    for verdict in rows(data["verdicts"]):
        cell = cells[verdict["cell"]]
        decimals = iter(verdict["numbers"].split())
        names = {"attack": attacks[cell["attack"]]["attack"], "source": models[cell["source_model"]]["model"]}
        filled = re.sub(r"\{(\w*)\}", lambda m, n=names, d=decimals: n[m[1]] if m[1] else next(d), verdict["template"])
        said.add(filled)
        assert verdict["broken"] is not None and verdict["mended"] == 2 * 3
    assert said == set(invented.table("verdicts")["sentence"])


def test_images_that_only_one_model_resists_are_those_of_the_verdicts_own_reference(invented):
    tables = dict(invented.tables)
    flips = tables["flips"].assign(against="control", broken=tables["flips"]["broken"] + 100)
    tables["flips"] = pd.concat([tables["flips"], flips], ignore_index=True)
    tables["verdicts"] = pd.concat(
        [tables["verdicts"], tables["verdicts"].assign(against="control")], ignore_index=True
    )
    found = pd.DataFrame(rows(explorer_data(tables, "invented", "?")["verdicts"]))
    base, control = (found[found["against"] == against].set_index("cell") for against in ("base", "control"))
    # Of two seeds each.
    assert len(base) and (control["broken"] == base["broken"] + 2 * 100).all()


def test_one_run_has_its_own_interval_and_several_have_that_of_their_mean():
    one = pd.DataFrame({"model": ["a"], "accuracy": [0.5], "low": [0.4], "high": [0.7], "n": [10]})
    assert intervals(one, ["model"]).iloc[0].to_dict() == {"mean": 0.5, "low": 0.4, "high": 0.7, "n": 10}
    two = pd.concat([one, one.assign(accuracy=0.51, n=8)])
    found = intervals(two, ["model"]).iloc[0]
    # Student's t with one degree of freedom: tan(0.475 pi) = 12.706 standard errors of 0.005.
    seeds, images = 12.7062 * 0.005, wilson(0.505 * 8, 8)
    assert found["high"] == pytest.approx(0.505 + np.hypot(seeds, images[1] - 0.505), abs=1e-5)
    assert found["low"] == pytest.approx(0.505 - np.hypot(seeds, 0.505 - images[0]), abs=1e-5) and found["n"] == 8


def test_pairs_of_seeds_have_the_interval_of_as_many_seeds():
    pairs = [(source, target) for source in range(3) for target in range(3) if source != target]
    columns = {"model": "a", "accuracy": [0.5, 0.6] * 3, "low": 0.4, "high": 0.7, "n": 10**6}
    runs = pd.DataFrame({**columns, "source_seed": [one for one, _ in pairs], "target_seed": [two for _, two in pairs]})
    found = intervals(runs, ["model"]).iloc[0]
    # Student's t with two degrees of freedom is 4.3027; the variance is that of three values, each of them twice.
    error = np.sqrt(5 / 4 * runs["accuracy"].var() / 3)
    assert found["high"] == pytest.approx(0.55 + 4.3027 * error, abs=1e-4)


def test_images_of_a_cell_are_those_of_its_first_seeds(invented):
    cells = first_runs(invented.tables)
    assert set(cells["source"].str[-3:]) == {".s0"} and set(cells["target"].str[-3:]) == {".s0"}
    assert len(cells) == 36


# Images


def test_examples_are_of_different_classes_and_the_most_classified():
    labels = np.array([0, 0, 1, 1, 2])
    right = np.array([[0, 1, 1, 1, 0], [0, 1, 0, 1, 0]], bool)
    assert choose(right, labels) == [1, 3, 4]
    assert choose(right, labels, count=1) == [1]
    assert choose(np.zeros((0, 5), bool), labels) == [0, 2, 4]


def decoded(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sprite_holds_the_images_side_by_side(channels):
    images = np.random.default_rng(0).integers(0, 256, (3, channels, 5, 5), np.uint8)
    for given_as in (images, images.astype(np.float32) / np.float32(255)):
        found = decoded(sprite(given_as)).reshape(5, 15, channels)
        for place, image in enumerate(images):
            assert (found[:, 5 * place : 5 * place + 5] == image.transpose(1, 2, 0)).all()


def test_large_images_are_shown_by_every_third_pixel():
    images = np.random.default_rng(0).integers(0, 256, (1, 1, 150, 150), np.uint8)
    assert step(images) == 3
    assert (decoded(sprite(images)) == images[0, 0, ::3, ::3]).all()


def test_fewer_images_are_shown_where_bytes_are_few():
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16), np.uint8)
    clean, crafted = {"digits": images}, dict.fromkeys(range(4), images)
    size = len(sprite(images))
    assert fitting(clean, crafted, 5 * size)[0] == 5
    count, sprites = fitting(clean, crafted, 3 * size)
    assert 1 < count < 5 and len(sprites["crafted"]) == 4
    one = len(sprite(images[:1]))
    count, sprites = fitting(clean, crafted, 3 * one)
    assert count == 1 and list(sprites["crafted"]) == [0, 1]
    assert fitting(clean, crafted, 0)[1]["crafted"] == {}


# The page


def test_the_page_allows_its_own_script_and_style_alone(invented):
    page = invented.page()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    policy = html.unescape(policy)
    assert policy.startswith("default-src 'none'; img-src data:; ") and "unsafe" not in policy and "http" not in policy
    for tag in ("style", "script"):
        [text] = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize(
    "hostile", ["</script><script>alert(1)</script>", "<!--<script>", "@@SCRIPT@@ \\u003c &amp; \u2028"]
)
def test_no_text_ends_the_element_of_the_data(invented, hostile):
    page = invented.page(question=hostile)
    assert data_of(page)["question"] == hostile
    assert page.count("<script") == invented.page().count("<script")


def test_nothing_in_the_templates_asks_for_a_network_or_writes_markup():
    for path in TEMPLATES:
        text = path.read_text()
        assert not re.search(
            r"https?://(?!www\.w3\.org/2000/svg)|//cdn|@import|url\(|innerHTML|outerHTML|insertAdj|eval\(", text
        ), path


def test_the_same_study_gives_the_same_bytes(invented):
    assert invented.page() == invented.page()


def test_a_page_that_the_report_would_show_blank_is_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="too many cells for one page"):
        write_page(tmp_path / "explorer.html", "x" * (PAGE_BYTES + 1))
    assert not list(tmp_path.iterdir())
    write_page(tmp_path / "explorer.html", "x" * PAGE_BYTES)


# `choose` and `fitting` are tried at other sizes above.
@pytest.mark.slow
def test_four_thousand_cells_with_colour_images_stay_below_one_and_a_half_megabytes(tmp_path):
    study = ExplorerStudy(
        tmp_path, architectures=("a", "b", "c", "d"), levels=tuple(("weight", ratio) for ratio in (0.3, 0.5, 0.7, 0.9)),
        attacks=("fgsm", "bim", "pgd", "apgd", "square"), shape=(3, 32, 32), n=10_000,
    )  # fmt: skip
    page = study.page()
    data = data_of(page)
    assert len(data["says"]) == 4000
    assert len(page.encode()) <= PAGE_BYTES < 1_500_000
    # What is left of the budget goes to images, of every set while that is possible.
    assert data["images"]["count"] == 1
    shown = len(data["images"]["sets"])
    assert shown > 100 and data["images"]["left_out"] == 200 - shown
    assert len(page.encode()) > 0.9 * explorer.PAGE_BYTES or shown == 200


def test_build_page_needs_every_template(invented):
    with pytest.raises(ValueError):
        build_page(TEMPLATES[1:], {"study": "x"})


def test_what_is_not_supported_is_listed_with_the_matrix(invented):
    row = {"dataset": "digits", "architecture": "cnn8", "training": "standard", "compression": "filter", "ratio": 0.5}
    row |= {"bits": 32, "finetuning": "none", "part": "compression", "models": 1, "reason": "no <filters>"}
    tables = {**invented.tables, "unsupported": UNSUPPORTED.frame([row])}
    [[dataset, said, others]] = explorer_data(tables, "study", "question")["unsupported"]
    assert (
        others == []
        and dataset == "digits"
        and said.endswith("filter 50 %, not fine-tuned: not supported: no <filters>")
    )
    many = UNSUPPORTED.frame([{**row, "ratio": ratio} for ratio in (0.3, 0.5, 0.7)])
    [[_, said, others]] = explorer_data({**tables, "unsupported": many}, "study", "question")["unsupported"]
    assert said == "3 models: not supported: no <filters>" and len(others) == 3 and "filter 70 %" in others[2]
    assert explorer_data(invented.tables, "study", "question")["unsupported"] == []
