"""What is kept of a study's runs: the results file, and the fingerprints that say whether a row still holds.

A results file holds a study's rows, sorted, one on a line, so that a new row is one new line of a diff. It
is only ever replaced as a whole, under a lock: a reader sees the old file or the new one, and two writers
lose nothing.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

Row = dict[str, Any]
ROW_KEYS = (
    "config", "seed", "metrics", "seconds", "device", "versions", "config_fingerprint", "run_fingerprint",
)  # fmt: skip
FOLDERS = re.compile(r"^transferbook\.(?:data|models|learning|evidence)\b")


class StudyError(RuntimeError):
    """A study, its rows or its results file are not as they should be; the message says what mends them."""


def command(name: str) -> str:
    """The command that computes what is missing or stale in the results of a study."""
    return f"python -m transferbook study {name}"


def read(path: Path) -> list[Row]:
    """The rows of a results file; none if there is no such file.

    Raises:
        StudyError: if the file is not what `record` writes.
    """
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        if all(set(row) == set(ROW_KEYS) for row in rows):
            return rows
        reason = "a row lacks a part"
    except (ValueError, KeyError, TypeError) as error:
        reason = str(error)
    raise StudyError(
        f"{path} is damaged ({reason}); restore it with git, or delete it and run `{command(path.stem)}`."
    )


def record(path: Path, row: Row) -> list[Row]:
    """Put a row into a results file, in place of one of the same config and seed; return all its rows."""
    return _rewrite(path, lambda rows: [*(old for old in rows if key(old) != key(row)), row])


def drop_stale(path: Path, run_fingerprint: str) -> None:
    """Take the rows that another `run` computed out of a results file."""
    _rewrite(path, lambda rows: [row for row in rows if row["run_fingerprint"] == run_fingerprint])


def key(row: Row) -> tuple[str, int]:
    """What makes a row the one it is: config and seed. An edited config makes it another row."""
    return config_fingerprint(row["config"]), row["seed"]


def fresh(rows: list[Row], run_fingerprint: str) -> dict[tuple[str, int], Row]:
    """The rows, by key, whose two fingerprints hold."""
    return {
        key(row): row
        for row in rows
        if row["config_fingerprint"] == key(row)[0] and row["run_fingerprint"] == run_fingerprint
    }


def order(row: Row) -> list[tuple[str, Any]]:
    """Sort key: the config's values in the order of its fields, numbers as numbers, then the seed."""

    def comparable(value: Any) -> tuple[str, Any]:
        if isinstance(value, int | float):
            return "number", value
        return ("string", value) if isinstance(value, str) else ("other", json.dumps(value))

    return [*map(comparable, row["config"].values()), ("number", row["seed"])]


def config_fingerprint(fields: dict[str, Any]) -> str:
    """The first 16 hex digits of the SHA-256 of a config's fields as sorted JSON.

    Raises:
        StudyError: if a field is not a finite number, string, boolean, `None` or a tuple of them.
    """
    try:
        text = json.dumps(fields, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StudyError(f"The config {fields} cannot be stored as JSON: {error}.") from error
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_fingerprint(source: str | bytes) -> str:
    """The fingerprint of what a study's `run` does: 16 hex digits, the same in every Python version.

    It covers the syntax trees of `run`, of the methods of `Config`, and of every top-level function, class,
    constant and import that these use by name, directly or through another. Docstrings, comments,
    annotations and formatting do not count, nor do the fields of `Config` (`config_fingerprint` covers
    their values) and its validation.

    Args:
        source: the text of the study file.
    """
    bound: dict[str, list[ast.stmt]] = {}
    for statement in _Behaviour().visit(ast.parse(source)).body:
        for part in _single_imports(statement):
            for name in _bound_names(part):
                bound.setdefault(name, []).append(part)
    reached: set[str] = set()
    ahead = ["run", "Config"]
    while ahead:
        name = ahead.pop()
        if name in bound and name not in reached:
            reached.add(name)
            nodes = (node for part in bound[name] for node in ast.walk(part))
            ahead += [node.id for node in nodes if isinstance(node, ast.Name)]
    trees = [[name, *map(_plain, bound[name])] for name in sorted(reached)]
    return hashlib.sha256(json.dumps(trees, default=repr).encode()).hexdigest()[:16]


class _Behaviour(ast.NodeTransformer):
    """Drops what cannot change a row: docstrings, annotations, and the fields and validation of `Config`."""

    def visit_FunctionDef(self, node: Any) -> ast.AST:
        node.returns = None
        return self._without_docstring(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if node.name == "Config":
            methods = (item for item in node.body if isinstance(item, ast.FunctionDef))
            node.body = [item for item in methods if item.name != "__post_init__"]
            node.decorator_list = []
        return self._without_docstring(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: Any) -> ast.AST:
        node.annotation = None
        return self.generic_visit(node)

    def _without_docstring(self, node: Any) -> ast.AST:
        if node.body and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant):
            node.body = node.body[1:]
        return self.generic_visit(node)


def _single_imports(statement: ast.stmt) -> list[ast.stmt]:
    """An import of several names as several imports, so that one name more on the line changes none.

    In which folder of the package a module lies changes no row either, and is left out of its name.
    """
    if isinstance(statement, ast.Import):
        return [ast.Import([alias]) for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        module = FOLDERS.sub("transferbook", statement.module or "")
        return [ast.ImportFrom(module, [alias], statement.level) for alias in statement.names]
    return [statement]


def _bound_names(statement: ast.stmt) -> set[str]:
    """The names that a top-level statement defines."""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    if isinstance(statement, definitions):
        return {statement.name}
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, definitions):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
    return names


def _plain(node: Any) -> Any:
    """A syntax tree as lists, without the empty and derived fields, which differ between Python versions."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, ast.AST):
        return node
    fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
    kept = ([name, _plain(value)] for name, value in fields if name not in ("ctx", "kind"))
    return [type(node).__name__, *kept]


def _rewrite(path: Path, change: Any) -> list[Row]:
    """Replace the rows of a results file by `change(rows)`, sorted; return them."""
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        before = read(path)
        after = sorted(change(before), key=order)
        if after != before:
            lines = ",\n".join(json.dumps(row, allow_nan=False, ensure_ascii=False) for row in after)
            scratch = path.with_name(f".{path.name}.tmp")
            with scratch.open("w", encoding="utf-8") as file:
                file.write(f'{{"study": "{path.stem}", "rows": [\n{lines}\n]}}\n')
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
    return after
