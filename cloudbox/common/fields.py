"""Typed reading of JSON bodies: what is missing or of another type is refused by the name of its place ("user.name must be text")."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, TypeVar
from uuid import UUID

from django.http import HttpRequest

from cloudbox.common.errors import Invalid

T = TypeVar("T")
TEXT_LENGTH_MAX = 65_536


def body_of(request: HttpRequest) -> Fields:
    """The JSON object that the request carries, or Invalid."""
    try:
        parsed = json.loads(request.body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Invalid("The body must be JSON.") from error
    if not isinstance(parsed, dict):
        raise Invalid("The body must be a JSON object.")
    return Fields(parsed, "")


def _refuse_constant(word: str) -> None:
    raise ValueError(word)


class Fields:
    """An object of a body, at a place in it."""

    def __init__(self, values: dict[str, Any], place: str) -> None:
        self.values = values
        self.place = place

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def at(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name

    def _typed(self, name: str, kind: type[T], words: str) -> T | None:
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise Invalid(f"{self.at(name)} must be {words}.", field=self.at(name))
        return value

    def _needed(self, name: str, value: T | None) -> T:
        if value is None:
            raise Invalid(f"{self.at(name)} is missing.", field=self.at(name))
        return value

    def text(self, name: str, *, length_max: int = TEXT_LENGTH_MAX) -> str | None:
        """Text that PostgreSQL can keep, or None."""
        value = self._typed(name, str, "text")
        if value is not None and ("\x00" in value or len(value) > length_max or not _is_unicode(value)):
            raise Invalid(f"{self.at(name)} is too long, or holds what is not text.", field=self.at(name))
        return value

    def needed_text(self, name: str, *, length_max: int = TEXT_LENGTH_MAX) -> str:
        value = self._needed(name, self.text(name, length_max=length_max))
        if not value:
            raise Invalid(f"{self.at(name)} is empty.", field=self.at(name))
        return value

    def flag(self, name: str) -> bool | None:
        return self._typed(name, bool, "true or false")

    def object(self, name: str) -> Fields | None:
        value = self._typed(name, dict, "an object")
        return None if value is None else Fields(value, self.at(name))

    def needed_object(self, name: str) -> Fields:
        return self._needed(name, self.object(name))

    def items(self, name: str, *, count_max: int = 1000) -> list[Any] | None:
        value = self._typed(name, list, "a list")
        if value is not None and len(value) > count_max:
            raise Invalid(f"{self.at(name)} has {len(value)} items; {count_max} is the most.", field=self.at(name))
        return value

    def objects(self, name: str) -> list[Fields]:
        """The objects of a list; empty when it is not there."""
        found = []
        for number, value in enumerate(self.items(name) or []):
            place = f"{self.at(name)}[{number}]"
            if not isinstance(value, dict):
                raise Invalid(f"{place} must be an object.", field=place)
            found.append(Fields(value, place))
        return found

    def texts(self, name: str) -> list[str]:
        for value in self.items(name) or []:
            if not isinstance(value, str):
                raise Invalid(f"{self.at(name)} must hold text.", field=self.at(name))
        return self.items(name) or []

    def uuid(self, name: str) -> UUID | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            return UUID(value)
        except ValueError as error:
            raise Invalid(f"{self.at(name)} is not an id.", field=self.at(name)) from error

    def moment(self, name: str) -> dt.datetime | None:
        """A time in ISO 8601; without a zone it is in UTC."""
        value = self.text(name, length_max=64)
        if value is None:
            return None
        try:
            moment = dt.datetime.fromisoformat(value)
            return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        except (ValueError, OverflowError) as error:
            raise Invalid(f"{self.at(name)} is not a time in ISO 8601.", field=self.at(name)) from error


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # A lone surrogate: JSON can say it, UTF-8 cannot.
        return False
    return True
