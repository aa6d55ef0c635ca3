"""Forms of pages: what was typed is kept, and each error stands at its field, or above the button when it has none."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from django.http import HttpRequest

from cloudbox.common.errors import CloudError, Invalid
from dashboard import errors

# Neither PostgreSQL nor people can read them; line breaks and tabs are text.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass
class Field:
    """One field as the template shows it."""

    name: str
    value: str
    error: str = ""
    prefix: str = ""

    @property
    def id(self) -> str:
        return f"f-{self.prefix}{self.name}"


class Form:
    """The fields of a page and what became of them. Unposted, it shows `defaults`, which the query may replace (links that pre-fill)."""

    keeps = False

    def __init__(self, request: HttpRequest, **defaults: str) -> None:
        self.posted = request.method == "POST"
        source: Mapping[str, str] = request.POST if self.posted else request.GET
        self._came = any(name in source for name in defaults)
        empty = dict.fromkeys(defaults, "") if self.posted and not self.keeps else defaults
        self._fields = {name: Field(name, str(source.get(name, empty[name]))) for name in defaults}
        self.error = ""
        self.status = 200
        self.result: Any = None

    def __getitem__(self, name: str) -> Field:
        return self._fields[name]

    def apart(self, part: str) -> Self:
        """The same, with ids of its own: several forms on a page may have fields of one name."""
        for field in self._fields.values():
            field.prefix = f"{part}-"
        return self

    def text(self, name: str) -> str:
        return self._fields[name].value.strip()

    def number(self, name: str) -> int | None:
        """A whole number, or None when the field is empty."""
        text = self.text(name)
        if not text:
            return None
        if not re.fullmatch(r"-?[0-9]{1,12}", text):
            raise Invalid("Write a whole number.", field=name)
        return int(text)

    def id_of(self, name: str) -> UUID | None:
        text = self.text(name)
        try:
            return UUID(text) if text else None
        except ValueError as error:
            raise Invalid("Choose one of the list.", field=name) from error

    def run(self, act: Callable[[], Any]) -> bool:
        """Do it and keep what it returns as `result`; or keep the error where it belongs."""
        try:
            if not self._came:  # a body of another kind, or cut off: empty fields are not what was meant
                raise Invalid("The form came without its fields. Nothing was changed; send it again.")
            for field in self._fields.values():
                if _CONTROL.search(field.value):
                    field.value = _CONTROL.sub("", field.value)
                    raise Invalid("This held characters that are not text. They are taken out; try again.", field=field.name)
            self.result = act()
        except CloudError as error:
            self.refuse(error)
            return False
        return True

    def refuse(self, error: CloudError) -> None:
        self.status = errors.status_of(error)[0]
        if error.field in self._fields:
            self._fields[error.field].error = error.message
        else:
            self.error = error.message


class ChangeForm(Form):
    """A form that changes what is there: a field that was not sent stays as it was."""

    keeps = True
