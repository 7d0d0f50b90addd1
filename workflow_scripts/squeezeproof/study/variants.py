"""The models that a study declares: its bases, and the variants of them that its config selects."""

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

from squeezeproof.entries.compression import NONE
from squeezeproof.study.entities import Model
from squeezeproof.study.external import placed
from squeezeproof.study.parts import Problems
from squeezeproof.study.selection import select

if TYPE_CHECKING:
    from squeezeproof.study.plan import Study


def expand_models(study: "Study", problems: Problems) -> dict[tuple[str, str], Model]:
    """(dataset, model name) -> Model of every base and variant, the bases first, in the order of the config.

    Args:
        study: what is known of it so far; of models, its config, seeds and compressions.
        problems: what is wrong is appended here.
    """
    axes = [study.config[axis] for axis in ("datasets", "architectures", "trainings")]
    bases = [Model(*names, NONE, NONE, seed) for *names, seed in product(*axes, study.seeds)]
    models = {(base.dataset, base.name): base for base in bases}
    for chosen in _selected(study, problems):
        for axes, seed in product(product(*chosen), study.seeds):
            model = placed(Model(*axes, seed), study.compressions)
            # What another compression starts from comes before it.
            for needed in () if model is None else (study.parent(model), model):
                models.setdefault((needed.dataset, needed.name), needed)
    return models


def _selected(study: "Study", problems: Problems) -> Iterator[list[list[str]]]:
    """The names on each axis of a Model but its seed, for every entry of `variants`."""
    config = study.config
    # Of fine-tunings that are not valid nobody knows what they would have been selected for.
    finetunings = list(config["finetunings"]) or ([] if "finetunings" in problems.unknown else [NONE])
    # The default selection of a study without compressions selects nothing, and rightly so.
    for index, selection in enumerate(config["variants"] if study.compressions else ()):
        path = f"variants[{index}]"
        chosen = [
            select(selection[axis], names, f"{path}.{axis}", problems.of(axis))
            for axis, names in (
                ("datasets", list(config["datasets"])),
                ("architectures", list(config["architectures"])),
                ("trainings", list(config["trainings"])),
                ("compressions", list(study.compressions)),
            )
        ]
        path, told = f"{path}.finetunings", problems.of("finetunings")
        yield [*chosen, select(selection["finetunings"], finetunings, path, told, literal=[NONE])]
