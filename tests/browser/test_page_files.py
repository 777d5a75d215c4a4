"""What can be said of the page's files without a browser."""

import re
from pathlib import Path

import pytest

import videogen

PAGE = Path(videogen.__file__).parent / "serve" / "page"
FILES = sorted(PAGE.iterdir())
SCRIPTS = [file for file in FILES if file.suffix == ".js"]
INDEX = PAGE / "index.html"


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_text_is_only_ever_set_as_text(file: Path) -> None:
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|setHTML|\beval\b|new Function|srcdoc"
    assert re.findall(ways, file.read_text()) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_is_asked_of_others(file: Path) -> None:
    addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", file.read_text())
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}  # a name, not a place


def test_no_script_and_no_style_is_inline() -> None:
    page = INDEX.read_text()
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", page) == []
    assert all("src=" in script for script in re.findall(r"<script[^>]*>", page))


def test_every_file_that_is_named_is_there_and_the_other_way_round() -> None:
    named = {"index.html"}
    for file in FILES:
        named |= set(re.findall(r"""["'](?:page|\.)/([\w.-]+)["']""", file.read_text()))
    assert named == {file.name for file in FILES}


def test_every_element_that_a_script_asks_for_is_there() -> None:
    there = set(re.findall(r'\bid="([\w-]+)"', INDEX.read_text()))
    asked = {
        name for file in SCRIPTS for name in re.findall(r'(?:byId|getElementById)\("([\w-]+)"\)', file.read_text())
    }
    assert asked - there == set()


def test_ids_are_there_once() -> None:
    ids = re.findall(r'\bid="([\w-]+)"', INDEX.read_text())
    assert len(ids) == len(set(ids))
