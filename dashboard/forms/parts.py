"""Pages with several forms: each carries its name in the hidden field `form`, and only the one that was sent is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from dashboard.forms.base import Field, Form


class PartForm(Form):
    """One of a page's forms. `ticks` are its checkboxes: what a browser does not send of them is off.

    All other fields must come, or nothing is done: a cut-off body would else take away what it does not say.
    """

    def __init__(self, request: HttpRequest, part: str, *, ticks: Mapping[str, bool] | None = None, **defaults: str) -> None:
        self.part = part
        self.posted = request.method == "POST" and request.POST.get("form") == part
        self._came = not self.posted or all(name in request.POST for name in defaults)
        source: Mapping[str, Any] = request.POST if self.posted else {}
        values = {name: str(source.get(name, default)) for name, default in defaults.items()}
        for name, on in (ticks or {}).items():
            values[name] = ("on" if name in source else "") if self.posted else ("on" if on else "")
        self._fields = {name: Field(name, value) for name, value in values.items()}
        self.apart(part)
        self.error = ""
        self.status = 200
        self.result: Any = None

    def ticked(self, name: str) -> bool:
        return self._fields[name].value == "on"


def any_posted(*forms: Form) -> int:
    """The status of the page: that of the form that was refused."""
    return max((form.status for form in forms), default=200)
