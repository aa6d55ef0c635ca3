"""YAML as a tree that knows its lines, read event by event, so that its size and depth are known before anything is built.

cloud-init reads YAML 1.1 (https://yaml.org/spec/1.1/) by PyYAML's safe loader: `yes` is true and 0644 a number there, and so here.
References (`*name`) stand for the same node, not a copy; whoever walks the tree counts its steps, since a few lines of them can stand
for billions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

DEPTH_MAX = 20
NODES_MAX = 20_000

_TAG = "tag:yaml.org,2002:"
_WORDS = {
    "str": "text",
    "int": "a number",
    "float": "a number with a point",
    "bool": "true or false",
    "null": "nothing",
    "timestamp": "a date",
    "binary": "binary data",
}
_RESOLVER = yaml.resolver.Resolver()
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Bad(Exception):
    """It is no YAML that is read, with the line (from 1) and a sentence."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line, self.message = line, message


@dataclass(eq=False)
class Scalar:
    line: int
    kind: str  # YAML's: str, int, float, bool, null, …
    text: str
    is_plain: bool = True

    @property
    def words(self) -> str:
        return _WORDS.get(self.kind, self.kind)


@dataclass(eq=False)
class Sequence:
    line: int
    items: list[Node] = field(default_factory=list)
    words = "a list"


@dataclass(eq=False)
class Mapping:
    line: int
    pairs: list[tuple[Scalar, Node]] = field(default_factory=list)
    words = "keys with values"


Node = Scalar | Sequence | Mapping


def read(text: str) -> Node | None:
    """The one document of the text; None: it has none. Raises Bad."""
    events: Iterator[Event] = yaml.parse(text, Loader=_LOADER)
    try:
        return _Builder().build(events)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark else 0
        raise Bad(line + 1, _sentence(text, line, str(error.problem or "it cannot be read"))) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else 1
        raise Bad(line, "A character here cannot be in YAML.") from error
    except (yaml.YAMLError, ValueError, UnicodeError) as error:
        raise Bad(1, "This is no YAML.") from error


def _sentence(text: str, line: int, problem: str) -> str:
    lines = text.split("\n")
    if "\t" in (lines[line] if line < len(lines) else ""):
        return "This is no YAML: lines are indented with spaces, not with tabs."
    hint = " Is a colon or a quotation mark missing, or the indentation wrong?" if "expected" in problem or "could not" in problem else ""
    return f"This is no YAML: {problem}.{hint}"


class _Builder:
    """Nodes on their way. The stack is ours, so that nesting cannot exhaust Python's."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.open: list[tuple[Node, list[Scalar]]] = []  # with the key that waits for its value
        self.anchors: dict[str, Node] = {}
        self.count = self.documents = 0

    def build(self, events: Iterator[Event]) -> Node | None:
        for event in events:
            line = event.start_mark.line + 1 if event.start_mark else 1
            self.count += 1
            if self.count > NODES_MAX:
                raise Bad(line, f"This has more than {NODES_MAX} parts. Put large files elsewhere, and fetch them.")
            if isinstance(event, DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    raise Bad(line, "A second document begins here (---). cloud-init reads one.")
            elif isinstance(event, MappingEndEvent | SequenceEndEvent):
                self.open.pop()
            elif isinstance(event, AliasEvent):
                if event.anchor not in self.anchors:
                    raise Bad(line, f"There is no &{event.anchor} before this *{event.anchor}.")
                self._put(self.anchors[event.anchor], line)
            elif isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent):
                self._start(event, line)
        return self.root

    def _start(self, event: Any, line: int) -> None:
        node: Node
        if isinstance(event, ScalarEvent):
            tag = event.tag if event.tag not in (None, "!") else _RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit)
            if not tag.startswith(_TAG):
                raise Bad(line, f"The tag {event.tag} is none that cloud-init reads.")
            node = Scalar(line, tag.removeprefix(_TAG), event.value, is_plain=not event.style)
        else:
            if event.tag not in (None, "!", f"{_TAG}map", f"{_TAG}seq"):
                raise Bad(line, f"The tag {event.tag} is none that cloud-init reads.")
            node = Mapping(line) if isinstance(event, MappingStartEvent) else Sequence(line)
        self._put(node, line)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        if not isinstance(node, Scalar):
            if len(self.open) >= DEPTH_MAX:
                raise Bad(line, f"This is nested more than {DEPTH_MAX} deep.")
            self.open.append((node, []))

    def _put(self, node: Node, line: int) -> None:
        if not self.open:
            self.root = node
            return
        parent, waiting = self.open[-1]
        if any(node is each for each, _ in self.open):
            raise Bad(line, "This refers to what it is a part of.")
        if isinstance(parent, Sequence):
            parent.items.append(node)
        elif waiting and isinstance(parent, Mapping):
            parent.pairs.append((waiting.pop(), node))
        elif isinstance(node, Scalar):
            waiting.append(Scalar(line, node.kind, node.text, node.is_plain))
        else:
            raise Bad(line, f"A key must be text; this is {node.words}.")
