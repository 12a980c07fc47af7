"""What ``pyproject.toml`` declares is what the program imports."""

import ast
import functools
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Mapping

import pytest

from tests.support.server import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OWN = {"bento", "trainer"}


@functools.cache
def packages() -> Mapping[str, list[str]]:
    """The packages that a top-level name comes from."""
    return importlib.metadata.packages_distributions()


def declared(*extras: str) -> set[str]:
    """Names of the packages that the project and these extras ask for."""
    requirements = [
        *PROJECT["dependencies"],
        *(line for name in extras for line in PROJECT["optional-dependencies"][name]),
    ]
    return {re.split(r"[<>=;\[ ]", requirement)[0].lower() for requirement in requirements}


def imported(room: str, without: str = "") -> set[str]:
    """Top-level names of all modules that a room (but one in it) imports, but those of Python and of the project."""
    names: set[str] = set()
    for path in (ROOT / room).rglob("*.py"):
        if without and path.is_relative_to(ROOT / without):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - OWN


@pytest.mark.parametrize(
    ("room", "without", "extras"),
    [
        ("bento", "bento/pacs", ()),
        ("bento/pacs", "", ("pacs",)),
        ("trainer", "trainer/search", ("train", "ray")),
        ("trainer/search", "", ("train", "search")),
    ],
)
def test_every_import_is_of_a_declared_package(room: str, without: str, extras: tuple[str, ...]) -> None:
    known = declared(*extras)
    for name in imported(room, without):
        distributions = {package.lower().replace("_", "-") for package in packages().get(name, [name])}
        assert distributions & known, f"{room} imports {name}, of {distributions}"


def test_the_service_and_a_plain_installation_hold_no_ray() -> None:
    assert not declared() & {"ray", "pyarrow", "fsspec", "s3fs"}
    assert not declared("train") & {"ray", "pyarrow", "s3fs"}
    assert declared("ray") >= {"ray", "pyarrow", "fsspec", "s3fs"}
