"""The subset of YAML that configurations need, read without guessing types.

Anchors and aliases, tags, several documents and duplicate keys are errors with their line. Scalars stay text here; the
type of the field decides what `1e-4`, `no` or `010` means (see bind.py).
"""

import difflib
import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from videogen.errors import UsageError

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32


class ConfigError(UsageError):
    """An error in a configuration: one line that starts with the file and the line number."""


@dataclass(frozen=True)
class Scalar:
    text: str
    quoted: bool
    origin: str


@dataclass(frozen=True)
class Sequence:
    items: tuple["Node", ...]
    origin: str


@dataclass(frozen=True)
class Mapping:
    items: dict[str, "Node"]
    key_origins: dict[str, str]
    origin: str


Node = Scalar | Sequence | Mapping


def plain(node: Node) -> Any:
    """The node as JSON data that reads back as the same settings; unquoted words that can be numbers are numbers."""
    if isinstance(node, Mapping):
        return {key: plain(item) for key, item in node.items.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.text if node.quoted else _guessed(node.text)


def _guessed(word: str) -> Any:
    constants = {"true": True, "false": False, "null": None, "~": None, "": None}
    if word in constants:
        return constants[word]
    for kind in (int, float):
        with suppress(ValueError):
            number = kind(word)
            return number if math.isfinite(number) else word
    return word


def nearest(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'x'?` if a choice is close, the whole list if there are few, else nothing."""
    choices = list(choices)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known: {', '.join(choices)}" if 0 < len(choices) <= 24 else ""


def read(path: Path, shown: str | None = None) -> Mapping:
    """The file as a tree of text with line numbers; an empty file is an empty mapping. Messages call it `shown`."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ConfigError(f"{path}: not a regular file")
        if size > MAX_BYTES:
            raise ConfigError(f"{path}: {size} bytes; a configuration has at most {MAX_BYTES}")
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from None
    node = parse(text, shown or str(path))
    if isinstance(node, Scalar) and node.text == "" and not node.quoted:
        return Mapping({}, {}, str(path))
    if not isinstance(node, Mapping):
        raise ConfigError(f"{node.origin}: expected `key: value` lines at the top of the file")
    return node


def parse(text: str, name: str, line_numbers: bool = True) -> Node:
    """One YAML document as a tree; messages begin with `name`, followed by `:line` with `line_numbers`."""
    builder = _Builder(name, line_numbers)
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        line = getattr(error.problem_mark or error.context_mark, "line", None)
        where = f"{name}:{line + 1}" if line is not None and line_numbers else name
        raise ConfigError(f"{where}: not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        reason = getattr(error, "reason", None) or str(error).splitlines()[0]
        raise ConfigError(f"{name}: not valid YAML: {reason}") from None
    return builder.root or Scalar("", quoted=False, origin=name)


class _Builder:
    """Turns the parser's events into nodes with an explicit stack, so that deep nesting is an error and not a crash."""

    def __init__(self, name: str, line_numbers: bool) -> None:
        self.name, self.line_numbers = name, line_numbers
        self.root: Node | None = None
        self.stack: list[_Open] = []

    def take(self, event: yaml.Event) -> None:
        line = getattr(event.start_mark, "line", 0) + 1
        where = f"{self.name}:{line}" if self.line_numbers else self.name
        if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise ConfigError(f"{where}: a second document begins here; a configuration is one document")
        if isinstance(event, yaml.AliasEvent) or (isinstance(event, yaml.NodeEvent) and event.anchor):
            raise ConfigError(f"{where}: anchors and aliases (& and *) are not used in configurations; write it out")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag not in (None, "!"):
            raise ConfigError(f"{where}: tags ({event.tag}) are not used in configurations")
        if isinstance(event, yaml.ScalarEvent):
            self._add(Scalar(event.value, quoted=bool(event.style), origin=where))
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(self.stack) == MAX_DEPTH:
                raise ConfigError(f"{where}: nested deeper than {MAX_DEPTH} levels")
            self.stack.append(_Open(isinstance(event, yaml.MappingStartEvent), where))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._add(self.stack.pop().closed())

    def _add(self, node: Node) -> None:
        if self.stack:
            self.stack[-1].add(node)
        else:
            self.root = node


class _Open:
    """A mapping or sequence that is not complete yet."""

    def __init__(self, is_mapping: bool, origin: str) -> None:
        self.is_mapping, self.origin = is_mapping, origin
        self.key: str | None = None
        self.children: dict[str, Node] = {}
        self.key_origins: dict[str, str] = {}
        self.elements: list[Node] = []

    def add(self, node: Node) -> None:
        if not self.is_mapping:
            self.elements.append(node)
        elif self.key is not None:
            self.children[self.key], self.key = node, None
        elif not isinstance(node, Scalar):
            raise ConfigError(f"{node.origin}: a key must be a plain word")
        elif node.text in self.children:
            raise ConfigError(f"{node.origin}: '{node.text}' is given twice (first in {self.key_origins[node.text]})")
        else:
            self.key = node.text
            self.key_origins[node.text] = node.origin

    def closed(self) -> Node:
        if self.is_mapping:
            return Mapping(self.children, self.key_origins, self.origin)
        return Sequence(tuple(self.elements), self.origin)
