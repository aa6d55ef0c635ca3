"""Cross-origin rules of a bucket: which browser's page may do what. Pure.

AWS, "Using cross-origin resource sharing": the first rule counts whose origin, method and requested headers all fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.errors import MalformedDocument

METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD")
RULES_MAX = 100
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rule:
    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age_seconds: int | None = None
    id: str = ""

    def fits(self, origin: str, method: str, headers: Sequence[str]) -> bool:
        return (
            method in self.methods
            and any(_like(pattern, origin) for pattern in self.origins)
            and all(any(_like(pattern.lower(), header.lower()) for pattern in self.headers) for header in headers)
        )


def _like(pattern: str, text: str) -> bool:
    if "*" not in pattern:
        return pattern == text
    before, _, after = pattern.partition("*")
    return len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)


def parse(rules: Sequence[Mapping[str, object]]) -> tuple[Rule, ...]:
    """From the stored document. Raises MalformedDocument."""
    if not 1 <= len(rules) <= RULES_MAX:
        raise MalformedDocument(f"A CORS configuration has 1 to {RULES_MAX} rules.")
    return tuple(_rule(rule) for rule in rules)


def _rule(given: Mapping[str, object]) -> Rule:
    def texts(name: str) -> tuple[str, ...]:
        value = given.get(name) or ()
        assert isinstance(value, list | tuple)
        return tuple(str(text) for text in value)

    origins, methods, headers = texts("origins"), texts("methods"), texts("headers")
    if not origins or not methods:
        raise MalformedDocument("A CORS rule has at least one AllowedOrigin and one AllowedMethod.")
    for method in methods:
        if method not in METHODS:
            raise MalformedDocument(f"Found unsupported HTTP method in CORS config. Unsupported method is {method}")
    for name in (*headers, *texts("exposed")):
        if not _TOKEN.fullmatch(name):
            raise MalformedDocument(f'"{name}" is not the name of a header.')
    for pattern in (*origins, *headers):
        if pattern.count("*") > 1:
            raise MalformedDocument(f'"{pattern}" can not have more than one wildcard.')
    age = given.get("max_age_seconds")
    if age is not None and (not isinstance(age, int) or age < 0):
        raise MalformedDocument("MaxAgeSeconds is a number of seconds.")
    return Rule(origins, methods, headers, texts("exposed"), age, str(given.get("id") or ""))


def headers_for(rules: Sequence[Rule], *, origin: str, method: str, requested: Sequence[str] = ()) -> dict[str, str] | None:
    """The headers of the answer, or None if no rule lets this origin do it. `requested`: of a preflight, the headers to be sent."""
    for rule in rules:
        if rule.fits(origin, method, requested):
            everybody = "*" in rule.origins
            answer = {"Access-Control-Allow-Origin": "*" if everybody else origin, "Access-Control-Allow-Methods": ", ".join(rule.methods)}
            if not everybody:
                answer["Access-Control-Allow-Credentials"] = "true"
            if requested:
                answer["Access-Control-Allow-Headers"] = ", ".join(requested)
            if rule.exposed:
                answer["Access-Control-Expose-Headers"] = ", ".join(rule.exposed)
            if rule.max_age_seconds is not None:
                answer["Access-Control-Max-Age"] = str(rule.max_age_seconds)
            answer["Vary"] = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
            return answer
    return None
