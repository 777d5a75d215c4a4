"""Build frozen dataclasses from a tree of text; the type of a field decides how its text is read.

Supported field types: str, int, float, bool, Path, Location (a path or a URL), Literal, `X | None`, tuple[X, ...],
tuple[X, Y], dict[str, X], dataclasses, and unions of dataclasses with a field `kind: Literal[...]`, which may be
missing for the one that has a class attribute KIND_MAY_BE_MISSING; the name of a kind alone is a section with the
defaults of that kind. A field of the type `Mapping` keeps its section unread: changes to another configuration, for
`changed`. A `ValueError` of a dataclass is reported at the line of the field that its message begins with.
"""

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from videogen.config.strict_yaml import ConfigError, Mapping, Node, Scalar, Sequence, nearest, parse, read
from videogen.errors import UsageError
from videogen.storage import Location, RemotePath, is_url, location

T = TypeVar("T")
COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Resolved(Generic[T]):
    """A configuration, and the origin of each value by dotted key."""

    value: T
    origins: dict[str, str]


def load(schema: type[T], path: Path | None, overrides: Iterable[str] = ()) -> Resolved[T]:
    """The dataclass `schema` from a file (or from its defaults alone), with `key.sub=value` overrides on top."""
    tree = read(path) if path is not None else Mapping({}, {}, COMMAND_LINE)
    return bind(schema, tree, overrides)


def bind(schema: type[T], tree: Mapping, overrides: Iterable[str] = ()) -> Resolved[T]:
    for override in overrides:
        tree = _overridden(tree, override)
    origins: dict[str, str] = {}
    return Resolved(_dataclass(tree, schema, "", origins), origins)


def changed(tree: Mapping, changes: Mapping) -> Mapping:
    """The tree with other values of some keys, such as `training.steps`; a section replaces a section."""
    for key, node in changes.items.items():
        where = changes.key_origins[key]
        if not all(key.split(".")):
            raise ConfigError(f"{where}: '{key}' is not of the form key or key.sub")
        tree = _replaced(tree, key.split("."), node, where)
    return tree


def _overridden(tree: Mapping, override: str) -> Mapping:
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"{COMMAND_LINE}: '{override}' is not of the form key=value or key.sub=value")
    return _replaced(tree, key.split("."), parse(text, COMMAND_LINE, line_numbers=False), COMMAND_LINE)


def _replaced(tree: Mapping, path: list[str], node: Node, where: str) -> Mapping:
    head, *rest = path
    if rest:
        below = tree.items.get(head)
        inside = below if isinstance(below, Mapping) else Mapping({}, {}, where)
        node = _replaced(inside, rest, node, where)
    origins = tree.key_origins if rest and head in tree.key_origins else {**tree.key_origins, head: where}
    return Mapping({**tree.items, head: node}, origins, tree.origin)


def _convert(node: Node, kind: Any, key: str, origins: dict[str, str]) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(node, Mapping):
            raise _wrong(node, key, "a section with keys of its own")
        if kind is Mapping:
            origins[key] = node.origin
            origins.update(_origins_below(node, key))
            return node
        return _dataclass(node, typing.cast(type, kind), key, origins)
    form = typing.get_origin(kind)
    if form in (types.UnionType, typing.Union):
        return _union(node, typing.get_args(kind), key, origins)
    if form is tuple:
        return _tuple(node, typing.get_args(kind), key, origins)
    if form is dict:
        return _dict(node, typing.get_args(kind)[1], key, origins)
    origins[key] = node.origin
    return _scalar(node, kind, key)


def _origins_below(node: Mapping, key: str) -> Iterator[tuple[str, str]]:
    """Of each value of a section that stays unread."""
    for name, item in node.items.items():
        yield _join(key, name), item.origin
        if isinstance(item, Mapping):
            yield from _origins_below(item, _join(key, name))


def _dataclass(node: Mapping, schema: type[T], key: str, origins: dict[str, str]) -> T:
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, schema)) if field.init}
    hints = {name: hint for name, hint in typing.get_type_hints(schema).items() if name in fields}
    for name, where in node.key_origins.items():
        _refuse_renamed(schema, name, node.items[name], key, where)
        if name not in fields and not _is_removed(schema, name, node.items[name], key, where):
            raise ConfigError(f"{where}: unknown key '{_join(key, name)}'{_hint(name, key, hints)}")
    values: dict[str, Any] = {}
    for name, field in fields.items():
        path = _join(key, name)
        if name in node.items:
            values[name] = _convert(node.items[name], hints[name], path, origins)
        elif _has_default(field):
            origins[path] = "default"
        else:
            raise ConfigError(f"{node.origin}: '{path}' is missing; it has no default ({_describe(hints[name])})")
    try:
        return schema(**values)
    except ValueError as error:
        first_word = str(error).split(" ", 1)[0]
        if first_word in fields:
            where = node.key_origins.get(first_word, node.origin)
            raise ConfigError(f"{where}: {_join(key, str(error))}") from None
        raise ConfigError(f"{node.origin}: {f'{key}: ' if key else ''}{error}") from None


def _refuse_renamed(schema: type, name: str, node: Node, key: str, where: str) -> None:
    """ConfigError with the new name for a key, or a `key=value`, that the schema lists in a class attribute RENAMED."""
    renamed: dict[str, str] = getattr(schema, "RENAMED", {})
    for old in (name, f"{name}={node.text}" if isinstance(node, Scalar) else name):
        if old in renamed:
            raise ConfigError(f"{where}: '{_join(key, old)}' is now '{_join(key, renamed[old])}'")


def _is_removed(schema: type, name: str, node: Node, key: str, where: str) -> bool:
    """Whether a class attribute REMOVED of the schema lists the key; ConfigError if its value is not the one there."""
    removed: dict[str, str] = getattr(schema, "REMOVED", {})
    if name in removed and not (isinstance(node, Scalar) and node.text == removed[name]):
        raise ConfigError(
            f"{where}: '{_join(key, name)}' was removed, and only {removed[name]} can still be read; "
            "use the version of the program that wrote it"
        )
    return name in removed


def _hint(name: str, key: str, hints: dict[str, Any]) -> str:
    """A suggestion: the full name of a setting in one of the sections here, or of one with similar spelling."""
    meant = [f"{section}.{name}" for section, kind in hints.items() if name in _settings_of(kind)]
    meant = meant or difflib.get_close_matches(name, hints, n=1)
    if not meant:
        return nearest(name, hints)
    return f"; did you mean {' or '.join(repr(_join(key, each)) for each in meant)}?"


def _settings_of(kind: Any) -> set[str]:
    """The names of settings in a section, of all its kinds."""
    choices = typing.get_args(kind) if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,)
    return {
        field.name for choice in choices if dataclasses.is_dataclass(choice) for field in dataclasses.fields(choice)
    }


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _union(node: Node, choices: tuple[Any, ...], key: str, origins: dict[str, str]) -> Any:
    if type(None) in choices and isinstance(node, Scalar) and not node.quoted and node.text in ("null", "~", ""):
        origins[key] = node.origin
        return None
    choices = tuple(choice for choice in choices if choice is not type(None))
    if choices == typing.get_args(Location):
        origins[key] = node.origin
        return _scalar(node, Location, key)
    if len(choices) == 1:
        return _convert(node, choices[0], key, origins)
    kinds = {name: choice for choice in choices for name in _kinds(choice)}
    if isinstance(node, Scalar) and node.text in kinds:
        node = Mapping({"kind": node}, {"kind": node.origin}, node.origin)
    usual = [choice for choice in choices if getattr(choice, "KIND_MAY_BE_MISSING", False)]
    if isinstance(node, Mapping) and "kind" not in node.items and usual:
        return _dataclass(node, usual[0], key, origins)
    if not isinstance(node, Mapping) or not isinstance(node.items.get("kind"), Scalar):
        raise _wrong(node, key, f"a section with `kind:` one of {', '.join(kinds)}")
    kind = typing.cast(Scalar, node.items["kind"])
    if kind.text not in kinds:
        raise ConfigError(f"{kind.origin}: '{key}.kind' is '{kind.text}'{nearest(kind.text, kinds)}")
    return _dataclass(node, kinds[kind.text], key, origins)


def _kinds(choice: Any) -> tuple[str, ...]:
    assert dataclasses.is_dataclass(choice), f"a union of kinds holds dataclasses only, not {choice}"
    return typing.get_args(typing.get_type_hints(choice)["kind"])


def _tuple(node: Node, kinds: tuple[Any, ...], key: str, origins: dict[str, str]) -> tuple[Any, ...]:
    if not isinstance(node, Sequence):
        raise _wrong(node, key, "a list, such as [1, 2]")
    origins[key] = node.origin
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(node.items)
    if len(kinds) != len(node.items):
        raise _wrong(node, key, f"a list of {len(kinds)}")
    ignored: dict[str, str] = {}  # a list is one value with one origin
    pairs = enumerate(zip(node.items, kinds, strict=True))
    return tuple(_convert(item, kind, f"{key}[{i}]", ignored) for i, (item, kind) in pairs)


def _dict(node: Node, kind: Any, key: str, origins: dict[str, str]) -> dict[str, Any]:
    if not isinstance(node, Mapping):
        raise _wrong(node, key, "a section with keys of its own")
    return {name: _convert(item, kind, _join(key, name), origins) for name, item in node.items.items()}


def _scalar(node: Node, kind: Any, key: str) -> Any:
    choices = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
    if not isinstance(node, Scalar):
        raise _wrong(node, key, _describe(kind))
    if choices:
        for choice in choices:
            if node.text == str(choice):
                return choice
        given = "" if node.text == "" else nearest(node.text, [str(choice) for choice in choices])
        raise ConfigError(f"{node.origin}: '{key}' is '{node.text}'; expected {_describe(kind)}{given}")
    if kind is str and (node.text or node.quoted):
        return node.text
    if kind == Location and is_url(node.text):
        try:
            return location(node.text)
        except UsageError as error:
            raise ConfigError(f"{node.origin}: '{key}': {error}") from None
    if kind in (Path, Location) and node.text:
        return _home(node, key)
    if kind is bool and not node.quoted and node.text in ("true", "false"):
        return node.text == "true"
    if kind is int and not node.quoted and re.fullmatch(r"[+-]?(0|[1-9][0-9]*(_[0-9]+)*)", node.text):
        return int(node.text)
    if (
        kind is float
        and not node.quoted
        and re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", node.text.lower())
    ):
        number = float(node.text)
        if math.isfinite(number):
            return number
    raise _wrong(node, key, _describe(kind))


def _home(node: Scalar, key: str) -> Path:
    """A path; `~` at its start is the home folder."""
    try:
        return Path(node.text).expanduser()
    except RuntimeError:
        raise ConfigError(f"{node.origin}: '{key}' is '{node.text}'; there is no such user") from None


def _wrong(node: Node, key: str, expected: str) -> ConfigError:
    given = {Mapping: "a section", Sequence: "a list"}.get(type(node)) or f"'{typing.cast(Scalar, node).text}'"
    return ConfigError(f"{node.origin}: '{key}' is {given}; expected {expected}")


def _describe(kind: Any) -> str:
    names: dict[Any, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    names |= {Path: "a path", RemotePath: "a URL"}
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(str(choice) for choice in typing.get_args(kind))
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        known = [_describe(choice) for choice in typing.get_args(kind) if choice is not type(None)]
        return " or ".join(dict.fromkeys(known)) + (" or null" if type(None) in typing.get_args(kind) else "")
    if typing.get_origin(kind) is tuple:
        return f"a list of {_describe(typing.get_args(kind)[0])}"
    return names.get(kind, "a section with keys of its own")


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
