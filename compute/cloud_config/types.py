"""The types of cloud-config's values, and how a tree is held against them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from typing import Any

from compute.cloud_config.tree import Bad, Mapping, Node, Scalar, Sequence

# What a check may cost; references can make a small text mean a large tree.
STEPS_MAX = 50_000


@dataclass(frozen=True)
class Finding:
    """`line` from 1. An error stops the guest from doing what was meant; anything else is worth a look."""

    line: int
    message: str
    is_error: bool = True


@dataclass(frozen=True)
class Kind:
    """One of YAML's scalars by any of these names."""

    names: frozenset[str]
    words: str


@dataclass(frozen=True)
class Word:
    """Text out of a few."""

    choices: tuple[str, ...]

    @property
    def words(self) -> str:
        return " or ".join([", ".join(self.choices[:-1]), self.choices[-1]] if len(self.choices) > 1 else self.choices)


@dataclass(frozen=True)
class ListOf:
    of: Type
    words: str = "a list"


@dataclass(frozen=True)
class Keys:
    """Keys with values. `more`: the type of keys that are not named; None: there are no others."""

    of: MappingType[str, Type] = field(default_factory=dict)
    more: Type | None = None
    needs: tuple[str, ...] = ()
    words: str = "keys with values"


@dataclass(frozen=True)
class Either:
    of: tuple[Type, ...]

    @property
    def words(self) -> str:
        words = dict.fromkeys(each.words for each in self.of if each is not NOTHING)
        return ", or ".join(words)


@dataclass(frozen=True)
class Anything:
    words: str = "anything"


Type = Kind | Word | ListOf | Keys | Either | Anything

TEXT = Kind(frozenset({"str"}), "text")
# What cloud-init turns into text by itself.
LOOSE = Kind(frozenset({"str", "int", "float", "bool", "timestamp"}), "text")
FLAG = Kind(frozenset({"bool"}), "true or false")
WHOLE = Kind(frozenset({"int"}), "a whole number")
NUMBER = Kind(frozenset({"int", "float"}), "a number")
NOTHING = Kind(frozenset({"null"}), "nothing")
ANY = Anything()
TEXTS = ListOf(TEXT, "a list of texts")


def either(*of: Type) -> Either:
    return Either(of)


def _fits(node: Node, type: Type) -> bool:
    """By its outer shape: which of several types was meant."""
    if isinstance(type, Anything):
        return True
    if isinstance(type, Either):
        return any(_fits(node, each) for each in type.of)
    if isinstance(node, Scalar):
        if isinstance(type, Word):
            # YAML reads some of those words as something else (none, off).
            return node.text in type.choices
        return isinstance(type, Kind) and node.kind in type.names
    return isinstance(type, ListOf) if isinstance(node, Sequence) else isinstance(type, Keys)


class Checker:
    """Collects findings; Bad ends a check that would take too long."""

    def __init__(self, *, findings_max: int) -> None:
        self.findings: list[Finding] = []
        self._max = findings_max
        self._steps = 0

    def keys(self, node: Mapping, known: MappingType[str, Type], path: str, *, deprecated: MappingType[str, str] | None = None) -> None:
        """Each pair against the type of its key."""
        self._pairs(node, Keys(known), path, deprecated or {})

    def _say(self, line: int, message: str, *, is_error: bool = True) -> None:
        found = Finding(line, message, is_error)
        if len(self.findings) < self._max and found not in self.findings:
            self.findings.append(found)

    def _step(self, node: Node) -> None:
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise Bad(node.line, "References (*name) make this so large that it is not read.")

    def _check(self, node: Node, type: Type, path: str) -> None:
        self._step(node)
        if isinstance(type, Anything):
            return
        if isinstance(type, Either):
            chosen = next((each for each in type.of if _fits(node, each)), None)
            if chosen is None:
                self._say(node.line, _wrong(path, type, node))
            else:
                self._check(node, chosen, path)
        elif not _fits(node, type):
            self._say(node.line, _wrong(path, type, node))
        elif isinstance(type, ListOf) and isinstance(node, Sequence):
            for each in node.items:
                self._check(each, type.of, f"Each of {path}" if not path.startswith("Each of") else path)
        elif isinstance(type, Keys) and isinstance(node, Mapping):
            self._pairs(node, type, path, {})

    def _pairs(self, node: Mapping, type: Keys, path: str, deprecated: MappingType[str, str]) -> None:
        inside = path.removeprefix("Each of ")
        seen: set[str] = set()
        for key, value in self._merged(node):
            self._step(key)
            name = f"{inside}.{key.text}" if inside else key.text
            if key.text in seen:
                self._say(key.line, f"{name} is said twice; the last one counts.", is_error=False)
            seen.add(key.text)
            known = type.of.get(key.text)
            if known is None and type.more is not None:
                known = type.more
            if known is None:
                self._say(key.line, _unknown(key.text, inside, type.of))
                continue
            if note := deprecated.get(key.text):
                self._say(key.line, f"{key.text} is old: {note}", is_error=False)
            # No value at all is how people leave a key out; cloud-init passes it over.
            if isinstance(value, Scalar) and value.kind == "null" and value.text == "" and not _fits(value, known):
                self._say(key.line, f"{name} has no value, so nothing is done with it.", is_error=False)
                continue
            self._check(value, known, name)
        for need in type.needs:
            if need not in seen:
                self._say(node.line, f"{inside} needs {need}." if inside else f"It needs {need}.")

    def _merged(self, node: Mapping) -> Iterable[tuple[Scalar, Node]]:
        """Its pairs, with those of what it merges (`<<`)."""
        own = {key.text for key, _ in node.pairs}
        for key, value in node.pairs:
            if key.text != "<<" or not key.is_plain:
                yield key, value
                continue
            for each in value.items if isinstance(value, Sequence) else [value]:
                self._step(each)
                if isinstance(each, Mapping):
                    yield from (pair for pair in each.pairs if pair[0].text not in own)
                else:
                    self._say(each.line, "<< merges keys with values only.")


def _wrong(path: str, type: Type, node: Node) -> str:
    wanted = type.words
    shown = f" ({node.text[:40]})" if isinstance(node, Scalar) and node.text.strip() and node.text.isprintable() else ""
    got = "a word that it does not know" if isinstance(node, Scalar) and node.kind == "str" and "text" not in wanted else node.words
    if isinstance(node, Scalar) and node.kind != "str" and _fits(Scalar(node.line, "str", ""), type):
        return f'{path} must be {wanted}, not {got}{shown}. Put it in quotes: "{node.text[:40]}".'
    if isinstance(node, Mapping) and node.pairs and _fits(Scalar(node.line, "str", ""), type):
        return f"{path} must be {wanted}, not {got}. A colon makes a key of the words before it: put the line in quotes."
    return f"{path} must be {wanted}, not {got}{shown}."


def _unknown(name: str, inside: str, known: MappingType[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    where = f"{inside} has no key {name[:60]}" if inside else f"cloud-config has no key {name[:60]}"
    return f"{where}.{f' Is {close[0]} meant?' if close else ''}"
