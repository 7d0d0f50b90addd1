"""What a study needs that is not there is named before its first job, and what its own jobs write is not missed."""

import pytest
from test_preflight import PLACES, place, study

from squeezeproof.study import preflight

__all__ = ["place"]


def test_files_that_jobs_of_the_study_write_need_not_be_there_yet(place):
    own = "results/tiny/models/digits/cnn8.standard.none.none.s0.safetensors"
    given = PLACES["compressions.mine.file"]
    networks = {
        name: {"kind": "cnn8", "width": 8, **more} for name, more in (("cnn8", {}), ("next", {"checkpoint": own}))
    }
    int8 = {"method": "external", "file": "results/tiny/exports/digits/cnn8.standard.int-8.standard.s0.int8.onnx"}
    deployed = {"int": {"method": "quantization", "bits": 8}, "mine": {**int8, "of": "cnn8.*"}}
    for changes in (
        given(own),
        {"architectures": networks},
        {"compressions": deployed, "efficiency": {"images": 20}},
    ):
        assert preflight.problems(study(**changes)) == []
    for missing in (own.replace("cnn8", "cnn9"), int8["file"]):
        [problem] = preflight.problems(study(**given(missing)))
        assert problem.startswith(f"compressions.mine.file: {missing}: ") and "No such file" in problem


@pytest.mark.parametrize(
    ("attack", "package"),
    [
        ({"method": "foolbox.L2BrendelBethgeAttack"}, "numba"),
        ({"method": "art.AutoAttack", "eps": 0.1}, "multiprocess"),
        ({"method": "art.PixelAttack", "es": 0}, "cma"),
        ({"method": "art.PixelAttack"}, None),
        ({"method": "foolbox.LinfPGD", "eps": 0.1}, None),
    ],
)
def test_a_package_that_an_attack_needs_beside_its_library_is_named_before_anything_runs(monkeypatch, attack, package):
    further = ("numba", "multiprocess", "cma")
    monkeypatch.setattr(preflight, "find_spec", lambda name: None if name in further else name)
    library = attack["method"].partition(".")[0]
    told = (
        f"attacks.theirs.method: {attack['method']}: needs {package}, which {library} does not install; "
        f"pip install {package}"
    )
    assert preflight.problems(study(attacks={"theirs": attack})) == ([told] if package else [])
