"""The structure of the code: no circular imports, no class name twice, no token grids outside the tokenizer.

The layers between packages are import-linter's (`make lint`).
"""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("interfaces", "tokenizer", "prior", "sampling", "videogen")
CODE = (*PACKAGES, "benchmarks", "tests")
COMPRESSION = re.compile(r"\bf_[st]\b")  # what a CNN tokenizer divides pixels and frames by
OLD_FILES = ROOT / "videogen" / "tokens" / "convert.py"  # reads what version 1 wrote


def modules(*packages: str) -> list[Path]:
    return [file for package in packages for file in sorted((ROOT / package).rglob("*.py"))]


def test_no_files_import_each_other_in_a_circle() -> None:
    files = {name_of(file): file for file in modules(*PACKAGES)}
    imports = {name: imported_by(file) & files.keys() - {name} for name, file in files.items()}
    while leaves := {name for name, needs in imports.items() if not needs & imports.keys()}:
        imports = {name: needs for name, needs in imports.items() if name not in leaves}
    assert not imports, f"circles through {sorted(imports)}"


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_by(file: Path) -> set[str]:
    """Everywhere in a file: inside functions too, and for types alone."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_a_class_name_stands_for_one_class() -> None:
    places = defaultdict(list)
    for file in modules(*CODE):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(file.relative_to(ROOT)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_only_the_tokenizer_knows_how_it_compresses() -> None:
    outside = modules("interfaces", "prior", "sampling", "videogen")
    assert [file for file in outside if file != OLD_FILES and COMPRESSION.search(file.read_text())] == []
