"""Tests skip where the system lacks what they need, and can be collected on any."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import capabilities
from tests.capabilities import NEEDS, require

TESTS = Path(__file__).parents[1]
OF_POSIX = {"resource", "termios", "pty", "fcntl", "pwd", "grp", "tty"}
"""Modules that Windows does not have."""
SCRIPTS = {"bounded.py", "killed.py"}
"""Run in processes of their own, by tests that are guarded."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(TESTS.rglob("*.py")):
        if path.name not in SCRIPTS and path != Path(capabilities.__file__):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def names_in(node: ast.AST) -> set[str]:
    return {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}


def guards_of(node: ast.AST) -> str:
    """Source of whatever in a function or module skips: calls of ``require``, marks, importorskip."""
    calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
    return " ".join(
        ast.unparse(call)
        for call in calls
        if any(word in ast.unparse(call.func) for word in ("require", "skipif", "importorskip", "hasattr"))
    )


def module_guards(tree: ast.Module) -> str:
    """Guards of a module as a whole, and the marks that it keeps under names."""
    return " ".join(
        guards_of(one) for one in tree.body if not isinstance(one, (ast.FunctionDef, ast.ClassDef))
    )


def top_functions(tree: ast.Module) -> Iterator[Function]:
    """Functions and methods, with what is defined inside them."""
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        yield from (one for one in inside if isinstance(one, Function))


def unguarded(path: Path, tree: ast.Module) -> Iterator[str]:
    around = module_guards(tree)
    for function in top_functions(tree):
        said = f"{guards_of(function)} {around}"
        for need, names in NEEDS.items():
            used = names_in(function) & set(names)
            words = (
                f"'{need}'",
                *(f"'{name}'" for name in names),
                *(["'resource'"] if need == "limits" else []),
            )
            if used and not any(word in said for word in words):
                yield f"{path.relative_to(TESTS)}:{function.lineno} {function.name}: require({need!r})"


def test_every_need_is_said() -> None:
    assert not [one for path, tree in modules() for one in unguarded(path, tree)]


def test_every_module_can_be_collected() -> None:
    for path, tree in modules():
        for node in tree.body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert OF_POSIX.isdisjoint(names), f"{path}: imports {names} where it is collected"
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.If)):
                asks = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
                asks = [one for one in asks if ast.unparse(one) == "os.geteuid()"]
                assert not asks or "hasattr" in ast.unparse(node), f"{path}: asks for the user"


def test_a_need_that_is_not_met_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    capabilities._there.cache_clear()
    monkeypatch.delattr(os, "mkfifo", raising=False)
    monkeypatch.setattr(Path, "symlink_to", refused)
    for need in ("fifos", "links"):
        with pytest.raises(pytest.skip.Exception, match=need):
            require(need)
    capabilities._there.cache_clear()


def refused(*args: object) -> None:
    raise OSError(22, "A required privilege is not held by the client")
