"""The picture of imports in the guide is that of the code."""

from __future__ import annotations

import re
from pathlib import Path

import grimp

import cbi_assets

GUIDE = Path(cbi_assets.__file__).parents[1] / "docs" / "guide.md"
BASE = {"counted_steps", "errors", "files", "formatting", "library_warnings", "timestamps"}
"""Modules that anything may import; they import nothing but each other. The picture omits them."""

Arrows = set[tuple[str, str]]


def test_picture_of_imports_shows_every_import_that_no_other_path_implies() -> None:
    assert arrows_of_guide() == shortest(imports())


def test_base_modules_import_each_other_alone() -> None:
    assert {name for importer, name in imports(all_modules=True) if importer in BASE} <= BASE


def arrows_of_guide() -> Arrows:
    """Return the arrows of the guide's last flowchart, each with its importer first."""
    picture = GUIDE.read_text().split("```mermaid\n")[-1].partition("```")[0]
    lines = re.findall(r"^  (\w+) --> (.+)$", picture, re.MULTILINE)
    return {(importer, name) for importer, names in lines for name in names.split(" & ")}


def imports(*, all_modules: bool = False) -> Arrows:
    """Return which package imports which, by any of its modules."""
    graph = grimp.build_graph("cbi_assets", cache_dir=None)
    found = {
        (module.split(".")[1], imported.split(".")[1])
        for module in graph.modules - {"cbi_assets"}
        for imported in graph.find_modules_directly_imported_by(module) - {"cbi_assets"}
    }
    across = {(importer, name) for importer, name in found if importer != name}
    return across if all_modules else {arrow for arrow in across if not BASE & set(arrow)}


def shortest(arrows: Arrows) -> Arrows:
    """Return the arrows without those between packages that a longer path joins, too.

    Raises RecursionError if packages import each other in a circle.
    """

    def below(package: str) -> set[str]:
        direct = {name for importer, name in arrows if importer == package}
        return direct.union(*(below(name) for name in direct))

    return {
        (importer, name)
        for importer, name in arrows
        if not any(name in below(other) for start, other in arrows if start == importer)
    }
