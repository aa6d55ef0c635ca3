"""Tags of objects and buckets: the rules they keep. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl

from storage.errors import TagInvalid

OBJECT_MAX, BUCKET_MAX = 10, 50
KEY_MAX, VALUE_MAX = 128, 256  # characters


def check(pairs: Iterable[tuple[str, str]], *, limit: int = OBJECT_MAX) -> dict[str, str]:
    """The tags as a dict. Raises TagInvalid."""
    listed = list(pairs)
    tags = dict(listed)
    if len(tags) != len(listed):
        raise TagInvalid("Cannot provide multiple Tags with the same key")
    if len(tags) > limit:
        raise TagInvalid(f"Object tags cannot be greater than {limit}" if limit == OBJECT_MAX else f"A bucket has at most {limit} tags.")
    for key, value in tags.items():
        if not 1 <= len(key) <= KEY_MAX:
            raise TagInvalid("The TagKey you have provided is invalid")
        if len(value) > VALUE_MAX:
            raise TagInvalid("The TagValue you have provided is invalid")
        if key.lower().startswith("aws:"):
            raise TagInvalid("System tags cannot be added/updated by requester")
    return tags


def from_query(text: str) -> dict[str, str]:
    """Of an x-amz-tagging header: k1=v1&k2=v2, percent-encoded."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=OBJECT_MAX * 2)
    except ValueError as error:
        raise TagInvalid("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters") from error
    return check(pairs)
