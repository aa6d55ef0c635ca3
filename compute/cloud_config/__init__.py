"""User data as cloud-init reads them, checked before a guest does: what kind they are, and what is wrong, with its line.

https://cloudinit.readthedocs.io/en/latest/explanation/format.html tells the kinds, and the reference of modules the keys and types of
cloud-config (`keys.py`). The check is advice: a guest may have a newer cloud-init than this table knows. It never runs, includes or
fetches anything, and what would cost a reader dear (nesting, references that multiply, sheer size) ends it with a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass

from compute.cloud_config import tree, types
from compute.cloud_config.keys import DEPRECATED, KEYS
from compute.cloud_config.tree import Bad, Mapping
from compute.cloud_config.types import Finding

__all__ = ["Finding", "Verdict", "check"]

BYTES_MAX = 65535
FINDINGS_MAX = 50

# The first line's beginning: what cloud-init makes of it.
_KINDS = {
    "#cloud-config-archive": "archive",
    "#cloud-config-jsonp": "patch",
    "#cloud-config": "cloud-config",
    "#cloud-boothook": "boothook",
    "#include-once": "include",
    "#include": "include",
    "#part-handler": "part handler",
    "#upstart-job": "upstart job",
    "## template: jinja": "template",
    "#!": "script",
    "Content-Type: multipart": "parts",
    "MIME-Version:": "parts",
}
WORDS = {
    "": "nothing",
    "cloud-config": "cloud-config",
    "script": "a script",
    "archive": "an archive of several parts",
    "patch": "a patch of cloud-config",
    "boothook": "a boot hook",
    "include": "addresses to include",
    "part handler": "a part handler",
    "upstart job": "an Upstart job",
    "template": "a template, which is checked when it is filled in",
    "parts": "several parts (MIME)",
    "compressed": "compressed data",
    "ignition": "an Ignition file",
    "unknown": "nothing that cloud-init knows",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`kind`: a key of WORDS. `findings` in the order of lines; those that are errors stop the guest from doing what was meant."""

    kind: str
    findings: tuple[Finding, ...] = ()

    @property
    def words(self) -> str:
        return WORDS[self.kind]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(each for each in self.findings if each.is_error)

    def sentence(self) -> str:
        """For a form: the first error, and how many more there are."""
        first, *others = self.errors
        more = f" And {len(others)} more." if others else ""
        return f"Line {first.line}: {first.message}{more}"


def check(data: bytes | str) -> Verdict:
    """What cloud-init would make of it."""
    raw = data.encode() if isinstance(data, str) else data
    if not raw.strip():
        return Verdict(kind="")
    if len(raw) > BYTES_MAX:
        return _one("unknown", 1, f"This has {len(raw)} bytes; {BYTES_MAX} is the most.")
    if raw.startswith(b"\x1f\x8b"):
        return Verdict(kind="compressed")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return _one("unknown", raw[: error.start].count(b"\n") + 1, "This is no text in UTF-8.")
    kind = _kind(text)
    if kind == "unknown":
        return _one(kind, 1, "cloud-init does nothing with this: the first line must be #cloud-config, or begin with #! for a script.")
    if kind == "script" and "\r" in text.split("\n", 1)[0]:
        return _one(kind, 1, "The line ends as in Windows (CR LF), so its program is not found.")
    if kind != "cloud-config":
        return Verdict(kind=kind)
    return _cloud_config(text)


def _kind(text: str) -> str:
    if text.lstrip().startswith("{") and '"ignition"' in text:
        return "ignition"
    return next((kind for start, kind in _KINDS.items() if text.startswith(start)), "unknown")


def _one(kind: str, line: int, message: str) -> Verdict:
    return Verdict(kind=kind, findings=(Finding(line, message),))


def _cloud_config(text: str) -> Verdict:
    try:
        root = tree.read(text)
    except Bad as error:
        return _one("cloud-config", error.line, error.message)
    if root is None:
        return Verdict(kind="cloud-config", findings=(Finding(1, "There is nothing in it but comments.", is_error=False),))
    if not isinstance(root, Mapping):
        return _one("cloud-config", root.line, f"A cloud-config is made of keys with values (package_update: true); this is {root.words}.")
    checker = types.Checker(findings_max=FINDINGS_MAX)
    try:
        checker.keys(root, KEYS, "", deprecated=DEPRECATED)
    except Bad as error:
        return _one("cloud-config", error.line, error.message)
    return Verdict(kind="cloud-config", findings=tuple(sorted(checker.findings, key=lambda each: each.line)))
