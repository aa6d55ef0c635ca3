"""Reading a JSON body, strictly: what two readers could understand differently is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from cloudbox.common.errors import TooLarge

DEPTH_MAX = 20
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")


class StrictJSONParser(BaseParser):
    """UTF-8, no NaN, no doubled keys, no NUL or lone surrogates (PostgreSQL has no such text), not deep, not large."""

    media_type = "application/json"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise TooLarge(f"The body has more than {limit // 1024} KiB.")
        try:
            data = json.loads(raw.decode(), parse_constant=_no_constant, object_pairs_hook=_no_doubles)
        except UnicodeDecodeError as error:
            raise ParseError("The body is not UTF-8.") from error
        except RecursionError as error:
            raise ParseError("The body is nested too deeply.") from error
        except json.JSONDecodeError as error:
            raise ParseError(f"The body is not JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from error
        except ValueError as error:  # ours, or a number of thousands of digits
            raise ParseError(f"The body is not JSON that can be relied on: {str(error)[:120]}.") from error
        _check(data)
        return data


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _check(data: Any) -> None:
    """Walk it without recursion: a deep body must not cost a deep stack."""
    todo = [(data, 0)]
    while todo:
        value, depth = todo.pop()
        if depth > DEPTH_MAX:
            raise ParseError("The body is nested too deeply.")
        if isinstance(value, str):
            if _NOT_TEXT.search(value):
                raise ParseError("The body holds characters that are not text.")
        elif isinstance(value, dict):
            todo += [(inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, list):
            todo += [(inner, depth + 1) for inner in value]
