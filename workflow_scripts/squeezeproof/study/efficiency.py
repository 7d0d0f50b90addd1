"""Which models of a study are deployed: exported, measured in bytes and timed."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from squeezeproof.entries.settings import suggest
from squeezeproof.study.entities import Instance, Model
from squeezeproof.study.external import gives_gradients
from squeezeproof.study.instances import needs_gradients
from squeezeproof.study.parts import MODELS, Problems
from squeezeproof.study.selection import select, select_models
from squeezeproof.study.targeted import is_targeted

if TYPE_CHECKING:
    from squeezeproof.study.plan import Study

# Format of the config -> ending of its file.
ENDINGS = {"onnx": "onnx", "torch_export": "pt2", "int8": "int8.onnx"}
FLOAT, INTEGER, LITE = "onnxruntime", "onnxruntime-int8", "litert"
# Ending of a file of the user's -> what it is timed on.
OWN = {".onnx": FLOAT, ".tflite": LITE}
INT8 = 8
# The sections that say which models are evaluated, which others are not deployed.
EVALUATED = (*MODELS, "ensembles", "attacks", "evaluations", "sweeps")


def expand_efficiency(
    config: dict[str, Any],
    models: Sequence[Model],
    evaluated: Iterable[tuple[str, str]],
    compressions: Mapping[str, Instance],
    problems: Problems,
) -> dict[tuple[str, str], list[str]]:
    """(data set, model name) -> endings of the files it is exported to; empty without a section `efficiency`.

    Args:
        config: the checked config.
        models: the Models of the plan; ensembles are not deployed.
        evaluated: (data set, model name) of the models that the study evaluates, to which the choice is restricted.
        compressions: instance name -> Instance.
        problems: what is wrong is appended here.
    """
    settings = config.get("efficiency")
    if settings is None:
        return {}
    known = set(evaluated)
    models = [model for model in models if (model.dataset, model.name) in known and not model.is_ensemble]
    datasets = select(settings["datasets"], list(config["datasets"]), "efficiency.datasets", problems.of("datasets"))
    names = select_models(settings["models"], models, "efficiency.models", problems.of(*EVALUATED))
    chosen = [model for model in models if model.dataset in datasets and model.name in names]
    return {
        (model.dataset, model.name): [
            ENDINGS[form]
            for form in settings["formats"]
            if form != "int8" or has_int8(compressions.get(model.compression))
        ]
        # What comes as a file is deployed already.
        if gives_gradients(model, compressions)
        else []
        for model in chosen
    }


def expand_int8_attacks(study: "Study", problems: Problems) -> list[str]:
    """Names of the attack instances that are crafted on every int8 model itself.

    Args:
        study: has its config, attacks and exports.
        problems: what is wrong is appended here.
    """
    settings = study.config["efficiency"]
    if settings is None or not settings["attacks"]:
        return []
    path = "efficiency.attacks"
    if not int8_models(study):
        how = "add int8 to efficiency.formats" if "int8" not in settings["formats"] else "add a quantization of 8 bits"
        problems.of(*EVALUATED).append(f"{path}: the study deploys no int8 model; {how}, or leave attacks out")
    names = select(settings["attacks"], list(study.attacks), path, problems.of("attacks"))
    for name in names:
        attack = study.attacks[name]
        if needs_gradients(attack):
            problems.append(
                f"{path}: {name} follows gradients, which an int8 model does not give; write attacks that ask for "
                f"scores or labels, such as square and rays"
            )
        elif is_targeted(attack) or attack.settings["eps"] is None:
            what = "reaches for a class" if is_targeted(attack) else "has no budget"
            problems.append(f"{path}: {name} {what}, and accuracies within a budget are compared; name another")
    return names


def int8_name(model: str) -> str:
    """What the int8 model of a model is called where it is attacked itself: as its file is."""
    return f"{model}.{ENDINGS['int8']}"


def int8_models(study: "Study") -> list[tuple[str, str]]:
    """(data set, model) of every model that is deployed as int8."""
    return [key for key, endings in study.exports.items() if ENDINGS["int8"] in endings]


def int8_sets(study: "Study") -> list[tuple[str, str, str]]:
    """(data set, model, attack) of every set that is crafted on an int8 model itself."""
    return [(*key, attack) for key in int8_models(study) for attack in study.int8_attacks]


def int8_attacked(study: "Study") -> list[tuple[str, str]]:
    """(data set, model) of every int8 model that is attacked itself."""
    return int8_models(study) if study.int8_attacks else []


def has_int8(compression: Instance | None) -> bool:
    """Whether a compression instance (None for none) rounds weights and inputs to 8 bits, which int8 kernels do too."""
    settings = compression.settings if compression else {}
    bits = settings.get("bits")
    return bits == INT8 and (settings["activation_bits"] or bits) == INT8


def selection_contradictions(settings: dict[str, Any], attacks: Collection[str]) -> Iterator[str]:
    """Contradictions between the section `select` and the names of the attack instances."""
    attack = settings["attack"]
    if attack is not None and attack not in attacks:
        yield f"select.attack: {attack!r} is no attack with its budget{suggest(attack, attacks)}"


def backends_of(bits: int, endings: Collection[str], backends: Sequence[str]) -> list[str]:
    """The back-ends that a model of weights of `bits` is timed on.

    Rounding that is only simulated takes time instead of saving it, so a quantized model is timed as int8 or not at
    all.
    """
    if bits < 32:
        return [INTEGER] if ENDINGS["int8"] in endings and FLOAT in backends else []
    return [backend for backend in backends if backend != FLOAT or ENDINGS["onnx"] in endings]


def exports(study: "Study") -> list[tuple[str, str, str]]:
    """(data set, model, ending) of every exported file."""
    return [(*key, ending) for key, endings in study.exports.items() for ending in endings]


def int8_pairs(study: "Study") -> list[tuple[str, str, str]]:
    """(data set, target, source) of every evaluation of a model that is deployed as int8."""
    return [pair for pair in study.pairs if ENDINGS["int8"] in study.exports.get(pair[:2], [])]


def deployed_datasets(study: "Study") -> list[str]:
    return list(dict.fromkeys(dataset for dataset, _ in study.exports))


def timed_runs(study: "Study", dataset: str) -> list[tuple[str, str]]:
    """(model, back-end) of everything that is timed on a data set."""
    chosen, runs = study.config["efficiency"]["backends"], []
    for (found, name), endings in study.exports.items():
        if found != dataset:
            continue
        model = study.model(dataset, name)
        if study.gives_gradients(model):
            backends = backends_of(study.describe(dataset, name)["bits"], endings, chosen)
        else:
            backends = [OWN[PurePosixPath(study.file_of(model)).suffix]]
        runs += [(name, backend) for backend in backends]
    return runs


def timed_datasets(study: "Study") -> list[str]:
    return [dataset for dataset in deployed_datasets(study) if timed_runs(study, dataset)]
