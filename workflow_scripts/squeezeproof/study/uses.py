"""The code that a job really runs: what its script imports, and the modules behind the settings that it is given."""

from squeezeproof.entries.registry import modules_of
from squeezeproof.study.code import code_digest


def used_code(study, script, *, models=(), **entries):
    """Digest of a script and of the attacks, compressions, networks and the like that one of its jobs uses.

    Args:
        models: (data set, model name) of the models that the job builds.
        entries: section of the config -> settings of every entry that the job runs.
    """
    networks = {architecture for key in models for architecture in _architectures(study, *key)}
    modules = {module for name in networks for module in modules_of("architectures", study.architecture_settings(name))}
    modules |= {
        module for section, used in entries.items() for settings in used for module in modules_of(section, settings)
    }
    return code_digest(script, *sorted(modules))


def _architectures(study, dataset, name):
    """Names of the architectures of a model, of all its members for an ensemble."""
    members = study.ensembles.get((dataset, name), [name])
    return [study.models[dataset, member].architecture for member in members]
