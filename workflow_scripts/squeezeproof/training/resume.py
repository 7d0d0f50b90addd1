"""The state of a training after its last finished epoch, so that a killed job goes on instead of starting over."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from squeezeproof.errors import InputError
from squeezeproof.jobs import log
from squeezeproof.store.tensors import fingerprint, read_arrays, read_metadata, write_tensors
from squeezeproof.training.unconstrained import Unconstrained

KIND = "resume"


class Resume:
    """Saves and restores model, optimizer and history; `path` None does neither.

    `identity` (JSON) and `data` (tensors) are everything the trajectory depends on besides the weights at the start: a
    file of another trajectory is ignored. With `revertible` the last state is kept in memory too, for `revert`.
    The flat state_dict of `solver` is part of the state.
    """

    def __init__(
        self,
        path: str | Path | None,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        solver: Unconstrained,
        identity: list[Any],
        data: Iterable[torch.Tensor],
        revertible: bool = False,
    ) -> None:
        self.path = Path(path) if path else None
        self.model, self.optimizer, self.revertible, self.solver = model, optimizer, revertible, solver
        self.kept = self._copy()
        if self.path is not None:
            tensors = [*model.state_dict().values(), *data]
            start = fingerprint(*(tensor.detach().cpu().numpy() for tensor in tensors))
            self.identity = json.dumps([identity, start], sort_keys=True)

    def load(self) -> list[dict[str, Any]]:
        """Restore the saved state, if there is one of this trajectory, and return its history (else [])."""
        if self.path is None or not self.path.exists():
            return []
        try:
            metadata = read_metadata(self.path, KIND)
            if metadata["identity"] != self.identity:
                return []
            tensors = read_arrays(self.path, framework="pt")
        except InputError as error:
            log.info("starting over: %s", error)
            return []
        self._restore(tensors)
        self.kept = self._copy()
        log.info("resumed after epoch %d", len(metadata["history"]))
        return metadata["history"]

    def save(self, history: list[dict[str, Any]]) -> None:
        self.kept = self._copy()
        if self.path is None:
            return
        arrays = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in self._tensors().items()}
        write_tensors(self.path, arrays, {"kind": KIND, "identity": self.identity, "history": history})

    def revert(self) -> None:
        """Go back to the state of the last `save`, or of the start."""
        self._restore(self.kept)

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            # A momentum buffer is None until it is first used.
            tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items() if value is not None}
        return tensors | {f"solver.{name}": tensor for name, tensor in self.solver.state_dict().items()}

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self._tensors().items()} if self.revertible else {}

    def _restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        # The state keeps the versions of its modules.
        state = self.model.state_dict()
        for name in state:
            state[name] = tensors[f"model.{name}"]
        self.model.load_state_dict(state)
        state = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                # The optimizer adopts what it is given and would change the kept copy.
                state.setdefault(int(index), {})[key] = tensor.clone()
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.solver.load_state_dict({name: tensors[f"solver.{name}"] for name in self.solver.state_dict()})
