"""Which tables a study has, and what its story tells of its design."""

from typing import TYPE_CHECKING, Any

from squeezeproof.entries import registry
from squeezeproof.entries.attack import Attack
from squeezeproof.study.efficiency import int8_pairs
from squeezeproof.study.entities import Instance
from squeezeproof.study.targeted import targeted_sets

if TYPE_CHECKING:
    from squeezeproof.study.plan import Study

# Tables by the rule that writes them, in every study.
ACCURACY = ["clean_accuracy", "robust_accuracy", "over_seeds", "compression"]
VERDICTS = ["comparisons", "verdicts", "effects", "max_delta", "flips", "clean_differences"]
DEPLOYMENT = ["efficiency", "latency", "speedups"]
OF_SWEEPS = ["sweeps", "sweep_differences"]
WIDE = "wide_"


def tables(study: "Study") -> dict[str, list[str]]:
    """Rule -> names of the tables that it writes."""
    return {
        "write_tables": ACCURACY,
        "write_verdicts": VERDICTS,
        "write_answers": ["answers"],
        "write_costs": ["crafting"],
        "write_audit": ["audit"],
        "write_unsupported": ["unsupported"],
        "select_variants": ["selected"],
        "write_stages": ["stages"] if suites(study) else [],
        "write_targeted": ["targeted"] if targeted_sets(study) else [],
        "write_library_attacks": ["library_attacks"] if of_libraries(study) else [],
        "write_wide_tables": [f"{WIDE}{name}" for name in wide_tables(study)],
        "compare_published": ["published"] if study.published else [],
        "write_efficiency": DEPLOYMENT if study.exports else [],
        "write_deployed": ["deployed"] if int8_pairs(study) else [],
        "write_sweeps": OF_SWEEPS if study.curves else [],
    }


def table_names(study: "Study") -> list[str]:
    return [name for names in tables(study).values() for name in names]


def suites(study: "Study") -> list[tuple[str, str, str]]:
    """(data set, source, attack) of every adversarial set of attacks in sequence."""
    sequences = {
        name for name, found in study.attacks.items() if registry.attacks()[found.settings["method"]].is_sequence
    }
    return [(*key, attack) for key, attacks in study.sets.items() for attack in attacks if attack in sequences]


def compressed_models(study: "Study") -> list[tuple[str, str]]:
    """(data set, model) of every compressed model that an evaluation has, controls left out."""
    return [key for key in study.evaluated_models if study.models[key].compression in study.compressions]


def of_libraries(study: "Study") -> list[tuple[str, str, str]]:
    """(data set, source, attack) of every adversarial set that an attack of a library has a part in."""
    theirs = {
        name
        for name, found in study.attacks.items()
        if any(
            issubclass(entry, Attack) and entry.draws_by_batch for entry, _ in registry.used("attacks", found.settings)
        )
    }
    return [(*key, attack) for key, attacks in study.sets.items() for attack in attacks if attack in theirs]


def compressions(study: "Study") -> list[str]:
    """Entries of `compressions` that a model of an evaluation has, in the config's order."""
    models = [study.models[key] for key in study.evaluated_models]
    used = {study.compressions[model.compression].entry for model in models if model.compression in study.compressions}
    return [name for name in study.config["compressions"] if name in used]


def wide_tables(study: "Study") -> list[str]:
    """Names of the tables in the layout of the papers, without their prefix."""
    return ["models", *(f"attacks.{name}" for name in compressions(study)), *(["stages"] if suites(study) else [])]


def story_tables(study: "Study") -> list[str]:
    """Names of the tables that the story shows, in its order, as far as the study has them."""
    wide = [f"{WIDE}{name}" for name in wide_tables(study)]
    shown = [
        "unsupported",
        "published",
        "clean_accuracy",
        *wide,
        "targeted",
        "max_delta",
        "selected",
        *OF_SWEEPS,
        "efficiency",
        "speedups",
        "deployed",
    ]
    made = set(table_names(study))
    return [name for name in [*shown, "compression"] if name in made]


def _in_words(attack: Instance) -> str:
    rule = attack.settings.get("targeted")
    return f"{attack.name} (targeted: {rule})" if rule else attack.name


def design(study: "Study") -> dict[str, Any]:
    """What the story says of the study's design."""
    config = study.config
    cells = sum(len(attacks) for attacks in study.pairs.values())
    axes = {"datasets": "Data sets", "architectures": "Architectures", "trainings": "Trainings"}
    axes["finetunings"] = "Finetunings"
    numbers = {
        **{title: ", ".join(config[axis]) or "none" for axis, title in axes.items()},
        "Compressions": ", ".join(study.compressions) or "none",
        "Attacks": ", ".join(map(_in_words, study.attacks.values())),
        "Seeds": ", ".join(map(str, study.seeds)),
        "Models": len(study.evaluated_models),
        "Adversarial sets": sum(len(attacks) for attacks in study.sets.values()),
        "Cells": f"{cells} (a target under one attack on one source)",
    }
    return {
        "name": study.name,
        "question": study.question,
        "doubts": config["doubts"],
        "margin": config["statistics"]["margin"],
        "numbers": numbers,
    }
