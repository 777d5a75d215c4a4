"""Checks of the page's files that need no browser."""

import re
from pathlib import Path

import pytest

import videogen

PAGE = Path(videogen.__file__).parent / "serve" / "page"
FILES = sorted(PAGE.iterdir())
SCRIPTS = [file for file in FILES if file.suffix == ".js"]
INDEX = PAGE / "index.html"


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_text_is_only_set_as_text(file: Path) -> None:
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|setHTML|\beval\b|new Function|srcdoc"
    assert re.findall(ways, file.read_text()) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_urls_of_other_servers(file: Path) -> None:
    addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", file.read_text())
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}  # a namespace, not requested


def test_no_inline_scripts_or_styles() -> None:
    page = INDEX.read_text()
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", page) == []
    assert all("src=" in script for script in re.findall(r"<script[^>]*>", page))


def test_files_exist_and_are_used() -> None:
    named = {"index.html"}
    for file in FILES:
        named |= set(re.findall(r"""["'](?:page|\.)/([\w.-]+)["']""", file.read_text()))
    assert named == {file.name for file in FILES}


def test_elements_of_scripts_exist() -> None:
    there = set(re.findall(r'\bid="([\w-]+)"', INDEX.read_text()))
    asked = {
        name for file in SCRIPTS for name in re.findall(r'(?:byId|getElementById)\("([\w-]+)"\)', file.read_text())
    }
    assert asked - there == set()


def test_ids_are_unique() -> None:
    ids = re.findall(r'\bid="([\w-]+)"', INDEX.read_text())
    assert len(ids) == len(set(ids))
