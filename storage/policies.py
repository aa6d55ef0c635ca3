"""The policy language of buckets: parsing with every error found early, and evaluation that says which statement decided. Pure.

The grammar is that of AWS's "IAM JSON policy reference". What it has and a bucket here cannot mean (unknown operators, actions of
other services) is refused when the policy is stored, never passed over when it is evaluated.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from storage.errors import MalformedPolicy

POLICY_MAX_BYTES = 20 * 1024
VERSIONS = ("2012-10-17", "2008-10-17")

# Gives the values of a condition key (in lower case) in this request, or None if the request has no such key.
Facts = Callable[[str], Sequence[str] | None]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, by every name that a policy may call them."""

    anonymous: bool = True
    account: str = ""  # The project's id in hex,
    account_name: str = ""  # and its slug.
    user: str = ""  # The user's id in hex,
    user_name: str = ""  # and e-mail address.
    root: bool = False  # Speaks for the whole account: an admin of the project.

    def names(self) -> frozenset[str]:
        """All the words that mean this principal, in the form that `_principal_word` gives."""
        if self.anonymous:
            return frozenset()
        accounts = [name for name in (self.account, self.account_name) if name]
        users = [name for name in (self.user, self.user_name) if name]
        return frozenset([*accounts, *(f"{account}/{user}" for account in ["", *accounts] for user in users), f"/{self.account}"])


ANONYMOUS = Principal()


@dataclass(frozen=True, slots=True)
class Condition:
    operator: str
    key: str  # In lower case.
    values: tuple[str, ...]
    if_exists: bool
    quantifier: str  # "", "all" or "any"


@dataclass(frozen=True, slots=True)
class Statement:
    sid: str
    allow: bool
    principals: frozenset[str] | None  # None: everybody
    not_principals: bool
    actions: Callable[[str], bool]
    resources: tuple[str, ...]
    not_resources: bool
    conditions: tuple[Condition, ...]
    public_principal: bool

    def about(self, names: frozenset[str], action: str, resource: str, facts: Facts) -> bool:
        """Does it apply to this request?"""
        if not self.actions(action):
            return False
        if self.principals is not None and (not self.principals.isdisjoint(names)) == self.not_principals:
            return False
        if any(wildcard(pattern, resource, facts) for pattern in self.resources) == self.not_resources:
            return False
        return all(holds(condition, facts) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says: True (allowed), False (denied), None (nothing); and the statement that said it."""

    allowed: bool | None
    statement: Statement | None = None


SILENT = Verdict(None)


@dataclass(frozen=True, slots=True)
class Policy:
    text: str
    statements: tuple[Statement, ...]
    public: bool  # By AWS's definition of "public"; see `_is_public`.

    def judge(self, principal: Principal, action: str, resource: str, facts: Facts) -> Verdict:
        """An explicit deny wins over any allow."""
        names = principal.names()
        said = SILENT
        for statement in self.statements:
            if statement.about(names, action, resource, facts):
                if not statement.allow:
                    return Verdict(False, statement)
                if said.statement is None:
                    said = Verdict(True, statement)
        return said


# --- parsing


def parse(text: str | bytes, *, bucket: str) -> Policy:
    """A bucket's policy. Raises MalformedPolicy with what is wrong and where."""
    if len(text) > POLICY_MAX_BYTES:
        raise MalformedPolicy(f"A policy has at most {POLICY_MAX_BYTES} bytes.")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedPolicy("Policies must be valid JSON.") from error
    if not isinstance(document, dict):
        raise MalformedPolicy("A policy is a JSON object.")
    if unknown := set(document) - {"Version", "Id", "Statement"}:
        raise MalformedPolicy(f"A policy has no field {sorted(unknown)[0]}.")
    if document.get("Version", VERSIONS[1]) not in VERSIONS:
        raise MalformedPolicy(f"The version of a policy is {VERSIONS[0]}.")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise MalformedPolicy("A policy has at least one statement.")
    parsed = tuple(_statement(one, bucket) for one in statements)
    shown = text if isinstance(text, str) else text.decode()
    return Policy(shown, parsed, any(_is_public(one) for one in parsed))


_FIELDS = {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}


def _statement(given: Any, bucket: str) -> Statement:
    if not isinstance(given, dict):
        raise MalformedPolicy("A statement is a JSON object.")
    if unknown := set(given) - _FIELDS:
        raise MalformedPolicy(f"A statement has no field {sorted(unknown)[0]}.")
    if given.get("Effect") not in ("Allow", "Deny"):
        raise MalformedPolicy("The Effect of a statement is Allow or Deny.")
    not_principals, principals = _either(given, "Principal")
    not_actions, actions = _either(given, "Action")
    not_resources, resources = _either(given, "Resource")
    who, public = _principals(principals)
    if not_principals and given["Effect"] == "Allow":
        raise MalformedPolicy("Allow with NotPrincipal is not supported: it would let in everybody else, anonymous ones as well.")
    return Statement(
        sid=str(given.get("Sid", "")),
        allow=given["Effect"] == "Allow",
        principals=who,
        not_principals=not_principals,
        actions=_actions(_words(actions, "Action"), negated=not_actions),
        resources=_resources(_words(resources, "Resource"), bucket),
        not_resources=not_resources,
        conditions=_conditions(given.get("Condition", {})),
        public_principal=public != not_principals,
    )


def _either(given: Mapping[str, Any], name: str) -> tuple[bool, Any]:
    """X or NotX, exactly one of them."""
    plain, negated = name in given, f"Not{name}" in given
    if plain == negated:
        raise MalformedPolicy(f"A statement has either {name} or Not{name}.")
    return negated, given[f"Not{name}" if negated else name]


def _words(given: Any, what: str) -> list[str]:
    words = [given] if isinstance(given, str) else given
    if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
        raise MalformedPolicy(f"{what} is a text or a list of texts.")
    return words


def _principals(given: Any) -> tuple[frozenset[str] | None, bool]:
    """The words that match (None: everybody), and whether everybody is meant."""
    if given == "*":
        return None, True
    if not isinstance(given, dict) or not given:
        raise MalformedPolicy('A Principal is "*" or an object such as {"AWS": "arn:aws:iam::<project id>:root"}.')
    found: set[str] = set()
    for kind, names in given.items():
        if kind not in ("AWS", "CanonicalUser", "Service", "Federated"):
            raise MalformedPolicy(f"There is no kind of principal called {kind}.")
        for name in _words(names, "Principal"):
            if kind == "AWS" and name == "*":
                return None, True
            found.add(_principal_word(name) if kind == "AWS" else name.replace("-", "") if kind == "CanonicalUser" else f"{kind}:{name}")
    return frozenset(found), False


_USER_ARN = re.compile(r"arn:aws[a-z-]*:(?:iam|sts)::([^:/]*):(root|user/.+|assumed-role/.+|role/.+)\Z")


def _principal_word(name: str) -> str:
    """`<account>` for a whole account, `<account>/<user>` for one user of it.

    An account is a project, by id or slug. Ceph's form without an account, arn:aws:iam:::user/<id>, means the account of that id.
    """
    if found := _USER_ARN.match(name):
        account, rest = found.groups()
        if len(account) == 36:
            account = account.replace("-", "")
        if rest == "root":
            return account
        return f"{account}/{rest.rpartition('/')[2]}"
    if re.fullmatch(r"[A-Za-z0-9-]{1,64}", name):
        return name.replace("-", "") if len(name) == 36 else name
    raise MalformedPolicy(f"Invalid principal in policy: {name}")


def _actions(patterns: Sequence[str], *, negated: bool) -> Callable[[str], bool]:
    for pattern in patterns:
        if pattern != "*" and not re.fullmatch(r"s3:[A-Za-z*?]+", pattern, re.I):
            raise MalformedPolicy(f"Policy has invalid action: {pattern}")
    found = re.compile("|".join(_regex(pattern.lower()) for pattern in patterns))

    @lru_cache(maxsize=256)
    def match(action: str) -> bool:
        return (found.fullmatch(action.lower()) is not None) != negated

    return match


def _resources(patterns: Sequence[str], bucket: str) -> tuple[str, ...]:
    """Without "arn:aws:s3:::". A pattern that cannot mean this bucket is a mistake, and refused as one."""
    found = []
    for pattern in patterns:
        if pattern == "*":
            found.append(pattern)
            continue
        head = re.match(r"arn:aws[a-z-]*:s3:[^:]*:[^:]*:", pattern)
        if head is None:
            raise MalformedPolicy(f"Policy has invalid resource: {pattern}")
        rest = pattern[head.end() :]
        if "${" not in rest.partition("/")[0] and not re.fullmatch(_regex(rest.partition("/")[0]), bucket):
            raise MalformedPolicy(f"Policy has a resource that is not of this bucket: {pattern}")
        found.append(rest)
    return tuple(found)


def _conditions(given: Any) -> tuple[Condition, ...]:
    if not isinstance(given, dict):
        raise MalformedPolicy("A Condition is an object of operators.")
    found = []
    for full, tests in given.items():
        quantifier, _, operator = full.rpartition(":")
        if_exists = operator.endswith("IfExists") and operator != "Null"
        operator = operator.removesuffix("IfExists")
        if operator.lower() not in _OPERATORS or quantifier.lower() not in ("", "forallvalues", "foranyvalue"):
            raise MalformedPolicy(f"Invalid condition type: {full}")
        if not isinstance(tests, dict) or not tests:
            raise MalformedPolicy(f"The condition {full} names no key.")
        for key, values in tests.items():
            listed = values if isinstance(values, list) else [values]
            if not listed or not all(isinstance(value, str | bool | int | float) for value in listed):
                raise MalformedPolicy(f"The condition {full} of {key} needs a text or a list of texts.")
            # A JSON true is the text "true".
            texts = tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in listed)
            _check_values(operator.lower(), full, texts)
            short = {"": "", "forallvalues": "all", "foranyvalue": "any"}[quantifier.lower()]
            found.append(Condition(operator.lower(), key.lower(), texts, if_exists, short))
    return tuple(found)


def _check_values(operator: str, full: str, values: Sequence[str]) -> None:
    """A number that is none would make the condition silently false, whatever the request."""
    for value in values:
        if "${" in value:
            continue
        read = {"n": _number, "d": _moment, "i": _network}.get(_OPERATORS[operator].reads, lambda text: text)
        if read(value) is None or (operator in ("bool", "null") and value.lower() not in ("true", "false")):
            raise MalformedPolicy(f"The condition {full} cannot compare with {value}.")


# --- wildcards and variables


def _regex(pattern: str) -> str:
    """`*` any text, `?` one character, `${*}` `${?}` `${$}` themselves."""
    out = []
    for piece in re.findall(r"\$\{[*?$]\}|[*?]|[^*?$]+|\$", pattern):
        if piece == "*":
            out.append("(?s:.*)")
        elif piece == "?":
            out.append("(?s:.)")
        else:
            out.append(re.escape(piece[2] if len(piece) == 4 and piece.startswith("${") and piece.endswith("}") else piece))
    return "".join(out)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(_regex(pattern))


_VARIABLE = re.compile(r"\$\{([A-Za-z0-9:/_.-]+)(?:\s*,\s*'([^']*)')?\}")


def _filled(pattern: str, facts: Facts) -> str | None:
    """Policy variables put in; None if one has no value, so that nothing matches. What is put in is never a wildcard."""
    if "${" not in pattern:
        return pattern
    missing = False

    def value(found: re.Match[str]) -> str:
        nonlocal missing
        values = facts(found[1].lower())
        if values is None or len(values) != 1:
            if found[2] is None:
                missing = True
                return ""
            text = found[2]
        else:
            text = values[0]
        return re.sub(r"[*?$]", lambda special: "${" + special[0] + "}", text)

    filled = _VARIABLE.sub(value, pattern)
    return None if missing else filled


def wildcard(pattern: str, text: str, facts: Facts) -> bool:
    if pattern == "*":
        return True
    filled = _filled(pattern, facts)
    return filled is not None and _compiled(filled).fullmatch(text) is not None


# --- conditions


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _moment(text: str) -> dt.datetime | None:
    """ISO 8601, or seconds since 1970."""
    try:
        if re.fullmatch(r"-?\d+(\.\d+)?", text):
            return dt.datetime.fromtimestamp(float(text), dt.UTC)
        found = dt.datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def _network(text: str) -> Any:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _binary(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None


def _inside(network: Any, text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped and network.version == 4:
        address = address.ipv4_mapped
    return address in network


@dataclass(frozen=True, slots=True)
class _Operator:
    test: Callable[[str, str], bool]  # (the request's value, the policy's)
    negated: bool = False
    reads: str = "s"
    patterns: bool = False  # The policy's value may hold wildcards.


def _like(value: str, pattern: str) -> bool:
    return _compiled(pattern).fullmatch(value) is not None


def _compare(read: Callable[[str], Any], test: Callable[[Any, Any], bool]) -> Callable[[str, str], bool]:
    def compare(value: str, wanted: str) -> bool:
        left, right = read(value), read(wanted)
        return left is not None and right is not None and test(left, right)

    return compare


def _operators() -> dict[str, _Operator]:
    table = {
        "stringequals": _Operator(lambda value, wanted: value == wanted),
        "stringequalsignorecase": _Operator(lambda value, wanted: value.lower() == wanted.lower()),
        "stringlike": _Operator(_like, patterns=True),
        "binaryequals": _Operator(_compare(_binary, lambda a, b: a == b)),
        "bool": _Operator(lambda value, wanted: value.lower() == wanted.lower()),
        "ipaddress": _Operator(lambda value, wanted: (net := _network(wanted)) is not None and _inside(net, value), reads="i"),
        "arnequals": _Operator(_like, patterns=True),
        "arnlike": _Operator(_like, patterns=True),
        "null": _Operator(lambda value, wanted: False),
    }
    for kind, read, mark in (("numeric", _number, "n"), ("date", _moment, "d")):
        for name, test in {
            "equals": lambda a, b: a == b,
            "lessthan": lambda a, b: a < b,
            "lessthanequals": lambda a, b: a <= b,
            "greaterthan": lambda a, b: a > b,
            "greaterthanequals": lambda a, b: a >= b,
        }.items():
            table[kind + name] = _Operator(_compare(read, test), reads=mark)
    opposites = {
        "stringnotequals": "stringequals",
        "stringnotequalsignorecase": "stringequalsignorecase",
        "stringnotlike": "stringlike",
        "numericnotequals": "numericequals",
        "datenotequals": "dateequals",
        "notipaddress": "ipaddress",
        "arnnotequals": "arnequals",
        "arnnotlike": "arnlike",
    }
    for name, of in opposites.items():
        table[name] = _Operator(table[of].test, negated=True, reads=table[of].reads, patterns=table[of].patterns)
    return table


_OPERATORS = _operators()


def holds(condition: Condition, facts: Facts) -> bool:
    """Does a condition hold for the request that `facts` tells of?"""
    values = facts(condition.key)
    if condition.operator == "null":
        return any((values is None) == (wanted.lower() == "true") for wanted in condition.values)
    operator = _OPERATORS[condition.operator]
    if values is None or not values:
        if condition.if_exists or condition.quantifier == "all":
            return True
        return operator.negated and condition.quantifier != "any"
    wanted = [filled for value in condition.values if (filled := _filled(value, facts)) is not None]
    if not operator.patterns:
        wanted = [re.sub(r"\$\{([*?$])\}", r"\1", value) for value in wanted]

    def passes(value: str) -> bool:
        return any(operator.test(value, one) for one in wanted) != operator.negated

    if condition.quantifier == "all":
        return all(passes(value) for value in values)
    if condition.quantifier == "any" or not operator.negated:
        return any(passes(value) for value in values)
    return all(passes(value) for value in values)


# --- what is public
# AWS, "Blocking public access to your Amazon S3 storage", section "The meaning of 'public'": a statement that allows everybody is
# public unless a condition ties it to fixed values of one of these keys.
_FIXING = {
    "aws:sourceip",
    "aws:sourcearn",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:sourceowner",
    "aws:sourceaccount",
    "aws:userid",
    "aws:principalarn",
    "aws:principalaccount",
    "aws:principalorgid",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:dataaccesspointarn",
    "s3:dataaccesspointaccount",
}
_WIDE_BITS = {4: 8, 6: 32}  # A larger network than this is as good as everybody.


def _is_public(statement: Statement) -> bool:
    if not statement.allow or not statement.public_principal:
        return False
    return not any(_fixes(condition) for condition in statement.conditions)


def _fixes(condition: Condition) -> bool:
    operator = _OPERATORS[condition.operator]
    if condition.key not in _FIXING or operator.negated or condition.if_exists or condition.operator in ("null", "bool"):
        return False
    if condition.operator == "ipaddress":
        return all((net := _network(value)) is not None and net.prefixlen >= _WIDE_BITS[net.version] for value in condition.values)
    return not any(mark in value for value in condition.values for mark in "*?$")
