"""What a machine is short of is told as that, and never as something about a model or a file."""

import ast
import errno

import pytest
import torch
from attack_fixtures import held_out
from conftest import ROOT
from torch import nn

from squeezeproof.compression import graph
from squeezeproof.deployment.export import export_onnx, export_program
from squeezeproof.errors import InputError, pass_on, shortage
from squeezeproof.evaluation import support
from squeezeproof.in_memory.functions import Function
from squeezeproof.runtime import _runs

LIBRARY = ROOT / "workflow_scripts/squeezeproof"
# As torch, ONNX Runtime and C++ say it; each where an address space was limited.
TORCH = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "3355443200 bytes. Error code 12 (Cannot allocate memory)"
)
ONNX_RUNTIME = "bfc_arena.cc:360 AllocateRawInternal(size_t) Failed to allocate memory for requested buffer of size 335"


@pytest.mark.parametrize(
    ("error", "lacking"),
    [
        (RuntimeError(TORCH), "memory"),
        (Exception(ONNX_RUNTIME), "memory"),
        (RuntimeError("std::bad_alloc"), "memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory"),
        (MemoryError(), "memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "space on a disk"),
        (OSError(errno.EMFILE, "Too many open files"), "files that a process may open"),
    ],
)
def test_a_shortage_is_known_in_whatever_error_it_comes(error, lacking):
    assert shortage(error)[0] == lacking
    with pytest.raises(type(error)):
        pass_on(error)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), FileNotFoundError(errno.ENOENT, "no"), OSError()],
)
def test_other_errors_are_left_to_whoever_caught_them(error):
    assert shortage(error) is None
    pass_on(error)
    with pytest.raises(type(error)):
        pass_on(error, type(error))


class Full(nn.Module):
    """A network for which there is no memory once `after` passes are done."""

    def __init__(self, after=0):
        super().__init__()
        self.layer, self.after = nn.Linear(64, 10), after

    def forward(self, pixels):
        self.after -= 1
        if self.after < 0:
            raise RuntimeError(TORCH)
        return self.layer(pixels.flatten(1))


@pytest.mark.parametrize("export", [export_onnx, export_program])
def test_a_network_that_there_is_no_memory_for_is_not_called_unsupported(export, tmp_path):
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        export(tmp_path / "model", Full(), held_out(20)[0])
    assert not (tmp_path / "model").exists()


def test_no_memory_for_onnx_runtime_is_no_word_about_the_network(tmp_path, monkeypatch):
    def full(session, pixels):
        raise RuntimeError(ONNX_RUNTIME)

    monkeypatch.setattr("squeezeproof.deployment.plain.run_session", full)
    with pytest.raises(RuntimeError, match="Failed to allocate memory"):
        export_onnx(tmp_path / "model", Full(after=100), held_out(20)[0])


def test_no_memory_makes_no_function_a_black_box():
    calls = []

    def function(pixels):
        calls.append(pixels)
        raise RuntimeError(TORCH)

    with pytest.raises(RuntimeError, match="can't allocate memory"):
        Function(function, torch.zeros(2, 1, 8, 8))
    assert calls


def test_no_memory_is_no_fault_of_a_layout_or_of_a_backward_pass(monkeypatch):
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        _runs(Full(), torch.zeros(2, 1, 8, 8))

    def full(*_):
        raise RuntimeError(TORCH)

    monkeypatch.setattr(support, "loss_and_gradient", full)
    with pytest.raises(RuntimeError, match="can't allocate memory") as raised:
        support._gradient(Full(after=100), torch.rand(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64))
    assert not isinstance(raised.value, InputError)


def test_no_memory_is_no_layer_that_cannot_be_pruned():
    with pytest.raises(RuntimeError, match="can't allocate memory"), graph.traced(Full(), (1, 8, 8)):
        pytest.fail("the graph of a network that does not run")


# File -> how many handlers of errors of any type need not pass them on, and why.
EXEMPT = {
    "compression/given.py": (1, "a look before a run; the job that meets the same error tells it"),
    "evaluation/support.py": (1, "a process of its own, which tells the error in its own words"),
    "models/torch_archives.py": (1, "zipfile's way to say that an archive is encrypted; torch's reader follows"),
    "study/display.py": (1, "a line of a log, for which the logging module has a way"),
    "worker.py": (2, "the job does the same again, and tells; the end of a forked job, which tells and ends with it"),
}
ANY = {"Exception", "BaseException", "RuntimeError"}


def handlers(path):
    """Of the handlers of errors of almost any type in a file, those that neither pass on nor end in a bare raise."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ExceptHandler):
            continue
        kinds = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else ANY
        first = node.body[0].value if isinstance(node.body[0], ast.Expr) else None
        passes = isinstance(first, ast.Call) and getattr(first.func, "id", None) == "pass_on"
        raises = any(isinstance(part, ast.Raise) and part.exc is None for part in ast.walk(node))
        if kinds & ANY and not passes and not raises:
            yield node.lineno


def test_who_catches_errors_of_any_type_passes_shortages_on():
    found = {path.relative_to(LIBRARY).as_posix(): list(handlers(path)) for path in sorted(LIBRARY.rglob("*.py"))}
    assert {path: len(lines) for path, lines in found.items() if lines} == {
        path: count for path, (count, _) in EXEMPT.items()
    }, found
