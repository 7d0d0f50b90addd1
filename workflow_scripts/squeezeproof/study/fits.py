"""Whether the user's files of models fit the images of a study, as a process tells that imports torch."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeezeproof.entries import registry
from squeezeproof.study.external import is_given
from squeezeproof.study.paths import Paths

if TYPE_CHECKING:
    from squeezeproof.study.entities import Model
    from squeezeproof.study.plan import Study

LIBRARY = str(Path(__file__).resolve().parents[2])
LOOKS = f"import sys; sys.path[:0] = [{LIBRARY!r}, '']; from squeezeproof.compression.given import look; look()"


def misfits(study: "Study", unread: set[str]) -> list[str]:
    """What is wrong with the files of models that are yet to be made, a text each.

    Args:
        unread: files that cannot be looked at: they are not there, damaged, or made by jobs.
    """
    asked: dict[str, tuple[str, dict[str, Any]]] = {}
    for model in study.made_models:
        found = _file_of(study, model)
        shape = _shape(study, model.dataset)
        if found and shape and found[1] not in unread and not Path(Paths(study.name).model(*_key(model))).exists():
            path, file, external = found
            architecture = study.architecture_settings(model.architecture)
            one = {"file": file, "shape": shape, "architecture": architecture, "external": external}
            asked[json.dumps(one, sort_keys=True)] = path, one
    if not asked:
        return []
    files = [one for _, one in asked.values()]
    given = json.dumps({"files": files, "allowed": study.config["allow_factories"]})
    command = [sys.executable, "-c", LOOKS]
    done = subprocess.run(command, input=given, capture_output=True, text=True, errors="replace")
    # Where the user's code ends the process, the jobs tell what is wrong with the files that follow.
    told = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    paths = [path for path, _ in asked.values()]
    return list(dict.fromkeys(f"{path}: {text}" for path, text in zip(paths, told, strict=False) if text))


def _key(model: "Model") -> tuple[str, str]:
    return model.dataset, model.name


def _file_of(study: "Study", model: "Model") -> tuple[str, str, dict[str, Any] | None] | None:
    """(key of the config, file, settings of `external` or None for a base) of a model from a file; None of another."""
    if is_given(study.compressions.get(model.compression)):
        return f"compressions.{model.compression}.file", study.file_of(model), study.compression_settings(model)
    if model.is_base and not model.is_ensemble:
        file = study.architecture_settings(model.architecture).get("checkpoint")
        return (f"architectures.{model.architecture}.checkpoint", file, None) if file else None
    return None


def _shape(study: "Study", dataset: str) -> list[int] | None:
    """[channels, side, classes] of a data set; None where only its images would tell."""
    settings = study.config["datasets"][dataset]
    known = registry.datasets()[settings["kind"]].model_validate(settings)
    classes = known.classes()
    return [known.channels_of_images(), known.side(), classes] if classes else None
