"""Names of a study in words for readers: `pgd-eps8of255` is PGD, eps 8/255."""

from functools import cache

from squeezeproof.entries import registry
from squeezeproof.store.predictions import CLEAN

FLOAT_BITS = 32
# Of a model, as the tables name them after `source_` and `target_`.
MODEL = ["architecture", "training", "compression", "ratio", "bits", "finetuning"]
# The training of a model that averages others.
ENSEMBLE = "ensemble"


def written(name):
    """A data set, architecture, method or entry as the papers write it."""
    return _display_names().get(name, name)


@cache
def _display_names():
    """As the entries write themselves; a name that a study made up stays as it is."""
    names = {CLEAN: "clean images"}
    for entry in registry.every():
        spelled = {label: entry.display for label in (entry.label(), entry.label().replace("_", "-")) if entry.display}
        names |= spelled | entry.spellings
    return names


def attack_in_words(instance):
    """An attack instance: its entry and its budget."""
    entry, _, eps = instance.rpartition("-eps")
    if not entry:
        return written(instance)
    method, dash, rest = entry.partition("-")
    name = written(entry) if entry in _display_names() else f"{written(method)}{dash}{rest}"
    return f"{name}, eps {eps.replace('of', '/')}"


def entry_of(instance):
    """The study's entry that an attack's name comes from: `pgd` of `pgd-eps0.1`."""
    return instance.rsplit("-eps", 1)[0]


def averaged(seeds):
    """What a number is that several seeds share."""
    return "one seed" if seeds == 1 else f"mean of {seeds} seeds"


def level(ratio, bits):
    """How much a compression removed, such as `90 %`, or left, such as `8-bit`."""
    return f"{bits:g}-bit" if bits < FLOAT_BITS else f"{100 * ratio:g} %"


def finetuning_in_words(finetuning):
    return "not fine-tuned" if finetuning == "none" else f"{finetuning} fine-tuning"


def model_in_words(architecture, training, compression, ratio, bits, finetuning):
    """A model without its seed, such as `CNN-8, standard training, filter 60 %, standard fine-tuning`."""
    if training == ENSEMBLE:
        return f"{written(architecture)}, {ENSEMBLE}"
    model = f"{written(architecture)}, {training} training"
    if compression == "none":
        return f"{model}, base"
    return f"{model}, {compression} {level(ratio, bits)}, {finetuning_in_words(finetuning)}"


def model_label(row, side, shared):
    """A model's name without the parts that all models of the figure share, such as `cnn3 weight 90 %`."""
    architecture, training, compression, ratio, bits, finetuning = (row[f"{side}_{axis}"] for axis in MODEL)
    parts = [architecture, training]
    if training != ENSEMBLE:
        parts.append("base" if compression == "none" else f"{compression} {level(ratio, bits)}")
    if compression != "none":
        parts.append("not fine-tuned" if finetuning == "none" else f"{finetuning} fine-tuning")
    kept = [part for part in parts if part not in shared]
    return " ".join(kept) or parts[-1]


def shared_parts(table, side):
    """Name parts that do not tell the models of a table apart."""
    shared = set()
    for axis in ("architecture", "training"):
        values = table[f"{side}_{axis}"].unique()
        if len(values) == 1:
            shared.add(values[0])
    tuned = table.loc[table[f"{side}_compression"] != "none", f"{side}_finetuning"].unique()
    if len(tuned) == 1:
        shared |= {f"{tuned[0]} fine-tuning", "not fine-tuned"}
    return shared
