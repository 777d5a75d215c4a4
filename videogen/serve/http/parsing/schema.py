"""Request schemas: one table checks requests and is published in the OpenAPI document, so the two cannot differ.

Supports the part of JSON Schema that is needed: type, enum, bounds, lengths, pattern, items, anyOf.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from videogen.serve.http.errors import ApiError

Schema = dict[str, Any]
FILE: Schema = {"type": "string", "contentMediaType": "application/octet-stream", "minLength": 1}
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")  # as in JSON
WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)")
MAX_NUMBER_LENGTH = 40  # characters
MAX_QUOTED = 40  # characters of an invalid value in an error message
MAX_LISTED, ALL_FIELDS = 16, "/openapi.json lists the fields"  # an error message is one line
TYPES: Mapping[str, tuple[type, ...]] = {"string": (str,), "boolean": (bool,), "object": (dict,), "array": (list,)}


@dataclass(frozen=True)
class RequestSchema:
    """The fields of a request body or query."""

    schemas: Mapping[str, Schema]
    required: tuple[str, ...] = ()
    exclusive: tuple[str, ...] = ()  # only one of these may be given
    at_least_one: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)  # old name, or name=value: what it is called now
    refused: Mapping[str, str] = field(default_factory=dict)  # a field that this model has not: why

    def check(self, given: Any) -> dict[str, Any]:
        """The valid fields, without those that are null; ApiError for the first invalid one."""
        if not isinstance(given, dict):
            raise ApiError(400, "the body must be a JSON object", code="not_an_object")
        for name in given:
            if name not in self.schemas:
                raise self._unknown_field(name)
        present = {name: value for name, value in given.items() if value is not None}
        self._check_presence(present)
        for name, value in present.items():
            if isinstance(value, str) and (new := self.renamed.get(f"{name}={value}")):
                raise ApiError(400, f"{name}={value} is now {new}", name, "wrong_value")
        return {name: check_value(name, value, self.schemas[name]) for name, value in present.items()}

    def check_form(self, given: Mapping[str, str]) -> dict[str, Any]:
        """The same for the text fields of a form."""
        return self.check({name: from_text(text, self.schemas.get(name, {})) for name, text in given.items()})

    def _check_presence(self, present: Mapping[str, Any]) -> None:
        for name in self.required:
            if name not in present:
                raise ApiError(400, f"{name} is missing", name, "missing")
        several = [name for name in self.exclusive if name in present]
        if len(several) > 1:
            raise ApiError(400, f"{' and '.join(several)} mean the same; give one of them", several[1], "twice")
        if self.at_least_one and not present:
            raise ApiError(400, f"the request has no field; give {' or '.join(self.schemas)}", code="missing")

    def _unknown_field(self, name: str) -> ApiError:
        if (reason := self.refused.get(name)) is not None:
            return ApiError(400, reason, name, "not_possible")
        if (new := self.renamed.get(name)) is not None:
            hint = f"it is now {new}"
        elif near := get_close_matches(name, self.schemas, 1):
            hint = f"did you mean {near[0]}?"
        else:
            several = len(self.schemas) > MAX_LISTED
            hint = ALL_FIELDS if several else f"the fields are {', '.join(sorted(self.schemas))}"
        return ApiError(400, f"unknown field {quote(name)}; {hint}", code="unknown_field")

    def schema(self) -> Schema:
        """The JSON Schema of the object."""
        nullable = {
            name: schema if name in self.required else {"anyOf": [schema, {"type": "null"}]}
            for name, schema in self.schemas.items()
        }
        return self._object(nullable)

    def form_schema(self, files: Mapping[str, str] | None = None) -> Schema:
        """The JSON Schema of the form; `files` maps file fields to descriptions."""
        parts = {name: {**FILE, "description": what} for name, what in (files or {}).items()}
        return self._object({**self.schemas, **parts})

    def _object(self, properties: Mapping[str, Schema]) -> Schema:
        schema: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
        if self.required:
            schema["required"] = list(self.required)
        if len(self.exclusive) > 1:
            given = {name: {"not": {"type": "null"}} for name in self.exclusive}
            schema["not"] = {"properties": given, "required": list(self.exclusive)}
        if self.at_least_one:
            given = {name: {"not": {"type": "null"}} for name in self.schemas}
            schema["anyOf"] = [{"properties": {name: given[name]}, "required": [name]} for name in given]
        return schema


def check_value(name: str, value: Any, schema: Schema) -> Any:
    """The value, whole numbers as int; ApiError if it does not match the schema."""
    if not matches(value, schema):
        name, value, schema = wrong_part(name, value, schema)
        raise ApiError(400, f"{name} is {quote(value)}; it must be {describe(schema)}", name, "wrong_value")
    return int(value) if schema.get("type") == "integer" else value


def wrong_part(name: str, value: Any, schema: Schema) -> tuple[str, Any, Schema]:
    """The innermost property that is wrong, if the object around it has the right ones."""
    inner = schema.get("properties", {})
    if isinstance(value, dict) and set(schema.get("required", ())) <= set(value) <= set(inner):
        for key, one in value.items():
            if not matches(one, inner[key]):
                return wrong_part(f"{name}.{key}", one, inner[key])
    return name, value, schema


def matches(value: Any, schema: Schema) -> bool:
    if "anyOf" in schema:
        return any(matches(value, one) for one in schema["anyOf"])
    if not has_type(value, schema.get("type")) or ("enum" in schema and value not in schema["enum"]):
        return False
    if isinstance(value, str):
        return matches_text(value, schema)
    if isinstance(value, dict):
        inner = schema.get("properties", {})
        fits = set(schema.get("required", ())) <= set(value) <= set(inner)
        fits = fits and len(value) >= schema.get("minProperties", 0)
        return fits and all(matches(one, inner[name]) for name, one in value.items())
    if isinstance(value, list):
        fits = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return fits and all(matches(one, schema["items"]) for one in value)
    return not is_number(value) or matches_number(value, schema)


def matches_text(text: str, schema: Schema) -> bool:
    long_enough = schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", len(text))
    return long_enough and ("pattern" not in schema or re.fullmatch(schema["pattern"], text) is not None)


def matches_number(number: float, schema: Schema) -> bool:
    lowest, highest = schema.get("minimum", number), schema.get("maximum", number)
    return bool(lowest <= number <= highest and number > schema.get("exclusiveMinimum", number - 1))


def has_type(value: Any, kind: str | None) -> bool:
    if kind == "number":
        return is_number(value)
    if kind == "integer":
        return is_number(value) and value == int(value)
    return kind is None or isinstance(value, TYPES[kind])


def is_number(value: Any) -> bool:
    """Whether it is a finite number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def from_text(text: str, schema: Schema) -> Any:
    """The value that a text field stands for; other text stays text, which the check then refuses."""
    kinds = {one.get("type") for one in schema.get("anyOf", [schema])}
    if "array" in kinds and text.startswith("["):
        with suppress(ValueError, RecursionError):
            return json.loads(text)
    if len(text) > MAX_NUMBER_LENGTH or not kinds & {"number", "integer"}:
        return text
    if WHOLE_NUMBER.fullmatch(text):
        return int(text)
    return float(text) if NUMBER.fullmatch(text) else text


def describe(schema: Schema) -> str:
    """What a value must be, in words."""
    if "title" in schema and "pattern" not in schema:
        return str(schema["title"])
    if "anyOf" in schema:
        return " or ".join(describe(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ("one of " if len(schema["enum"]) > 1 else "") + ", ".join(map(str, schema["enum"]))
    if schema["type"] in ("number", "integer"):
        return ("a whole number" if schema["type"] == "integer" else "a number") + bounds(schema)
    if schema["type"] == "string":
        return describe_text(schema)
    return "true or false" if schema["type"] == "boolean" else f"an object with {', '.join(schema['properties'])}"


def bounds(schema: Schema) -> str:
    low = f"above {schema['exclusiveMinimum']:g}" if "exclusiveMinimum" in schema else f"from {schema['minimum']:g}"
    return f" {low} {'and at most' if low.startswith('above') else 'to'} {schema['maximum']:.16g}"


def describe_text(schema: Schema) -> str:
    if "pattern" in schema:
        return str(schema.get("title", f"text of the form {schema['pattern']}"))
    return f"text of {schema.get('minLength', 0)} to {schema['maxLength']} characters"


def quote(value: Any) -> str:
    """A client's value for an error message: one short line without control characters."""
    text = ascii(value)
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}..."
