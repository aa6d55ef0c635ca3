"""XML in and out, as S3 speaks it."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from xml.etree import ElementTree

from storage.errors import MalformedDocument

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
BODY_MAX_BYTES = 2 << 20  # DeleteObjects with 1,000 long names, CompleteMultipartUpload with 10,000 parts
_SPECIAL = re.compile('[&<>"\x00-\x08\x0b-\x1f\x7f\ufffe\uffff\r]')
_MILLISECONDS = tuple(f".{ms:03d}Z" for ms in range(1000))
_NAMES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def escape(text: str) -> str:
    """For character data. What XML 1.0 cannot hold is written as a reference, as S3 does; clients ask for url encoding to be safe."""
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda found: _NAMES.get(found[0]) or f"&#x{ord(found[0]):x};", text)


def element(name: str, value: object) -> str:
    """<name>value</name>; an empty text for None."""
    if value is None:
        return ""
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return f"<{name}>{escape(text)}</{name}>"


def document(root: str, *content: str) -> bytes:
    return f"{DECLARATION}<{root} {NAMESPACE}>{''.join(content)}</{root}>".encode()


def iso(ns: int) -> str:
    """A moment, with milliseconds."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{to_the_second(seconds)}.{rest // 1_000_000:03d}Z"


def isos(moments: Sequence[int]) -> list[str]:
    """The same of many, a third of the cost each."""
    milliseconds = [ns // 1_000_000 for ns in moments]
    seconds = {second: to_the_second(second) for second in {ms // 1000 for ms in milliseconds}}
    return [seconds[ms // 1000] + _MILLISECONDS[ms % 1000] for ms in milliseconds]


@lru_cache(4096)  # Objects that lie side by side in a listing were often written in the same seconds.
def to_the_second(seconds: int) -> str:
    """The same without what follows the seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def moment(text: str) -> dt.datetime:
    """Of an ISO 8601 text, in its long form. Raises MalformedDocument."""
    try:
        if text.strip()[4:5] != "-":
            raise ValueError("the short form")
        found = dt.datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise MalformedDocument(f"{text} is not a date.") from error
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


class Element:
    """An element that came in: names without namespaces, and reading that says what is wrong."""

    __slots__ = ("_node", "name")

    def __init__(self, node: ElementTree.Element) -> None:
        self._node = node
        self.name = node.tag.rpartition("}")[2]

    @property
    def text(self) -> str:
        return self._node.text or ""

    def __iter__(self) -> Iterator[Element]:
        return (Element(node) for node in self._node)

    def all(self, name: str) -> list[Element]:
        return [child for child in self if child.name == name]

    def find(self, name: str) -> Element | None:
        return next((child for child in self if child.name == name), None)

    def get(self, name: str) -> str | None:
        """The text of a child, or None if there is none of that name."""
        child = self.find(name)
        return None if child is None else child.text.strip()

    def need(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise MalformedDocument(f"The element {self.name} needs a {name}.")
        return value

    def number(self, name: str) -> int | None:
        value = self.get(name)
        if value is None:
            return None
        if not re.fullmatch(r"-?\d{1,18}", value, re.ASCII):
            raise MalformedDocument(f"The element {name} is not a number.")
        return int(value)

    def attribute(self, name: str) -> str:
        """By its name without a namespace."""
        return next((value for key, value in self._node.attrib.items() if key.rpartition("}")[2] == name), "")


def parse(body: bytes, root: str) -> Element:
    """A document whose root has this name. Raises MalformedDocument. Document types are refused: entities could grow without bound."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise MalformedDocument("Document type declarations are not allowed.")
    try:
        found = Element(ElementTree.fromstring(body))
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise MalformedDocument("The XML you provided was not well-formed or did not validate against our published schema") from error
    if found.name != root:
        raise MalformedDocument(f"The document must be a {root}.")
    return found
