"""Every figure on small tables, of one seed and many, few attacks and many: what is drawn, and how it is told apart."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from table_examples import (
    MODELS,
    answers,
    clean_differences,
    describe,
    effects,
    over_seeds,
    robust_accuracy,
    verdicts,
)

from squeezeproof.analysis.names import CONTROL
from squeezeproof.errors import InputError, NothingToShow
from squeezeproof.figures import images as images_figure
from squeezeproof.figures import training as training_figure
from squeezeproof.figures import weights as weights_figure
from squeezeproof.figures.accuracy_against_ratio import accuracy_against_ratio
from squeezeproof.figures.accuracy_differences import accuracy_differences
from squeezeproof.figures.answers import COLOR, answers_figure
from squeezeproof.figures.effects import effects_figure
from squeezeproof.figures.levels import CURVES, attack_groups
from squeezeproof.figures.style import COLORS, save, words
from squeezeproof.store.tensors import write_tensors


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def curves(axes):
    """The data lines of some axes: (color, marker, style) -> points."""
    lines = [line for line in axes.get_lines() if line.get_marker() not in ("None", None, "", "|", "_")]
    return [
        ((to_hex(line.get_color()), line.get_marker(), line.get_linestyle()), np.array(line.get_xydata()))
        for line in lines
    ]


def legends(figure):
    return [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes if axes.get_legend()]


def overlaps(figure):
    """Titles and axis labels of the figure that lie on each other."""
    figure.canvas.draw()
    texts = [
        text for axes in figure.axes for text in (axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label)
    ]
    if figure._suptitle is not None:
        texts.append(figure._suptitle)
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    return [(a, b) for i, (a, one) in enumerate(boxes) for b, other in boxes[i + 1 :] if one.overlaps(other)]


# Answers


def texts(axes):
    return [label.get_text() for label in axes.get_yticklabels()], [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_answers_stand_beside_their_differences(seeds):
    figure = answers_figure(answers(seeds), robust_accuracy(), "digits", 0.02)
    axes = figure.axes[0]
    names, said = texts(axes)
    assert names == ["CNN-8, filter 25 %", "CNN-8, filter 50 %"]
    leaves = "FGSM, eps 0.1 leaves {} %".format
    assert said == ["cannot tell", leaves("35.0"), "do not ship", leaves("30.0")]
    assert [text.get_color() for text in axes.texts[::2]] == [COLOR["cannot tell"], COLOR["do not ship"]]
    points = [points[0] for _, points in curves(axes)]
    assert np.allclose(points, [(-2, -0.13), (-2, 0.87), (-5, 0.13), (-10, 1.13)])
    assert overlaps(figure) == []


def test_a_model_that_was_not_attacked_has_an_answer_in_the_figure():
    table = answers().assign(attack="", robust_accuracy=np.nan, robust_difference=np.nan)
    axes = answers_figure(table, robust_accuracy(), "digits", 0.02).axes[0]
    assert texts(axes)[1][1] == "not attacked"
    assert len(curves(axes)) == 2


def test_the_total_is_the_sum_of_its_parts():
    # The bars of a part and of the whole are of one kind; those of an answer are wider.
    given = answers(3).assign(robust_difference_low=-1.0, robust_difference_high=1.0)
    axes = effects_figure(given, effects(3), robust_accuracy(), "digits").axes[0]
    total, training, compression = (points for _, points in curves(axes))
    assert np.allclose(total[:, 0], training[:, 0] + compression[:, 0])
    assert np.allclose(total[:, 0], [-5, -10])
    assert texts(axes)[0] == ["CNN-8, filter 25 %\nFGSM, eps 0.1", "CNN-8, filter 50 %\nFGSM, eps 0.1"]
    drawn = [path.vertices[:, 0] for bars in axes.collections for path in bars.get_paths()]
    assert np.allclose([np.ptp(bar) for bar in drawn], 6) and "each by itself" in axes.get_xlabel()
    nothing = effects_figure(answers().assign(by_training=np.nan), effects(), robust_accuracy(), "digits").axes[0]
    assert texts(nothing)[1] == ["no model was compared with its control here"]
    # As they are read from files, of which one has no row, in types of no value.
    given, empty = answers().assign(by_training=np.nan), effects()[:0].astype(object)
    assert effects_figure(given, empty, robust_accuracy(), "digits").axes[0].texts


# Accuracy against what was removed


@pytest.mark.parametrize("count", [1, 7, 8, 20])
def test_no_color_and_marker_is_used_twice_in_one_panel(count):
    for figure in (
        accuracy_against_ratio(over_seeds(count), "digits", "cnn8"),
        accuracy_differences(verdicts(count), clean_differences(), "digits", "cnn8"),
    ):
        for axes in figure.axes:
            styles = [style for style, _ in curves(axes)]
            assert len(styles) == len(set(styles))
            assert len({style[:2] for style in styles}) <= CURVES + 1
        shown = {name for names in legends(figure) for name in names}
        assert len([name for name in shown if "eps" in name]) == count
        assert not overlaps(figure)


def test_every_attack_is_in_exactly_one_group_with_a_style_of_its_own():
    table = pd.DataFrame(
        [{"attack": f"{entry}-eps{eps}", "entry": entry, "eps": eps} for entry in "abcdefgh" for eps in (0.1, 0.2, 0.3)]
        + [{"attack": f"many-eps{eps}", "entry": "many", "eps": eps} for eps in np.arange(1, 13) / 100]
    )
    groups = attack_groups(table)
    names = [name for group in groups for name in group if name != "clean"]
    assert sorted(names) == sorted(table["attack"])
    for group in groups:
        styles = [tuple(style.values()) for style in group.values()]
        assert len(styles) == len(set(styles)) <= CURVES + 1


def test_curves_show_the_means_and_their_spread():
    figure = accuracy_against_ratio(over_seeds(runs=3), "digits", "cnn8")
    drawn = {style[2]: points for style, points in curves(figure.axes[0]) if style[0] == COLORS[0].lower()}
    assert np.allclose(drawn["-"], [[0, 0.4], [0.25, 0.35], [0.5, 0.3]])
    assert np.allclose(drawn["--"], [[0, 0.4], [0.25, 0.55], [0.5, 0.5]])
    assert "mean and standard deviation of 3 seeds" in figure._suptitle.get_text()
    (bars,) = figure.axes[0].containers[1].lines[2]
    spans = [np.ptp(segment[:, 1]) for segment in bars.get_segments()]
    assert spans == pytest.approx([0.04] * 3)


def test_bit_widths_have_an_axis_of_bits():
    table = over_seeds()
    for ratio, bits in ((0.25, 8), (0.5, 4)):
        table.loc[table["target_ratio"] == ratio, "target_bits"] = bits
    axes = accuracy_against_ratio(table, "digits", "cnn8").axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["32", "8", "4"]
    assert axes.get_xlabel() == "bits of a weight"


def test_differences_start_at_zero_and_carry_the_intervals_of_the_table():
    figure = accuracy_differences(verdicts(seeds=1), clean_differences(), "digits", "cnn8")
    drawn = {style: points.tolist() for style, points in curves(figure.axes[0])}
    assert drawn[COLORS[0].lower(), "s", "-"] == [[0, 0], [0.25, -0.01], [0.5, -0.1]]
    assert drawn[COLORS[0].lower(), "s", "--"] == [[0, 0], [0.25, 0.2], [0.5, 0.2]]
    assert drawn["#222222", "o", "-"] == [[0, 0], [0.25, -0.02], [0.5, -0.02]]
    assert "1 seed, 200 images" in figure._suptitle.get_text()


def test_what_is_not_there_is_an_error_that_says_so():
    with pytest.raises(InputError, match="no compressed cnn3 on digits is supported and passed the audit"):
        accuracy_against_ratio(over_seeds(), "digits", "cnn3")
    with pytest.raises(InputError, match="no compressed cnn3 on digits is supported and passed the audit"):
        accuracy_differences(verdicts(), clean_differences(), "digits", "cnn3")


def test_differences_of_controls_alone_are_none_of_compressed_models():
    """Those of a network that supports no compression."""
    controls = [table.assign(compression=CONTROL) for table in (verdicts(), clean_differences())]
    with pytest.raises(NothingToShow, match="no compressed cnn8 on digits"):
        accuracy_differences(*controls, "digits", "cnn8")


# Weights


def test_histogram_counts_what_is_not_zero():
    weights = np.array([0, 0, -2, 1, 0.5, 2], np.float32)
    shares, zeros = weights_figure.histogram(weights)
    assert zeros == pytest.approx(2 / 6)
    assert shares.sum() == pytest.approx(4 / 6)
    # In units of the largest magnitude: 1 / 2 lies in the bin of 0.5.
    assert shares[np.searchsorted(weights_figure.BINS, 0.5, "right") - 1] == pytest.approx(1 / 6)
    assert weights_figure.histogram(np.zeros(3, np.float32)) == (pytest.approx(np.zeros(80)), 1.0)


def test_weights_are_those_of_convolutions_and_linear_layers(tmp_path):
    arrays = {
        "network.conv.weight": np.ones((2, 1, 1, 1), np.float32),
        "network.fc.weight": np.full((1, 2), 3, np.float32),
        "network.norm.weight": np.full(5, 9, np.float32),
        "network.fc.bias": np.full(1, 9, np.float32),
        "mask:network.fc.weight": np.ones((1, 2), bool),
    }
    write_tensors(tmp_path / "m.safetensors", arrays, {"kind": "model"})
    assert weights_figure.read_weights(tmp_path / "m.safetensors").tolist() == [1, 1, 3, 3]


def test_weight_panels_set_bases_together_and_every_level_beside_its_base():
    rng = np.random.default_rng(0)
    pruned = np.where(rng.random(500) < 0.5, 0, rng.normal(size=500))
    weights = {("standard", 0.5): pruned}
    models = [
        (describe(ratio, training=mode), weights_figure.histogram(weights.get((mode, ratio), rng.normal(size=500))))
        for mode in ("standard", "pgd")
        for ratio in MODELS
    ]
    figure = weights_figure.weight_histograms(models, "digits")
    bases, standard, _ = legends(figure)
    assert bases == ["standard training", "pgd training"]
    assert standard == ["base", "25 %", f"50 % ({100 * np.mean(pruned == 0):.0f} % zeros)"]
    assert len(figure.axes) == 3
    assert all(axes.get_yscale() == "log" for axes in figure.axes)
    assert not overlaps(figure)


def test_only_float_weights_of_the_first_seed_are_read(tmp_path):
    path = tmp_path / "m.safetensors"
    write_tensors(path, {"network.fc.weight": np.ones((1, 2), np.float32)}, {"kind": "model"})
    quantized = {**describe(0.25, 3), "bits": 8}
    models = [(describe(0.0, 5), "not read"), (describe(0.0, 3), path), (quantized, "not read")]
    ((description, (shares, zeros)),) = weights_figure.read_histograms(models)
    assert (description["seed"], shares[-1], zeros) == (3, 1, 0)


def test_more_levels_than_colors_go_to_a_further_panel():
    found = weights_figure.histogram(np.random.default_rng(0).normal(size=50))
    levels = [{**describe(0.25), "ratio": ratio / 20, "name": str(ratio)} for ratio in range(1, 13)]
    models = [(describe(0.0), found), *((level, found) for level in levels)]
    figure = weights_figure.weight_histograms(models, "digits")
    colors = [[to_hex(patch.get_edgecolor()) for patch in axes.patches] for axes in figure.axes]
    assert sum(map(len, colors)) == 1 + 13
    assert all(len(found) == len(set(found)) for found in colors)


# Training


def history(losses, adversarial=None, **more):
    frame = pd.DataFrame({"epoch": range(1, len(losses) + 1), "clean_loss": losses})
    frame["adversarial_loss"] = np.nan if adversarial is None else adversarial
    return frame.assign(**more)


def test_training_curves_are_means_over_seeds():
    histories = [(describe(0.0, seed), history([2.0, 1.0 + seed])) for seed in (0, 1)]
    axes = training_figure.training_curves(histories, "digits").axes[0]
    (line,) = axes.get_lines()
    assert line.get_xydata().tolist() == [[1, 2], [2, 1.5]]
    assert len(axes.collections) == 1, "the range over seeds"


def test_adversarial_loss_and_a_longer_seed_are_drawn():
    histories = [
        (describe(0.0, 0, "pgd"), history([2.0, 1.0], [3.0, 2.0])),
        (describe(0.0, 1, "pgd"), history([2.0, 1.0, 0.5], [3.0, 2.0, 1.0])),
    ]
    figure = training_figure.training_curves(histories, "digits")
    assert [line.get_ydata().tolist() for line in figure.axes[0].get_lines()] == [[2, 1, 0.5], [3, 2, 1]]
    assert legends(figure) == [["clean loss", "adversarial loss"]]


def test_admm_has_a_panel_of_its_solver():
    solver = {"primal_residual": [0.4, 0.1], "sparsity": [0.5, 0.9]}
    histories = [(describe(0.5), history([2.0, 1.0], **solver)), (describe(0.0), history([2.0]))]
    figure = training_figure.training_curves(histories, "digits")
    assert len(figure.axes) == 3
    assert [line.get_ydata().tolist() for line in figure.axes[1].get_lines()] == [[0.4, 0.1], [0.5, 0.9]]
    assert not overlaps(figure)


def test_a_study_that_trains_nothing_has_its_figure_all_the_same(tmp_path):
    with pytest.raises(NothingToShow, match="Nothing was trained") as left_out:
        training_figure.training_curves([(describe(0.0), history([]))], "digits")
    save(words(str(left_out.value)), [tmp_path / "t.svg"])
    assert "Nothing was trained" in (tmp_path / "t.svg").read_text()


# Images


@pytest.fixture
def sets(tmp_path):
    """Two sets of six images of three classes; the source gets the first image of class 0 wrong."""
    rng = np.random.default_rng(0)
    images = rng.integers(60, 200, (6, 1, 4, 4)).astype(np.uint8)
    labels = np.array([0, 1, 2, 0, 1, 2])
    metadata = {"kind": "dataset", "classes": ["zero", "one", "two"]}
    write_tensors(tmp_path / "test.safetensors", {"images": images, "labels": labels}, metadata)
    clean = np.array([1, 1, 2, 0, 1, 2])
    for attack, eps in (("fgsm-eps0.1", 0.1), ("pgd-eps0.2", 0.2)):
        arrays = {
            "adversarial": images.astype(np.float32) / 255 + np.float32(eps),
            "labels": labels,
            "clean_predictions": clean,
            "predictions": (labels + 1) % 3,
        }
        method = attack.partition("-")[0]
        settings = {"method": method, "eps": eps}
        metadata = {"kind": "adversarial", "attack": attack, "entry": method, "settings": settings} | (
            {"held_out": 2} if eps == 0.2 else {}
        )
        write_tensors(tmp_path / f"{attack}.safetensors", arrays, metadata)
    return [tmp_path / "fgsm-eps0.1.safetensors", tmp_path / "pgd-eps0.2.safetensors"], tmp_path / "test.safetensors"


def test_images_are_the_first_right_ones_that_no_attack_saw(sets):
    paths, test = sets
    shown = images_figure.read_panels(paths[:1], test)
    assert shown["labels"].tolist() == [0, 1, 2]
    all_images = images_figure.read_panels(paths, test)
    # Image 1 is the first of its class that the source gets right, but the second attack was fitted on it.
    pixels = [images_figure.read_panels(paths[:1], test)["images"][1], all_images["images"][1]]
    assert not np.array_equal(*pixels)
    assert all_images["labels"].tolist() == [0, 1, 2]


def test_panels_show_labels_and_the_factor_of_the_perturbation(sets):
    figure = images_figure.adversarial_panels(images_figure.read_panels(*sets), "digits", "m")
    names = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert names == ["clean", "FGSM, eps 0.1", "perturbation × 5", "PGD, eps 0.2", "perturbation × 2"]
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:6] == ["zero", "one", "two", "one", "two", "zero"]
    magnified = figure.axes[6].images[0].get_array()
    assert np.allclose(magnified, 0.5 + 5 * 0.1, atol=1e-5)


@pytest.mark.parametrize(("largest", "factor"), [(0.1, 5), (0.3, 1), (0.9, 1), (8 / 255, 10), (1e-9, 500), (0, 500)])
def test_magnification_stays_inside_the_grey_range(largest, factor):
    assert images_figure.magnification(np.array([-largest, largest / 2])) == factor


def test_a_source_that_gets_nothing_right_is_refused(sets, tmp_path):
    arrays = {"labels": np.zeros(6, int), "clean_predictions": np.ones(6, int)}
    write_tensors(tmp_path / "bad.safetensors", arrays, {"kind": "adversarial", "attack": "x"})
    with pytest.raises(InputError, match="gets no test image right"):
        images_figure.read_panels([tmp_path / "bad.safetensors"], sets[1])


def test_figures_saved_twice_have_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        figure = accuracy_differences(verdicts(9), clean_differences(), "digits", "cnn8")
        (tmp_path / folder).mkdir()
        save(figure, [tmp_path / folder / "f.svg", tmp_path / folder / "f.png"])
    for name in ("f.svg", "f.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
