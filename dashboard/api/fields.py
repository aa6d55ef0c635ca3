"""Fields that take their own type and no other: text is text, a number is a number; and inputs that refuse what they do not know."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from rest_framework import serializers

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Input(serializers.Serializer):
    """The shape of a body or a query. Meaning is the verbs' business."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [str(key)[:64] for key in data if key not in self.fields]
            if unknown:
                raise serializers.ValidationError({key: ["There is no such field."] for key in unknown[:20]})
        return super().to_internal_value(data)


class Text(serializers.CharField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**({"trim_whitespace": False, "max_length": 255} | kwargs))

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**({"min_value": 0, "max_value": 2**31 - 1} | kwargs))

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, float) and data.is_integer():  # to JSON Schema 1.0 is an integer
            data = int(data)
        if type(data) is not int:
            self.fail("invalid")
        return data


class Clock(serializers.RegexField):
    """A time of day to the minute, as "HH:MM". JSON Schema's "time" is RFC 3339's, with an offset, which a time of every day has not."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(r"^([01][0-9]|2[0-3]):[0-5][0-9]$", **({"trim_whitespace": False, "max_length": 5} | kwargs))

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)

    def run_validation(self, data: Any = serializers.empty) -> dt.time:
        return dt.time.fromisoformat(super().run_validation(data))

    def to_representation(self, value: Any) -> str:
        return f"{value:%H:%M}"


class Flag(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=str(data)[:32])
        return data


class Id(serializers.UUIDField):
    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str) or not _UUID.fullmatch(data):
            self.fail("invalid", value=str(data)[:64])
        return UUID(data)
