"""The figures of a study, of which each module of `figures` that assigns FIGURE declares one whole.

A hack, like the `attr:` of setuptools: the assignment alone is run here, with what the module imports from
`squeezeproof.study`. The rest of the module imports what draws, and a dry run must not wait for that.
"""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeezeproof.study.paths import Paths

if TYPE_CHECKING:
    from squeezeproof.study.plan import Study

FOLDER = Path(__file__).resolve().parents[1] / "figures"
FORMATS = ("svg", "png")


@dataclass(frozen=True)
class Figure:
    """A kind of figure. Its module has `draw(files, names, params)` beside it, which returns a matplotlib figure.

    Attributes:
        file: its file under figures/, without the ending; the names of wildcards stand in braces.
        each: function(study) -> for every figure of the kind, wildcard -> name.
        needs: function(study, paths, names) -> name -> file or files that it is drawn from.
        caption: what the report says below it; the names of wildcards stand in braces.
        subcategory, labels: of its place in the report; labels may hold wildcards.
        params: function(study, names) -> name -> what else it depends on; `draw` gets it.
        mem_mb: that drawing takes at most.
    """

    file: str
    each: "Callable[[Study], list[dict[str, str]]]"
    needs: "Callable[[Study, Paths, Any], dict[str, Any]]"
    caption: str
    subcategory: str
    labels: dict[str, str]
    params: "Callable[[Study, Any], dict[str, Any]]" = lambda study, names: {}
    mem_mb: int = 1000

    @property
    def wildcards(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.file)

    def files(self, paths: Paths, **names: str) -> list[str]:
        """Its files; of the kind where no names of wildcards are given."""
        file = self.file.format(**names) if names else self.file
        return [paths.figure(file, ending) for ending in FORMATS]


@cache
def figures(folder: Path = FOLDER) -> dict[str, Figure]:
    """Name -> Figure of every module of a folder that declares one."""
    found = {path.stem: _declared(path) for path in sorted(folder.glob("*.py"))}
    return {name: figure for name, figure in found.items() if figure is not None}


def _declared(path: Path) -> Figure | None:
    body = ast.parse(path.read_bytes(), str(path)).body
    assigned = [node for node in body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FIGURE"]
    if not assigned:
        return None
    imported = [
        node
        for node in body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("squeezeproof.study")
    ]
    namespace = {}
    try:
        exec(compile(ast.Module([*imported, *assigned], []), str(path), "exec"), namespace)
    except NameError as error:
        message = f"{path}: FIGURE may use what the module imports from squeezeproof.study alone, not {error.name}"
        raise NameError(message) from None
    return namespace["FIGURE"]


# What the story shows, in its order; of the matrices that of the worst attack.
OF_THE_STORY = ("answers", "effects", "heatmap", "accuracy_differences", "pareto")


def story_figures(study: "Study") -> list[tuple[str, dict[str, str]]]:
    """(kind, wildcard -> name) of the figures that the story may show, in its order."""
    known = figures()
    return [(kind, names) for kind in OF_THE_STORY for names in known[kind].each(study)]


# For what a study has a figure


def for_datasets(study: "Study") -> list[dict[str, str]]:
    """Every data set on which anything is attacked."""
    return [{"dataset": dataset} for dataset in study.audited_datasets]


def for_compressed(study: "Study") -> list[dict[str, str]]:
    """Every architecture of which a model is evaluated that the study compresses, or trains on."""
    targets = [study.models[dataset, target] for dataset, target, _ in study.pairs]
    made = [target for target in targets if study.rule_of(target) == "compress"]
    found = {(target.dataset, target.architecture) for target in made}
    return [{"dataset": dataset, "architecture": architecture} for dataset, architecture in sorted(found)]


def with_weights(study: "Study", dataset: str) -> list[str]:
    """Names of the evaluated models of a data set, without ensembles, which have no weights of their own, and files,
    which do not show theirs.
    """
    models = [study.models[key] for key in study.evaluated_models if key[0] == dataset]
    return [model.name for model in models if not model.is_ensemble and study.gives_gradients(model)]
