"""Contradictions of compressions, alone and with the models that they are to be applied to."""

from squeezeproof.study.schema import suggest

NONE = "none"


def compression_contradictions(path, settings):
    """Every contradiction of one checked entry of `compressions`."""
    match settings["method"]:
        case "quantization":
            yield from _quantization_contradictions(path, settings)
        case "filter" | "weight":
            yield from _pruning_contradictions(path, settings)
        case "admm":
            yield from _admm_contradictions(path, settings)


def _pruning_contradictions(path, settings):
    scope, importance, single = settings["scope"], settings["importance"], settings["method"] == "weight"
    if scope == "redundant" and importance != "magnitude":
        yield f"{path}.importance: scope: redundant goes by norms and magnitudes; write importance: magnitude"
    elif importance == "lamp" and scope != "global":
        same = "magnitude" if single else "l2"
        yield f"{path}.importance: lamp ranks as {same} within a layer; write scope: global, or importance: {same}"
    if settings["rewind"] and settings["steps"] > 1 and not settings["step_epochs"]:
        yield f"{path}.step_epochs: rewind: true would rank untrained weights at every step but the first; write 1"
    if single or settings["max_layer_ratio"] == 1:
        return
    if scope == "layer":
        yield f"{path}.max_layer_ratio: scope: layer removes the same share of every layer; write scope: global"
    elif settings["measure"] == "channels" and settings["max_layer_ratio"] < max(settings["ratio"]):
        yield (
            f"{path}.max_layer_ratio: {settings['max_layer_ratio']:g} of every layer is less than the ratio "
            f"{max(settings['ratio']):g} of all channels; write at least {max(settings['ratio']):g}"
        )


def after_contradictions(config, compressions):
    """Contradictions of quantizations that come after a pruning; `compressions` are the plan's instances."""
    for entry, settings in config["compressions"].items():
        if settings.get("after") is None:
            continue
        path = f"compressions.{entry}.after"
        name, dot, finetuning = settings["after"].partition(".")
        pruned = [known for known, instance in compressions.items() if instance.settings["method"] != "quantization"]
        if not dot:
            yield f"{path}: {name!r} names no fine-tuning; write {name}.{NONE}, or {name}. and an entry of finetunings"
        elif finetuning not in (NONE, *config["finetunings"]):
            yield f"{path}: {finetuning!r} is no entry of finetunings{suggest(finetuning, config['finetunings'])}"
        if name not in pruned:
            yield f"{path}: {name!r} is no pruning at one of its ratios{suggest(name, pruned)}"
        elif compressions[name].settings["method"] != "filter" and min(settings["bits"]) == 1:
            yield f"{path}: {name} has weights that are zero, and 1 bit has none; write bits of 2 or more"


def _quantization_contradictions(path, settings):
    bits = settings["activation_bits"]
    if bits is not None and 16 < bits < 32:
        yield f"{path}.activation_bits: {bits} is neither 1 to 16 nor 32; write 32 to leave the inputs float"
    if settings["scales"] == "learned" and settings["mode"] == "ptq":
        yield f"{path}.scales: learned needs training; write mode: qat, or scales: auto"


def variant_contradictions(config, models, compressions):
    """Contradictions between the compression, the fine-tuning and the architecture of the planned models, each once."""
    yield from dict.fromkeys(
        problem
        for model in models
        if not model.is_base
        for problem in _variant_contradictions(
            config, compressions[model.compression].entry, model.finetuning, model.architecture
        )
    )


def _variant_contradictions(config, entry, finetuning, architecture):
    settings = config["compressions"][entry]
    if settings.get("mode") == "qat":
        yield from _training_needed(
            config, entry, finetuning, "mode: qat",
            f"compressions.{entry}.mode: qat trains for the epochs of a fine-tuning, and variants selects it with "
            f"none; name an entry of finetunings there, or write mode: ptq",
        )  # fmt: skip
    if settings.get("rewind"):
        yield from _rewind_contradictions(config, entry, finetuning, architecture)
    if settings["method"] == "admm":
        yield from _sparse_training_contradictions(config, entry, finetuning, architecture)


def _training_needed(config, entry, finetuning, setting, without):
    """A compression that trains: `without` where it is selected without a fine-tuning, and one that trains nothing."""
    if finetuning == NONE:
        yield without
    elif config["finetunings"][finetuning]["epochs"] == 0:
        yield f"finetunings.{finetuning}.epochs: 0 trains nothing, which compressions.{entry} needs ({setting})"


def _admm_contradictions(path, settings):
    levels = settings["eps_levels"]
    if levels != sorted(levels) or levels[-1] != 1:
        rising = sorted({*(float(level) for level in levels), 1.0})
        yield f"{path}.eps_levels: {[float(level) for level in levels]} do not rise to 1; write {rising}"
    if settings["rho_max"] < settings["rho"]:
        yield f"{path}.rho_max: {settings['rho_max']:g} is less than rho: {settings['rho']:g}; write at least that"


def _sparse_training_contradictions(config, entry, finetuning, architecture):
    path, settings = f"compressions.{entry}", config["compressions"][entry]
    if settings["start"] == "scratch":
        yield from _random_weights(config, architecture, f"{path}.start: scratch means", "start: base")
    yield from _training_needed(
        config, entry, finetuning, "method: admm",
        f"{path}: admm compresses while it trains, for the epochs of a fine-tuning, and variants selects it with "
        f"none; name an entry of finetunings there, with the epochs, optimizer and adversary of the training",
    )  # fmt: skip
    if finetuning == NONE:
        return
    training = config["finetunings"][finetuning]
    if training["optimizer"] == "sgd" and settings["rho_max"] * training["learning_rate"] >= 2:
        yield (
            f"{path}.rho_max: {settings['rho_max']:g} times learning_rate: {training['learning_rate']:g} of "
            f"finetunings.{finetuning} is 2 or more, and every step would overshoot the projection; write less than "
            f"{2 / training['learning_rate']:.4g}"
        )


def _random_weights(config, architecture, setting, instead):
    if config["architectures"][architecture].get("checkpoint"):
        yield (
            f"{setting} random weights, and architectures.{architecture} starts from a checkpoint; write {instead}, or "
            f"leave the two out of one selection of variants"
        )


def _rewind_contradictions(config, entry, finetuning, architecture):
    yield from _random_weights(config, architecture, f"compressions.{entry}.rewind: returns to", "rewind: false")
    yield from _training_needed(
        config, entry, finetuning, "rewind: true",
        f"compressions.{entry}.rewind: true leaves untrained weights, and variants selects it with none; "
        f"name an entry of finetunings there, or write rewind: false",
    )  # fmt: skip
