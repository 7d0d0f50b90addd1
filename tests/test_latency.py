"""How models are timed, the tables of times and sizes, and what the plan deploys."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_examples import EXAMPLES, model_of, pixels_of
from scipy import stats
from study_examples import changed
from torch import nn

from squeezeproof.analysis.efficiency import efficiency_table, latency_table
from squeezeproof.analysis.speedups import speedups
from squeezeproof.deployment import latency
from squeezeproof.deployment.export import export_onnx
from squeezeproof.deployment.latency import COLUMNS, IN_MEMORY, LOADED, Contender, measure_latency
from squeezeproof.errors import InputError
from squeezeproof.figures.latency import latency_bars
from squeezeproof.figures.pareto import front, pareto
from squeezeproof.figures.style import save
from squeezeproof.runtime import place
from squeezeproof.store.tensors import write_tensors
from squeezeproof.study.efficiency import backends_of
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study

MACHINE = {**dict.fromkeys(["cpu", "system", "python", "torch", "onnxruntime"], "x"), "gpu": "", "cores": 2}


@pytest.fixture
def prepared(tmp_path):
    path = tmp_path / "test.safetensors"
    write_tensors(path, {"images": np.arange(6 * 4, dtype=np.uint8).reshape(6, 1, 2, 2)}, {"kind": "dataset"})
    return path


def contender(name, seen, threads=1):
    def forward(pixels):
        seen.append((name, len(pixels), pixels.sum().item()))
        return pixels

    return Contender(name, "test", threads, forward)


def test_rounds_are_interleaved_in_alternating_order_and_warmed_up(prepared):
    seen = []
    rows = measure_latency([contender("a", seen), contender("b", seen)], prepared, 4, 3)
    turns = [name for index, (name, _, _) in enumerate(seen) if index == 0 or seen[index - 1][0] != name]
    assert turns == ["a", "b", "a", "b"]  # a b, b a, a b: turns of one name meet
    order = list(dict.fromkeys((row[4], row[0]) for row in rows))
    assert order == [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]
    # Ten single images and the batch go before what is timed, in every turn.
    assert [count for _, count, _ in seen[:16]] == [1] * 10 + [4] + [1] * 4 + [4]


def test_what_is_timed_are_the_first_images_as_pixels(prepared):
    seen = []
    rows = measure_latency([contender("a", seen)], prepared, 4, 1)
    sums = [sum(range(4 * index, 4 * index + 4)) / 255 for index in range(4)]
    assert [total for _, _, total in seen[11:15]] == pytest.approx(sums)
    assert seen[-1][2] == pytest.approx(sum(sums))
    assert [row[3] for row in rows] == [IN_MEMORY] * 4 + [LOADED]


def test_times_are_milliseconds_per_image_on_the_wall_and_on_the_processor(prepared, monkeypatch):
    clock = {"perf_counter_ns": 0, "process_time_ns": 0}
    monkeypatch.setattr(latency, "time", SimpleNamespace(**{name: lambda name=name: clock[name] for name in clock}))

    def forward(pixels):
        clock["perf_counter_ns"] += 12_000_000 * len(pixels)
        clock["process_time_ns"] += 4_000_000 * len(pixels)
        return pixels

    table = pd.DataFrame(measure_latency([Contender("a", "test", 1, forward)], prepared, 5, 2), columns=COLUMNS)
    assert set(table["algorithm"]) == {IN_MEMORY, LOADED}
    assert (table["wall_ms"] == 12).all() and (table["cpu_ms"] == 4).all()


def test_too_few_images_and_too_few_cores_are_errors(prepared):
    with pytest.raises(InputError, match=r"efficiency.images: 7, but the test split .* has 6"):
        measure_latency([contender("a", [])], prepared, 7, 1)
    with pytest.raises(InputError, match=r"efficiency.threads: 9999"):
        measure_latency([contender("a", [], threads=9999)], prepared, 2, 1)


def test_back_ends_give_the_logits_of_the_model(tmp_path):
    model, pixels = model_of(EXAMPLES["residual"]), pixels_of(EXAMPLES["residual"])
    images = (pixels * 255).to(torch.uint8)
    export_onnx(tmp_path / "m.onnx", model, images)
    found = [latency.eager("m", model, 1), latency.onnxruntime("m", tmp_path / "m.onnx", 1)]
    for one in found:
        one.set_up()
        assert np.allclose(one.forward(pixels), model(pixels).detach(), atol=1e-4)
    assert [one.backend for one in found] == ["eager", "onnxruntime"]


class Views(nn.Module):
    """Views its feature maps as they lie in memory, which channels-last maps do not allow."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 64, 10)

    def forward(self, pixels):
        return self.linear(self.conv(pixels).view(len(pixels), -1))


def test_a_network_is_timed_in_the_layout_that_it_runs_in():
    model, pixels = place(Views(), "cpu", (3, 8, 8)), torch.rand(2, 3, 8, 8)
    assert torch.equal(latency.eager("m", model, 1).forward(pixels), model(pixels))


def test_machine_is_described():
    told = latency.machine(torch.device("cpu"))
    assert told["torch"] == torch.__version__ and told["cores"] >= 1 and told["cpu"] and told["gpu"] == ""


def times(model, backend, values, threads=1, algorithm=IN_MEMORY):
    return [(model, backend, threads, algorithm, index % 2, index, value, value) for index, value in enumerate(values)]


def test_latency_table_is_what_numpy_computes(tmp_path):
    values = [5.0, 1.0, 2.0, 30.0, 4.0]
    latency.write_times(tmp_path / "t.csv", [*times("m", "eager", values), *times("m", "eager", [3.0], 1, LOADED)])
    table = latency_table({"d": pd.read_csv(tmp_path / "t.csv")}, {"d": MACHINE}).set_index("algorithm")
    row = table.loc[IN_MEMORY]
    assert (row["samples"], row["rounds"]) == (5, 2)
    assert row["mean_ms"] == np.mean(values) and row["median_ms"] == 4
    assert row["std_ms"] == pytest.approx(np.std(values, ddof=1))
    assert row["iqr_ms"] == np.subtract(*np.percentile(values, [75, 25])) == row["q75_ms"] - row["q25_ms"]
    assert np.isnan(table.loc[LOADED, "std_ms"]) and row["machine_cores"] == 2


def turns(model, backend, medians):
    """Three samples a round, whose median is the one given."""
    rows = [(number, middle * factor) for number, middle in enumerate(medians) for factor in (0.5, 1, 9)]
    return [(model, backend, 1, IN_MEMORY, number, 0, wall, wall) for number, wall in rows]


def speedups_of(*raw, control=""):
    models = [
        description("base", "none"),
        description("pruned", "l1", 0.5) | {"base": "base", "control": control},
        description("control", "control") | {"base": "base", "control": ""},
        description("int8", "ptq", bits=8) | {"base": "base", "control": "base"},
    ]
    times = pd.DataFrame([row for rows in raw for row in rows], columns=COLUMNS)
    return speedups({"d": times}, models, 0.05)


def test_a_speedup_is_the_mean_ratio_of_what_a_round_took_and_its_interval_scipys():
    slow, fast = [4.0, 6.0, 5.0, 4.4], [2.0, 2.5, 2.6, 2.1]
    (row,) = speedups_of(turns("base", "eager", slow), turns("pruned", "eager", fast)).itertuples()
    logarithms = np.log(np.divide(slow, fast))
    interval = stats.t.interval(0.95, 3, logarithms.mean(), stats.sem(logarithms))
    assert (row.model, row.reference, row.against, row.rounds) == ("pruned", "base", "base", 4)
    assert row.speedup == pytest.approx(stats.gmean(np.divide(slow, fast)))
    assert (row.low, row.high) == pytest.approx(tuple(np.exp(interval)))


def test_a_slow_minute_that_falls_on_both_is_no_speedup_and_one_round_has_no_interval():
    disturbed = np.array([1.0, 7.0, 1.0])
    (row,) = speedups_of(turns("base", "eager", 3 * disturbed), turns("pruned", "eager", 3 * disturbed)).itertuples()
    assert (row.speedup, row.low, row.high) == (1, 1, 1)
    (row,) = speedups_of(turns("base", "eager", [3]), turns("pruned", "eager", [2])).itertuples()
    assert row.speedup == pytest.approx(1.5) and np.isnan(row.low) and np.isnan(row.high)


def test_speedups_compare_on_one_back_end_with_base_and_control_and_int8_with_the_float_base():
    names = ["base", "pruned", "control"]
    raw = [turns(name, backend, [2, 2]) for name in names for backend in ("eager", "onnxruntime")]
    found = speedups_of(*raw, turns("int8", "onnxruntime-int8", [1, 1]), control="control")
    rows = found[["model", "backend", "reference", "reference_backend", "speedup"]].to_numpy().tolist()
    both = ["eager", "onnxruntime"]
    assert sorted(rows) == sorted(
        [[name, backend, "base", backend, 1] for name in ("control", "pruned") for backend in both]
        + [["pruned", backend, "control", backend, 1] for backend in both]
        + [["int8", "onnxruntime-int8", "base", "onnxruntime", 2]]
    )


def test_models_whose_base_was_not_timed_have_no_speedup():
    assert speedups_of(turns("pruned", "eager", [2, 2]), turns("base", "onnxruntime", [2, 2])).empty
    assert speedups({}, [], 0.05).empty


def description(name, compression, ratio=0.0, bits=32):
    axes = {"architecture": "cnn8", "training": "standard", "finetuning": "none", "seed": 0}
    return {"dataset": "d", "name": name, "compression": compression, "ratio": ratio, "bits": bits, **axes}


MODELS = [description("base", "none"), description("int8", "q", 0.75, 8), description("half", "weight", 0.5)]
COUNTS = ["parameters", "nonzeros", "macs", "bytes", "packed_bytes", "weights", "weight_bits"]
SIZES = [dict.fromkeys(COUNTS, value) for value in (400, 100, 250)]


def tables():
    raw = [*times("base", "eager", [2.0]), *times("base", "onnxruntime", [1.0]), *times("half", "onnxruntime", [1.5])]
    raw += [*times("int8", "onnxruntime-int8", [0.5]), *times("int8", "onnxruntime-int8", [0.1], threads=2)]
    found = latency_table({"d": pd.DataFrame(raw, columns=COLUMNS)}, {"d": MACHINE})
    exports = {("d", "int8", "int8.onnx"): {"file_bytes": 77, "agreement": 0.9, "accuracy": 0.8, "layers": 4}}
    clean = pd.DataFrame({"dataset": ["d", "d"], "model": ["base", "int8"], "accuracy": [0.95, 0.9]})
    return found, efficiency_table(MODELS, SIZES, exports, clean, found)


def test_efficiency_table_leaves_empty_what_was_not_measured():
    rows = tables()[1].set_index("model")
    assert rows.loc["int8", ["int8_bytes", "int8_agreement", "int8_accuracy"]].tolist() == [77, 0.9, 0.8]
    assert rows.loc["int8", "int8_ms"] == 0.5 and np.isnan(rows.loc["int8", "eager_ms"])
    assert rows.loc["base", ["eager_ms", "onnxruntime_ms", "accuracy"]].tolist() == [2, 1, 0.95]
    assert np.isnan(rows.loc["half", "accuracy"]) and rows.loc["base", "onnx_bytes"] is pd.NA


def test_a_study_that_times_nothing_still_has_its_tables():
    empty = latency_table({}, {})
    assert len(empty) == 0 and "median_ms" in empty
    assert len(efficiency_table(MODELS, SIZES, {}, tables()[1][["dataset", "model", "accuracy"]], empty)) == 3


PGD = {"entry": "pgd", "method": "pgd", "eps": 0.1}


def means():
    rows = []
    for model, value in zip(MODELS, (0.3, 0.2, 0.25), strict=True):
        axes = {f"target_{axis}": model[axis] for axis in model if axis not in ("dataset", "name", "seed")}
        rows.append(
            {"dataset": "d", **axes, "threat": "white-box", "attack": "pgd-eps0.1", **PGD, "runs": 1, "mean": value}
        )
    return pd.DataFrame(rows)


def test_figures_show_every_model_by_name(tmp_path):
    found, costs = tables()
    save(latency_bars(costs, found, "d"), [tmp_path / "latency.svg"])
    save(pareto(means(), costs, "d"), [tmp_path / "pareto.svg"])
    bars, points = ((tmp_path / f"{name}.svg").read_text() for name in ("latency", "pareto"))
    assert all(text in bars for text in ("q 8-bit", "weight 50 %", "base", "onnxruntime-int8"))
    assert all(text in points for text in ("q 8-bit", "weight 50 %", "packed bytes", "PGD, eps 0.1"))
    with pytest.raises(InputError, match="no deployed model of d"):
        pareto(means(), costs, "d", "fgsm-eps0.1")


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8))
def test_front_is_what_no_point_beats(points):
    costs, gains = np.array(points).T

    def beaten(cost, gain):
        return any(c <= cost and g >= gain and (c, g) != (cost, gain) for c, g in points)

    assert list(front(costs, gains)) == [not beaten(*point) for point in points]


SMALL = """
study: small
datasets: {digits: {test: 300}}
architectures: {cnn3: {}}
trainings: {standard: {epochs: 4}}
compressions:
  weight: {ratio: 0.9}
  int: {method: quantization, bits: [8, 4]}
  w8: {method: quantization, bits: 8, activation_bits: 32}
  a8: {method: quantization, bits: 4, activation_bits: 8}
attacks: {fgsm: {eps: 0.1}}
evaluations: {all: {targets: [base, "*int*", "*w8*", "*a8*"]}}
"""
NAMES = {name: f"cnn3.standard.{name}.none.s0" for name in ("none", "int-8", "int-4", "w8-8", "a8-4", "weight-90")}


def plan(changes=()):
    return Study(changed(SMALL, changes))


def test_nothing_is_deployed_without_the_section():
    assert plan().exports == {}


def test_evaluated_models_are_deployed_and_int8_only_where_all_is_eight_bits():
    exports = plan({"efficiency": {}}).exports
    assert exports == {
        ("digits", name): ["onnx", "int8.onnx"] if name == NAMES["int-8"] else ["onnx"]
        for name in (NAMES[key] for key in ("none", "int-8", "int-4", "w8-8", "a8-4"))
    }
    chosen = plan({"efficiency": {"models": "compressed", "formats": ["torch_export"], "backends": "eager"}}).exports
    assert ("digits", NAMES["none"]) not in chosen and set(map(tuple, chosen.values())) == {("pt2",)}


def test_simulated_rounding_is_not_timed():
    both = ["eager", "onnxruntime"]
    assert backends_of(32, ["onnx"], both) == both
    assert backends_of(32, ["pt2"], both) == ["eager"]
    assert backends_of(8, ["onnx", "int8.onnx"], both) == ["onnxruntime-int8"]
    assert backends_of(8, ["onnx", "int8.onnx"], ["eager"]) == backends_of(4, ["onnx"], both) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"efficiency": {"models": "cnn4*"}}, "efficiency.models: 'cnn4*' matches no model that the study builds"),
        ({"efficiency": {"models": NAMES["weight-90"]}}, f"efficiency.models: '{NAMES['weight-90']}' matches no model"),
        ({"efficiency": {"datasets": "mnist"}}, "efficiency.datasets: 'mnist' matches none"),
        ({"efficiency": {"formats": ["int8"]}}, "efficiency.backends: onnxruntime times the ONNX files; add onnx"),
        ({"efficiency": {"images": 301}}, "efficiency.images: 301 is more than the 300 test images of datasets.digits"),
        ({"efficiency": {"round": 3}}, "efficiency.round: unknown, did you mean rounds?"),
        ({"efficiency": {"threads": 0}}, "efficiency.threads: 0 is not in [1, 256]"),
        ({"select.attack": "fgsm"}, "select.attack: 'fgsm' is no attack with its budget; allowed: fgsm-eps0.1"),
        ({"select.tolerance": -0.1}, "select.tolerance: -0.1 is not in [0, 0.5]"),
    ],
)
def test_contradiction_is_one_problem_with_its_path(changes, problem):
    with pytest.raises(ConfigError) as caught:
        plan(changes)
    (found,) = caught.value.problems
    assert found.startswith(problem)


def test_latencies_of_models_with_long_names_have_room(tmp_path):
    longer = {"training": "adversarial-with-pgd-10"}
    found, costs = tables()
    save(latency_bars(costs.assign(**longer), found, "d"), [tmp_path / "latency.svg"])


@pytest.mark.parametrize("accuracy", [0, 0.5, 1])
def test_equal_accuracies_are_shown_on_an_axis_of_accuracies(accuracy):
    figure = pareto(means().assign(mean=accuracy), tables()[1], "d")
    low, high = figure.axes[0].get_ylim()
    assert -0.05 < low < accuracy < high < 1.05
    plt.close(figure)
