"""Settings of attacks of other libraries, short enough for tests."""

from study_examples import changed

from squeezeproof.entries import registry
from squeezeproof.entries.budget import with_budget
from squeezeproof.entries.settings import as_dict
from squeezeproof.study.entities import plain
from squeezeproof.study.plan import Study

BUDGETS = {"linf": 0.1, "l2": 1.0, "l1": 5.0, "l0": 8.0}
# Values of the parameters that decide how long an attack takes, where it has them.
SHORT = {
    **{"steps": 5, "max_iter": 5, "num_steps": 10, "n_iter": 5, "max_iterations": 10, "num_iter_set": 5, "nb_iter": 2},
    **{"n_queries": 60, "popsize": 4, "binary_search_steps": 2, "nb_sample": 16, "restarts": 2, "version": "rand"},
}


def settings(method, **changes):
    """A complete entry of an attack of a library, with one eps and small where its defaults are long."""
    entry = registry.attacks()[method]
    short = {
        key: value for key, value in SHORT.items() if key in entry.row["parameters"] or key in entry.row["required"]
    }
    if entry.targeted_alone:
        changes.setdefault("targeted", "next")
    norm = changes.setdefault("norm", entry.norms[0])
    eps = changes.pop("eps", None if entry.minimum_norm or entry.own_budget else BUDGETS[norm])
    checked = with_budget(entry)(method=method, eps=[eps], **{**short, **changes})
    return plain({**as_dict(checked), "eps": eps})


def study(attack):
    """The plan of a study with that entry of `attacks`, called `theirs`."""
    base = """
    study: small
    datasets: {digits: {}}
    architectures: {cnn3: {}}
    trainings: {standard: {epochs: 4}}
    attacks: {fgsm: {eps: 0.1}}
    evaluations: {all: {}}
    """
    return Study(changed(base, {"attacks": {"theirs": attack, "fgsm": None}}))
