"""Configs and checkpoints of strangers that several test files make."""

import pytest
from conftest import TINY
from fuzz_targets import SPECS
from study_examples import merged

from squeezeproof.models.build import build
from squeezeproof.models.checkpoints import save_model
from squeezeproof.store.tensors import read_arrays, read_metadata, write_tensors
from squeezeproof.study.errors import ConfigError
from squeezeproof.study.plan import Study


def problems_of(changes):
    with pytest.raises(ConfigError) as caught:
        Study(merged(TINY, changes))
    return caught.value.problems


def write_checkpoint(path, architecture, **metadata):
    """A small model's checkpoint whose specification names another architecture."""
    save_model(path, build(SPECS[0], seed=0), SPECS[0], name="model")
    arrays, metadata = read_arrays(path), read_metadata(path)
    metadata["specification"] = {**metadata["specification"], "architecture": architecture, **metadata}
    write_tensors(path, arrays, metadata)
