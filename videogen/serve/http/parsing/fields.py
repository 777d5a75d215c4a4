"""What requests may say, in one table: it checks them, and is published as their schema, so that the two cannot differ.

A schema here is the part of JSON Schema that is needed: type, enum, bounds, lengths, pattern, anyOf.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from videogen.serve.http.errors import Problem

Schema = dict[str, Any]
FILE: Schema = {"type": "string", "contentMediaType": "application/octet-stream", "minLength": 1}
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")  # as JSON has them
WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)")
LONGEST_NUMBER = 40  # digits; more are a burden to read, and never meant
SHOWN = 40  # characters of a wrong value that its message repeats
TYPES: Mapping[str, tuple[type, ...]] = {"string": (str,), "boolean": (bool,), "object": (dict,)}


@dataclass(frozen=True)
class Fields:
    """The fields of one kind of request."""

    schemas: Mapping[str, Schema]
    required: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()  # of these, only one may be given
    at_least_one: bool = False

    def check(self, given: Any) -> dict[str, Any]:
        """The fields that are given, each of them right; null is not given. Problem for the first that is wrong."""
        if not isinstance(given, dict):
            raise Problem(400, "the body must be a JSON object", code="not_an_object")
        for name in given:
            if name not in self.schemas:
                raise unknown(name, self.schemas)
        present = {name: value for name, value in given.items() if value is not None}
        self._check_presence(present)
        return {name: checked(name, value, self.schemas[name]) for name, value in present.items()}

    def check_form(self, given: Mapping[str, str]) -> dict[str, Any]:
        """The same for the fields of a form, which are text."""
        return self.check({name: from_text(text, self.schemas.get(name, {})) for name, text in given.items()})

    def _check_presence(self, present: Mapping[str, Any]) -> None:
        for name in self.required:
            if name not in present:
                raise Problem(400, f"{name} is missing", name, "missing")
        several = [name for name in self.apart if name in present]
        if len(several) > 1:
            raise Problem(400, f"{' and '.join(several)} say the same thing; give one of them", several[1], "twice")
        if self.at_least_one and not present:
            raise Problem(400, f"nothing is asked for; give {' or '.join(self.schemas)}", code="missing")

    def schema(self) -> Schema:
        """Of the JSON object."""
        nullable = {
            name: schema if name in self.required else {"anyOf": [schema, {"type": "null"}]}
            for name, schema in self.schemas.items()
        }
        return self._object(nullable)

    def form_schema(self, files: Mapping[str, str] | None = None) -> Schema:
        """Of the form, with the files that may come with it and what they are."""
        parts = {name: {**FILE, "description": what} for name, what in (files or {}).items()}
        return self._object({**self.schemas, **parts})

    def _object(self, properties: Mapping[str, Schema]) -> Schema:
        schema: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
        if self.required:
            schema["required"] = list(self.required)
        if len(self.apart) > 1:
            given = {name: {"not": {"type": "null"}} for name in self.apart}
            schema["not"] = {"properties": given, "required": list(self.apart)}
        if self.at_least_one:
            given = {name: {"not": {"type": "null"}} for name in self.schemas}
            schema["anyOf"] = [{"properties": {name: given[name]}, "required": [name]} for name in given]
        return schema


def unknown(name: str, known: Mapping[str, Any]) -> Problem:
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
    return Problem(400, f"there is no field {shown(name)} here; {hint}", code="unknown_field")


def checked(name: str, value: Any, schema: Schema) -> Any:
    """The value, a whole number as an int; Problem if it is not what the schema asks for."""
    if not fits(value, schema):
        raise Problem(400, f"{name} is {shown(value)}; it must be {described(schema)}", name, "wrong_value")
    return int(value) if schema.get("type") == "integer" else value


def fits(value: Any, schema: Schema) -> bool:
    if "anyOf" in schema:
        return any(fits(value, one) for one in schema["anyOf"])
    if not of_type(value, schema.get("type")) or ("enum" in schema and value not in schema["enum"]):
        return False
    if isinstance(value, str):
        return fits_text(value, schema)
    if isinstance(value, dict):
        inner = schema.get("properties", {})
        return set(schema.get("required", ())) <= set(value) <= set(inner) and all(
            fits(one, inner[name]) for name, one in value.items()
        )
    return not is_number(value) or fits_number(value, schema)


def fits_text(text: str, schema: Schema) -> bool:
    long_enough = schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", len(text))
    return long_enough and ("pattern" not in schema or re.fullmatch(schema["pattern"], text) is not None)


def fits_number(number: float, schema: Schema) -> bool:
    lowest, highest = schema.get("minimum", number), schema.get("maximum", number)
    return bool(lowest <= number <= highest and number > schema.get("exclusiveMinimum", number - 1))


def of_type(value: Any, kind: str | None) -> bool:
    if kind == "number":
        return is_number(value)
    if kind == "integer":
        return is_number(value) and value == int(value)
    return kind is None or isinstance(value, TYPES[kind])


def is_number(value: Any) -> bool:
    """A finite one; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def from_text(text: str, schema: Schema) -> Any:
    """A field of a form as what it stands for; text that stands for nothing stays text, and is refused as such."""
    kinds = {one.get("type") for one in schema.get("anyOf", [schema])}
    if len(text) > LONGEST_NUMBER or not kinds & {"number", "integer"}:
        return text
    if WHOLE_NUMBER.fullmatch(text):
        return int(text)
    return float(text) if NUMBER.fullmatch(text) else text


def described(schema: Schema) -> str:
    """What a value must be, in words."""
    if "anyOf" in schema:
        return " or ".join(described(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ("one of " if len(schema["enum"]) > 1 else "") + ", ".join(map(str, schema["enum"]))
    if schema["type"] in ("number", "integer"):
        return ("a whole number" if schema["type"] == "integer" else "a number") + bounds(schema)
    if schema["type"] == "string":
        return described_text(schema)
    return "true or false" if schema["type"] == "boolean" else f"an object with {', '.join(schema['properties'])}"


def bounds(schema: Schema) -> str:
    low = f"above {schema['exclusiveMinimum']:g}" if "exclusiveMinimum" in schema else f"from {schema['minimum']:g}"
    return f" {low} {'and at most' if low.startswith('above') else 'to'} {schema['maximum']:.16g}"


def described_text(schema: Schema) -> str:
    if "pattern" in schema:
        return str(schema.get("title", f"text of the form {schema['pattern']}"))
    return f"text of {schema.get('minLength', 0)} to {schema['maxLength']} characters"


def shown(value: Any) -> str:
    """A value of a client's in a message: one line, short, and nothing that a terminal could take for a command."""
    text = ascii(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
