"""The kinds of figures: which rule draws one, its files, its place in the report, and for what a study has it."""

from collections.abc import Callable
from dataclasses import dataclass

from squeezeproof.study.efficiency import deployed_datasets, timed_datasets

FORMATS = ("svg", "png")


@dataclass(frozen=True)
class Figure:
    """One kind of figure.

    Attributes:
        rule: the rule that draws it; kinds that share one are drawn for the same names.
        file: its file under figures/, without the ending; the names of wildcards stand in braces.
        each: function(study) -> for every figure of the kind, wildcard -> name.
        caption: its caption's name under report/.
        subcategory, labels: of its place in the report; labels may hold wildcards.
    """

    rule: str
    file: str
    each: Callable
    caption: str
    subcategory: str
    labels: dict[str, str]

    def files(self, paths, **names):
        """Its files; of the kind where no names of wildcards are given."""
        file = self.file.format(**names) if names else self.file
        return [paths.figure(file, ending) for ending in FORMATS]


def _attacked(study):
    found = {(dataset, attack) for (dataset, _), attacks in study.sets.items() for attack in attacks}
    return [{"dataset": dataset, "attack": attack} for dataset, attack in sorted(found)]


def _compressed(study):
    targets = [study.models[dataset, target] for dataset, target, _ in study.pairs]
    found = {(target.dataset, target.architecture) for target in targets if not target.is_base}
    return [{"dataset": dataset, "architecture": architecture} for dataset, architecture in sorted(found)]


def _pictured(study):
    """Base models of the first seed that a set is crafted on."""
    models = [study.models[key] for key in study.sets]
    bases = [model for model in models if model.is_base and not model.is_ensemble]
    return [{"dataset": base.dataset, "base": base.name} for base in bases if base.seed == study.seeds[0]]


def _swept(study):
    found = sorted({(dataset, sweep) for dataset, _, sweep in study.curves})
    return [{"dataset": dataset, "sweep": sweep} for dataset, sweep in found]


def _selected(study):
    white_box = {dataset for dataset, target, source in study.pairs if target == source}
    return [{"dataset": dataset} for dataset in deployed_datasets(study) if dataset in white_box]


FIGURES = {
    "heatmap": Figure(
        "plot_heatmap",
        "{dataset}/heatmap.{attack}",
        _attacked,
        "heatmap",
        "Source x target",
        {"data set": "{dataset}", "attack": "{attack}"},
    ),
    "accuracy_against_ratio": Figure(
        "plot_ratio",
        "{dataset}/accuracy_against_ratio.{architecture}",
        _compressed,
        "accuracy_against_ratio",
        "Accuracy against compression",
        {"data set": "{dataset}", "architecture": "{architecture}", "shown": "accuracy"},
    ),
    "accuracy_differences": Figure(
        "plot_ratio",
        "{dataset}/accuracy_differences.{architecture}",
        _compressed,
        "accuracy_differences",
        "Accuracy against compression",
        {"data set": "{dataset}", "architecture": "{architecture}", "shown": "difference to base"},
    ),
    "weights": Figure(
        "plot_models",
        "{dataset}/weights",
        lambda study: [{"dataset": dataset} for dataset in study.audited_datasets],
        "weights",
        "Models",
        {"data set": "{dataset}", "shown": "weights"},
    ),
    "training": Figure(
        "plot_models",
        "{dataset}/training",
        lambda study: [{"dataset": dataset} for dataset in study.audited_datasets],
        "training",
        "Models",
        {"data set": "{dataset}", "shown": "training"},
    ),
    "images": Figure(
        "plot_images",
        "{dataset}/images.{base}",
        _pictured,
        "images",
        "Adversarial images",
        {"data set": "{dataset}", "source": "{base}"},
    ),
    "published": Figure(
        "compare_published",
        "published",
        lambda study: [{}] if study.published else [],
        "published",
        "Ours beside published",
        {"figure": "ours beside published"},
    ),
    "latency": Figure(
        "plot_latency",
        "{dataset}/latency",
        lambda study: [{"dataset": dataset} for dataset in timed_datasets(study)],
        "latency_figure",
        "Efficiency",
        {"data set": "{dataset}", "figure": "latency"},
    ),
    "pareto": Figure(
        "plot_pareto",
        "{dataset}/pareto",
        _selected,
        "pareto",
        "Efficiency",
        {"data set": "{dataset}", "figure": "robust accuracy against size and latency"},
    ),
    "accuracy_against_eps": Figure(
        "plot_sweep",
        "{dataset}/accuracy_against_eps.{sweep}",
        _swept,
        "accuracy_against_eps",
        "Accuracy against eps",
        {"data set": "{dataset}", "sweep": "{sweep}"},
    ),
    "transfer": Figure(
        "plot_transfer",
        "{dataset}/transfer.{origin}.{entry}",
        lambda study: [dict(zip(("dataset", "origin", "entry"), key, strict=True)) for key in study.transfers],
        "transfer",
        "Transfer against eps",
        {"data set": "{dataset}", "source": "{origin}", "attack": "{entry}"},
    ),
    "tsne": Figure(
        "plot_tsne",
        "{dataset}/tsne.{features}.{model}",
        lambda study: [
            {"dataset": dataset, "features": name, "model": model} for dataset, model, name in study.features
        ],
        "tsne",
        "Layer features",
        {"data set": "{dataset}", "model": "{model}", "features": "{features}"},
    ),
}
