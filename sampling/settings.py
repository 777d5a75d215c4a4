"""One row of a table of settings: type, range, default and help. Flags, HTTP fields and checks come from it."""

import dataclasses
import math
import re
import types
import typing
from dataclasses import dataclass
from typing import Any

JSON_TYPES = {int: "integer", float: "number", str: "string"}  # in JSON Schema


@dataclass(frozen=True)
class SettingSpec:
    """A setting of a dataclass."""

    name: str
    kind: type  # int, float or str
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    pattern: str = ""  # of a text without choices, and
    form: str = ""  # the same in words
    minimum: float | None = None
    exclusive_minimum: float | None = None
    maximum: float | None = None
    allow_zero: bool = False  # 0 is valid although it lies below the minimum
    optional: bool = False  # None is valid

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.pattern:
            return self.form
        what = "a whole number" if self.kind is int else "a finite number"
        low = "" if self.minimum is None else f" of at least {self.minimum:g}"
        low = low if self.exclusive_minimum is None else f" above {self.exclusive_minimum:g}"
        high = "" if self.maximum is None else f" and at most {self.maximum:g}"
        return f"{what}{low}{high}{', or 0' * self.allow_zero}"

    def check(self, value: Any) -> None:
        """ValueError if the value has another type or lies outside of the range."""
        if not (value is None and self.optional) and not self._allows(value):
            raise ValueError(f"{self.name} = {value} must be {self.expected}")

    def _allows(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        if self.pattern:
            return isinstance(value, str) and re.fullmatch(self.pattern, value) is not None
        if not hasattr(value, "__index__") and (self.kind is int or not hasattr(value, "__float__")):
            return False
        if self.allow_zero and value == 0:
            return True
        above = self.exclusive_minimum is None or value > self.exclusive_minimum
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        return bool(-math.inf < value < math.inf and low <= value <= high and above)

    def json_schema(self, maximum: float | None = None) -> dict[str, Any]:
        """The JSON Schema of a value; `maximum` is a tighter bound of the caller."""
        schema: dict[str, Any] = {"type": JSON_TYPES[self.kind]}
        if self.choices:
            return {**schema, "enum": list(self.choices), "description": self.help}
        if self.pattern:
            return {**schema, "pattern": f"^({self.pattern})$", "title": self.form, "description": self.help}
        highest = min((bound for bound in (self.maximum, maximum) if bound is not None), default=None)
        bounds = {"minimum": self.minimum, "exclusiveMinimum": self.exclusive_minimum, "maximum": highest}
        ranged = {**schema, **{name: bound for name, bound in bounds.items() if bound is not None}}
        if self.allow_zero:
            return {"anyOf": [{**schema, "enum": [0]}, ranged], "description": self.help}
        return {**ranged, "description": self.help}


def setting(default: Any, help: str, **limits: Any) -> Any:
    """A dataclass field that is a row of the table; `limits` are those of `SettingSpec`."""
    return dataclasses.field(default=default, metadata={"help": help, **limits})


def specs_of(schema: Any) -> dict[str, SettingSpec]:
    """All rows of a dataclass whose fields use `setting`, by name."""
    hints = typing.get_type_hints(schema)
    return {field.name: _spec(field, hints[field.name]) for field in dataclasses.fields(schema)}


def _spec(field: "dataclasses.Field[Any]", hint: Any) -> SettingSpec:
    optional = isinstance(hint, types.UnionType)
    kind = typing.get_args(hint)[0] if optional else hint
    choices = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
    return SettingSpec(
        field.name, str if choices else kind, field.default, choices=choices, optional=optional, **field.metadata
    )
