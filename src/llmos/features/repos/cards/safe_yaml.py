"""YAML from strangers: one document, JSON-able values, bounded work.

Scalars follow the YAML 1.2 core schema, as the Hub's own reader does: `no`, `on` and dates stay
text, `1e-5` is a number. Values are built straight from parser events, so an alias costs its
expanded size against a budget and no recursion depends on the input.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from llmos.core.errors import BadRequest

MAX_YAML_CHARS = 1_000_000
MAX_DEPTH = 64
MAX_WEIGHT = 4_000_000
"""Characters plus nodes after every alias is expanded."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG_PREFIX = "tag:yaml.org,2002:"
_TEXT_TAGS = {"str", "timestamp", "binary"}
_PLAIN_TAGS = {"int", "float", "bool", "null"}
_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NO_KEY = object()


class YamlError(BadRequest):
    """The YAML cannot be read; the message says what and where."""

    code = "InvalidYaml"


@dataclass(frozen=True)
class YamlDocument:
    """A JSON-able value and the keys that were written twice (the last one won)."""

    value: Any
    duplicate_keys: tuple[str, ...] = ()


def load_yaml(text: str) -> YamlDocument:
    """Read one YAML document; empty text is `None`.

    Non-finite floats become `None`, because JSON has no word for them. Raises `YamlError` on a
    syntax error, an unknown tag, a second document, more than `MAX_YAML_CHARS` characters,
    nesting over `MAX_DEPTH`, or aliases that expand over `MAX_WEIGHT`.
    """
    if len(text) > MAX_YAML_CHARS:
        raise YamlError(f"yaml is longer than {MAX_YAML_CHARS} characters; shorten it")
    builder = _Builder()
    clean = text.encode("utf-8", "replace").decode("utf-8")
    try:
        for event in yaml.parse(clean, Loader=_LOADER):
            builder.take(event)
    except yaml.YAMLError as error:
        raise YamlError(_describe(error)) from error
    return YamlDocument(builder.value, tuple(builder.duplicate_keys))


def _describe(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    if mark is None:
        return str(problem)
    return f"{problem} at line {mark.line + 1}, column {mark.column + 1}"


@dataclass(frozen=True)
class _Built:
    """A finished value: its cost with every alias expanded, its levels of nesting."""

    value: Any
    weight: int
    height: int = 0
    text: str | None = None
    merge: bool = False


@dataclass
class _Frame:
    """A sequence or mapping that is still open."""

    value: list[Any] | dict[str, Any]
    anchor: str | None
    weight: int = 1
    height: int = 1
    key: Any = _NO_KEY
    merges: bool = False
    own_keys: set[str] = field(default_factory=set)


class _Builder:
    def __init__(self) -> None:
        self.value: Any = None
        self.duplicate_keys: dict[str, None] = {}
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Built] = {}
        self._weight = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.ScalarEvent):
            merge = event.value == "<<" and bool(event.implicit[0])
            weight = 1 + len(event.value)
            self._spend(weight)
            built = _Built(_scalar(event, line), weight, text=event.value, merge=merge)
            self._put(built, event.anchor, line)
        elif isinstance(event, yaml.AliasEvent):
            self._put(self._alias(event.anchor, line), None, line)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            frame = self._stack.pop()
            self._put(_Built(frame.value, frame.weight, frame.height), frame.anchor, line)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise YamlError(f"a second yaml document starts at line {line}; keep one")

    def _alias(self, anchor: str | None, line: int) -> _Built:
        if anchor is None or anchor not in self._anchors:
            raise YamlError(f"undefined or recursive alias *{anchor} at line {line}")
        built = self._anchors[anchor]
        self._spend(built.weight)
        self._check_depth(built.height, line)
        return _Built(built.value, built.weight, built.height)

    def _check_depth(self, height: int, line: int) -> None:
        if len(self._stack) + height > MAX_DEPTH:
            raise YamlError(f"yaml is nested deeper than {MAX_DEPTH} levels at line {line}")

    def _open(self, event: Any, line: int) -> None:
        name = "seq" if isinstance(event, yaml.SequenceStartEvent) else "map"
        if event.tag not in (None, "!", _TAG_PREFIX + name):
            raise YamlError(f"unknown tag {event.tag} at line {line}; remove it")
        self._check_depth(1, line)
        self._spend(1)
        self._anchors.pop(event.anchor, None)
        self._stack.append(_Frame([] if name == "seq" else {}, event.anchor))

    def _spend(self, weight: int) -> None:
        self._weight += weight
        if self._weight > MAX_WEIGHT:
            raise YamlError("yaml aliases expand to too much data; write the values out")

    def _put(self, built: _Built, anchor: str | None, line: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = built
        if not self._stack:
            self.value = built.value
            return
        frame = self._stack[-1]
        frame.weight += built.weight
        frame.height = max(frame.height, built.height + 1)
        if isinstance(frame.value, list):
            frame.value.append(built.value)
        elif frame.key is _NO_KEY:
            frame.key = _as_key(built, line)
            frame.merges = built.merge
        else:
            self._set(frame, built.value, line)

    def _set(self, frame: _Frame, value: Any, line: int) -> None:
        mapping = frame.value
        assert isinstance(mapping, dict)
        key, frame.key = frame.key, _NO_KEY
        if frame.merges:
            for source in value if isinstance(value, list) else [value]:
                if not isinstance(source, dict):
                    raise YamlError(f"the value of << at line {line} must be a mapping")
                for inherited, inherited_value in source.items():
                    mapping.setdefault(inherited, inherited_value)
            return
        if key in frame.own_keys:
            self.duplicate_keys[key] = None
        frame.own_keys.add(key)
        mapping[key] = value


def _as_key(built: _Built, line: int) -> str:
    if isinstance(built.value, (list, dict)):
        raise YamlError(f"a mapping key at line {line} is not a scalar; use text")
    return built.text if built.text is not None else str(built.value)


def _scalar(event: Any, line: int) -> Any:
    text: str = event.value
    tag: str | None = event.tag
    if tag is None:
        return _resolve(text) if event.implicit[0] else text
    name = tag.removeprefix(_TAG_PREFIX)
    if tag == "!" or name in _TEXT_TAGS:
        return text
    if name in _PLAIN_TAGS:
        return _resolve(text)
    raise YamlError(f"unknown tag {tag} at line {line}; remove it")


def _resolve(text: str) -> Any:
    if text in _NULLS or _NOT_FINITE.fullmatch(text):
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text) and len(text) <= 19:
        number = int(text)
        return number if abs(number) < 2**63 else text
    if _OCTAL_OR_HEX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        value = float(text)
        return value if math.isfinite(value) else text
    return text
