"""Who imports whom: the modules of the package and the arrows between them, read from the sources."""

from __future__ import annotations

import ast
from pathlib import Path


def imported(source: str, folder: str, package: str) -> set[str]:
    """The dotted names that code imports, anywhere in it; `from a import b` counts as `a.b`.

    Args:
        source: the code.
        folder: dotted name of the folder that it lies in, for relative imports.
        package: name of the package above that folder.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = [package, *filter(None, folder.split("."))]
            up = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*up, *filter(None, [node.module])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def modules(package: Path) -> dict[str, Path]:
    """Dotted name below the package -> file, `__init__` as its folder."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        names[".".join(part for part in parts if part != "__init__")] = path
    return names


def inside(dotted: set[str], package: str, known: set[str]) -> set[str]:
    """The modules of the package among dotted names, whatever of them is imported."""
    found = set()
    for name in dotted:
        head, _, rest = name.partition(".")
        while head == package and rest and rest not in known:
            rest = rest.rpartition(".")[0]
        if head == package and rest:
            found.add(rest)
    return found


def imports(package: Path) -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports."""
    known = modules(package)
    graph = {}
    for name, path in known.items():
        folder = name if path.name == "__init__.py" else name.rpartition(".")[0]
        dotted = imported(path.read_text(encoding="utf-8"), folder, package.name)
        graph[name] = inside(dotted, package.name, known.keys()) - {name}
    return graph


def reached(start: set[str], graph: dict[str, set[str]]) -> set[str]:
    """`start` and all that it imports, directly or through others."""
    found, ahead = set(), list(start)
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += graph.get(name, ())
    return found
