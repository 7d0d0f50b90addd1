"""Why the function that builds a network of the user's cannot be called, by the text of its module; nothing is run."""

import ast
import copy
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from squeezeproof.entries.settings import suggest
from squeezeproof.factories import module_files

# What every factory is called with, beside its `arguments`.
GIVEN = ("in_channels", "num_classes", "image_size")


def factory_problems(path: str, factory: str, arguments: Mapping[str, Any], here: bool = True) -> list[str]:
    """Why a factory cannot be called, as far as the text of its module tells.

    Args:
        path: what names it, as a config's key.
        factory: `package.module:function`.
        arguments: its further arguments by name.
        here: whether it is called on this machine, where its package has to be installed.
    """
    module, _, function = factory.partition(":")
    trees: dict[Path, ast.Module] = {}
    for file in module_files(module, Path.cwd()):
        try:
            trees[file] = ast.parse(file.read_bytes(), str(file))
        except SyntaxError as error:
            return [f"{path}: {file.name}, line {error.lineno}: {error.msg}"]
    if not trees:
        package = module.partition(".")[0]
        gone = here and find_spec(package) is None
        return [f"{path}: there is no module {package}, neither here nor installed"] if gone else []
    last, tree = list(trees.items())[-1]
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in tree.body):
        return []
    if function not in _names(tree):
        there = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        return [f"{path}: {last.name} defines no {function}{suggest(function, there).replace('allowed:', 'it has')}"]
    parameters = _parameters(tree, function)
    told = _unfit(parameters, [*GIVEN, *arguments]) if parameters else ""
    called = ", ".join(f"{name}=" for name in (*GIVEN, *arguments))
    return [f"{path}: {last.name}: {function} {told}; it is called as {function}({called})"] if told else []


def _names(tree: ast.Module) -> set[str]:
    """What a module may define, anywhere in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def _parameters(tree: ast.Module, name: str) -> ast.arguments | None:
    """The parameters of a function of a module, or of a class's __init__; None where the text does not tell them."""
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name]
    others = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    if len(found) != 1 or found[0].decorator_list or any(node.id == name for node in others):
        return None
    if isinstance(found[0], ast.FunctionDef):
        return found[0].args
    own = [node for node in found[0].body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    made_otherwise = found[0].keywords or any(getattr(node, "name", "") == "__new__" for node in found[0].body)
    if len(own) != 1 or own[0].decorator_list or made_otherwise:
        return None
    parameters = own[0].args
    # Without `self`.
    if parameters.posonlyargs or not parameters.args:
        return None
    without = copy.copy(parameters)
    without.args = parameters.args[1:]
    return without


def _unfit(parameters: ast.arguments, given: list[str]) -> str:
    """Why a function of these parameters cannot be called with some arguments by name; nothing where it can."""
    return "; ".join(_lacking(parameters, given))


def _lacking(parameters: ast.arguments, given: list[str]) -> Iterator[str]:
    taken = [parameter.arg for parameter in (*parameters.args, *parameters.kwonlyargs)]
    if unknown := [name for name in given if name not in taken] if parameters.kwarg is None else []:
        yield f"takes no {' and no '.join(unknown)}: add {'it' if len(unknown) == 1 else 'them'}, or **others"
    by_place = [parameter.arg for parameter in parameters.posonlyargs]
    by_place = by_place[: max(0, len(by_place) + len(parameters.args) - len(parameters.defaults))]
    if by_place:
        yield f"takes {' and '.join(by_place)} by place alone: leave out the / after it"
    needed = parameters.args[: len(parameters.args) - min(len(parameters.args), len(parameters.defaults))]
    needed += [
        one for one, default in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True) if default is None
    ]
    if missing := [parameter.arg for parameter in needed if parameter.arg not in given]:
        yield f"needs {' and '.join(missing)}, which `arguments` would have to give"
