"""A device for tests, `pretend`: its tensors hold CPU data and every operation runs on the CPU, bit for bit.

It behaves as a GPU does where that matters for correctness: tensors on it do not mix with tensors on the CPU, and what
is read back to the host, which makes the host wait for a GPU, is counted (`reads`), and so is what is copied to the
device (`copies`). Importing it registers the device with torch (PrivateUse1), once in a process.
"""

from collections import Counter
from contextlib import contextmanager

import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "pretend"
# Operations whose result the host has to know before it goes on; `nonzero` is one because its result's size is.
WAIT = {"aten::_local_scalar_dense", "aten::equal", "aten::nonzero", "aten::masked_select", "aten::_unique2"}
# Operations whose arguments may be on two devices, as on a GPU: copies, and those whose indices may be on the CPU.
CROSS = {"aten::copy_", "aten::_to_copy"}
INDEXED = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
_reads, _copies = Counter(), Counter()


class Pretend(torch.Tensor):
    """A tensor on the device; `held` is its data, a CPU tensor."""

    @staticmethod
    def __new__(cls, held):
        options = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        tensor = torch.Tensor._make_wrapper_subclass(cls, held.size(), device=f"{NAME}:0", **options)
        tensor.held = held
        return tensor

    def data_ptr(self):
        """Tells tensors apart, as on any device."""
        return self.held.data_ptr()

    def __deepcopy__(self, memo):
        """torch's own copies the storage, of which a tensor that is written in Python has none."""
        copied = Pretend(self.held.detach().clone())
        parameter = isinstance(self, torch.nn.Parameter)
        memo[id(self)] = copied = torch.nn.Parameter(copied, self.requires_grad) if parameter else copied
        return copied

    def tolist(self):
        """torch's own refuses tensors that are written in Python."""
        return self.cpu().tolist()

    def __repr__(self):
        return f"Pretend({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, operation, types, arguments=(), keywords=None):
        return _run(operation, arguments, keywords or {})


class _Module(_DummyBackendModule):
    """What torch asks of a device's module; the device's random numbers are the CPU's."""

    def get_rng_state(self, device=None):
        return torch.get_rng_state()

    def set_rng_state(self, state, device=None):
        torch.set_rng_state(state)

    def manual_seed(self, seed):
        torch.default_generator.manual_seed(seed)

    def synchronize(self, device=None):
        _reads["synchronize"] += 1

    def empty_cache(self):
        pass

    def get_amp_supported_dtype(self):
        return [torch.bfloat16, torch.float16]


def reads():
    """Counts, by the operation's name, how often the host reads from the device within the context."""
    return _counted(_reads)


def copies():
    """Counts, by the operation's name, how often something is copied to the device within the context."""
    return _counted(_copies)


@contextmanager
def _counted(counter):
    before, found = counter.copy(), Counter()
    try:
        yield found
    finally:
        found.update(counter - before)


def _run(operation, arguments, keywords):
    """Run an operation on the CPU data; its result is on the device unless it is a copy to the CPU."""
    name = operation._schema.name
    tensors = [leaf for leaf in tree_leaves((arguments, keywords)) if isinstance(leaf, torch.Tensor)]
    ours = [tensor for tensor in tensors if isinstance(tensor, Pretend)]
    target = torch.device(keywords["device"]) if keywords.get("device") is not None else None
    if name not in CROSS:
        _refuse_mixture(name, _bound(name, arguments, tensors))
    _copies[name] += _copied(name, arguments, tensors, target)
    if name in WAIT or _masked(name, arguments):
        _reads[name] += 1
    if target is not None and target.type == NAME:
        keywords = {**keywords, "device": torch.device("cpu")}
    if name == "aten::copy_" and not isinstance(arguments[0], Pretend) and ours:
        _reads[name] += 1
    result = operation(*tree_map(_held, arguments), **tree_map(_held, keywords))
    if target is not None and target.type == "cpu":
        _reads["to the CPU"] += bool(ours)
        return result
    if operation._schema.is_mutable and arguments and _is_held_by(result, arguments[0]):
        return arguments[0]
    on_device = target is not None or isinstance(arguments[0], Pretend) if name in CROSS else ours or target is not None
    return tree_map(_placed, result) if on_device else result


def _bound(name, arguments, tensors):
    """The arguments that have to be on one device: without indices on the CPU of a tensor on the device."""
    if name not in INDEXED or not isinstance(arguments[0], Pretend):
        return tensors
    picks = {id(pick) for pick in tree_leaves(arguments[1]) if not isinstance(pick, Pretend)}
    return [tensor for tensor in tensors if id(tensor) not in picks]


def _copied(name, arguments, tensors, target):
    """How many tensors on the CPU an operation copies to the device."""
    if name in INDEXED and isinstance(arguments[0], Pretend):
        picks = [pick for pick in tree_leaves(arguments[1]) if isinstance(pick, torch.Tensor)]
        return sum(not isinstance(pick, Pretend) for pick in picks)
    to_device = isinstance(arguments[0], Pretend) if name == "aten::copy_" else target and target.type == NAME
    return sum(not isinstance(tensor, Pretend) for tensor in tensors) if name in CROSS and to_device else 0


def _refuse_mixture(name, tensors):
    """A number on the CPU, a tensor without dimensions, may be an argument on any device."""
    if len({isinstance(tensor, Pretend) for tensor in tensors if isinstance(tensor, Pretend) or tensor.dim()}) > 1:
        shapes = [f"{tensor.device.type} {tuple(tensor.shape)}" for tensor in tensors]
        raise RuntimeError(f"{name}: tensors on {NAME} and on the CPU are mixed: {', '.join(shapes)}")


def _masked(name, arguments):
    """Whether an operation picks by a mask on the device, whose size of result the host has to wait for."""
    if not name.startswith("aten::index"):
        return False
    picks = [pick for pick in tree_leaves(arguments[1:2]) if isinstance(pick, Pretend)]
    return any(pick.dtype in (torch.bool, torch.uint8) for pick in picks)


def _held(value):
    return value.held if isinstance(value, Pretend) else value


def _placed(value):
    return Pretend(value) if isinstance(value, torch.Tensor) and not isinstance(value, Pretend) else value


def _is_held_by(result, tensor):
    return isinstance(result, torch.Tensor) and isinstance(tensor, Pretend) and result is tensor.held


_setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
_library = torch.library.Library("_", "IMPL")
_library.fallback(lambda operation, *arguments, **keywords: _run(operation, arguments, keywords), "PrivateUse1")


def _by_way_of_the_cpu(build):
    """torch.tensor and torch.as_tensor, whose own way to a device finds no operations that are written in Python."""

    def built(data, *, device=None, **options):
        return build(data, **options) if device is None else build(data, **options).to(device)

    return built


torch.tensor, torch.as_tensor = _by_way_of_the_cpu(torch.tensor), _by_way_of_the_cpu(torch.as_tensor)
