"""The house: what a folder of the package may import, without circles, and its map in CONTRIBUTING.md."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from house import imports, modules

ROOT = Path(__file__).parents[1]
# Each room and what it may use beside itself. What is not named here, such as `__main__`, may use all.
MAY_USE = {
    "runtime": set(),
    "data": {"runtime"},
    "evidence": {"runtime"},
    "models": {"runtime", "data"},
    "learning": {"runtime", "data", "evidence", "models"},
    "program": {"runtime", "data", "evidence", "models", "learning"},
    "serving": {"runtime", "data", "evidence", "models", "learning", "program"},
}


def room(module: str) -> str:
    """The folder of a module, or the module itself where it lies at the top."""
    return module.partition(".")[0]


def rooms(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Room -> the other rooms that its modules import."""
    found: dict[str, set[str]] = {}
    for module, used in graph.items():
        found.setdefault(room(module), set()).update({room(other) for other in used} - {room(module)})
    return found


def problems(graph: dict[str, set[str]]) -> list[str]:
    """What breaks the order of the house, one sentence each."""
    found = []
    for module, used in sorted(graph.items()):
        allowed = MAY_USE.get(room(module))
        if allowed is not None:
            strangers = (other for other in sorted(used) if room(other) not in allowed | {room(module)})
            found += [f"{module} imports {o}, but {room(module)} may not use {room(o)}" for o in strangers]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append("modules import each other in a circle: " + " -> ".join(error.args[1]))
    return found


def drawing(graph: dict[str, set[str]]) -> str:
    """The arrows between rooms as a mermaid flowchart: from who imports to what is imported."""
    folders = sorted(name for name in rooms(graph) if name in MAY_USE and name != "runtime")
    pairs = ((name, other) for name in folders for other in sorted(rooms(graph)[name] & {*folders}))
    arrows = [f"  {name} --> {other}" for name, other in pairs]
    return "\n".join(["flowchart TD", *arrows])


def test_imports_go_one_way_and_never_in_a_circle():
    graph = imports(ROOT / "transferbook")
    assert len(graph) > 20 and graph["learning.training"] >= {"runtime", "learning.checkpoints"}
    assert problems(graph) == []


def test_every_module_has_a_room_and_a_name_of_its_own():
    found = [name for name in modules(ROOT / "transferbook") if "." in name]
    assert {room(name) for name in found} == MAY_USE.keys() - {"runtime"}
    stems = [name.rpartition(".")[2] for name in modules(ROOT / "transferbook")]
    assert sorted(stems) == sorted(set(stems))  # so that a study may call a module by its name alone


def test_the_guide_draws_the_house_as_it_is():
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawn = re.search(r"```mermaid\n(.*?)\n```", guide, re.DOTALL)
    assert drawn and drawn[1] == drawing(imports(ROOT / "transferbook"))


def test_the_guide_names_every_module_in_its_room():
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)/` \| (.+) \|$", guide, re.MULTILINE)
    named = {name: set(re.findall(r"`(\w+)`", text)) for name, text in rows}
    for module in (name for name in modules(ROOT / "transferbook") if "." in name):
        assert module.partition(".")[2] in named[room(module)], f"CONTRIBUTING.md does not name {module}"


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("data/a.py", "from house.learning import b", "data may not use learning"),
        ("data/a.py", "def f():\n    import house.learning.b", "data may not use learning"),
        ("learning/b.py", "from house.learning.c import x", "in a circle"),
        ("learning/b.py", "from . import c", "in a circle"),
        ("models/d.py", "from ..evidence.e import x", "models may not use evidence"),
    ],
)
def test_an_import_against_the_order_is_found(tmp_path, file, line, said):
    files = {
        "data/a.py": "",
        "learning/b.py": "from house.data import a\n",
        "learning/c.py": "from house.learning.b import y\n",
        "models/d.py": "",
        "evidence/e.py": "import os\n",
    }
    for name, text in files.items():
        path = tmp_path / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert problems(imports(tmp_path / "house")) == []
    (tmp_path / "house" / file).write_text(files[file] + line + "\n")
    assert any(said in problem for problem in problems(imports(tmp_path / "house")))
