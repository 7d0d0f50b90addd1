"""Attacks in sequence, each on the examples that those before it left standing [croce2020autoattack]."""

# Version "standard" of AutoAttack.
STANDARD = [
    {"method": "apgd", "loss": "cross_entropy", "steps": 100, "restarts": 1},
    {"method": "apgd_t", "targets": 9, "steps": 100, "restarts": 1},
    {"method": "fab_t", "targets": 9, "steps": 100, "restarts": 1, "alpha_max": 0.1, "eta": 1.05, "beta": 0.9},
    {"method": "square", "queries": 5000, "p_init": 0.8, "reference": True, "restarts": 1, "loss": "margin"},
]
SHARED = ("eps", "norm", "stop_on_success", "stored")


def stages(settings):
    """The attacks that an entry runs one after the other, as complete settings; most entries are their only stage."""
    shared = {key: settings[key] for key in SHARED if key != "stored"}
    if settings["method"] == "autoattack":
        return [{**stage, **shared} for stage in STANDARD]
    if settings["method"] == "suite":
        return [{**stage, **shared} for stage in settings["stages"]]
    return [{key: value for key, value in settings.items() if key != "stored"}]
