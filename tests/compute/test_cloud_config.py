"""User data checked before a guest reads them: kinds, wrong keys and types by their lines, and what is made to be dear to read."""

from __future__ import annotations

import gzip
import random

import pytest
import yaml

from compute import cloud_config
from compute.cloud_config import check, types
from compute.shipped_snippets import SNIPPETS, ShippedSnippet

HEAD = "#cloud-config\n"


def _told(text: str) -> list[tuple[int, str]]:
    return [(each.line, each.message) for each in check(HEAD + text).findings]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda each: each.key)
def test_what_the_box_brings_is_right(snippet: ShippedSnippet) -> None:
    """Nothing is to be said of it, and PyYAML's own loader reads it."""
    assert check(snippet.content).findings == ()
    assert isinstance(yaml.safe_load(snippet.content), dict)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("", ""),
        (" \n\t\n", ""),
        ("#!/bin/sh\necho hi\n", "script"),
        ("#cloud-config\na: 1\n", "cloud-config"),
        ("#cloud-config-archive\n- x\n", "archive"),
        ("#cloud-boothook\nx\n", "boothook"),
        ("#include\nhttps://example.org/x\n", "include"),
        ("#include-once\nhttps://example.org/x\n", "include"),
        ("## template: jinja\n#cloud-config\n", "template"),
        ("Content-Type: multipart/mixed; boundary=x\n", "parts"),
        ('{"ignition": {"version": "3.4.0"}}', "ignition"),
        (gzip.compress(b"#cloud-config\n", mtime=0), "compressed"),
        ("packages: [nginx]\n", "unknown"),
        ("# cloud-config\n", "unknown"),
        (b"\xff\xfe", "unknown"),
        (b"x" * 65536, "unknown"),
    ],
)
def test_kinds(data: str | bytes, kind: str) -> None:
    """By the first line; what cloud-init does nothing with is an error, each kind has its words."""
    verdict = check(data)
    assert verdict.kind == kind
    assert verdict.words
    assert bool(verdict.errors) == (kind == "unknown" or data == "#cloud-config\na: 1\n")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("package_updates: true\n", 2, "Is package_update meant?"),
        ("packages:\n  - nginx\n  - [curl, 1.2]\n", 4, 'must be text, not a number with a point (1.2). Put it in quotes: "1.2".'),
        ("write_files:\n- path: /x\n  permissions: 0644\n", 4, 'Put it in quotes: "0644".'),
        ("write_files:\n- content: x\n", 3, "needs path"),
        ("runcmd:\n  - echo hi\n  - echo: hi\n", 4, "A colon makes a key"),
        ("users:\n- name: ada\n  lock_password: true\n", 4, "Is lock_passwd meant?"),
        ("package_update: 'yes'\n", 2, "must be true or false"),
        ("chpasswd:\n  expire: never\n", 3, "must be true or false"),
        ("power_state:\n  mode: restart\n", 3, "poweroff, reboot or halt"),
        ("hostname: [a]\n", 2, "must be text, not a list"),
        ("ntp:\n  servers: 0.pool.ntp.org\n", 3, "must be a list"),
        ("mounts:\n- /dev/vdb\n", 3, "must be a list of texts"),
        ("- a\n- b\n", 2, "made of keys"),
        ("just words\n", 2, "made of keys"),
        ("runcmd:\n\t- x\n", 3, "not with tabs"),
        ("a: [1\nb: 2\n", 3, "This is no YAML"),
        ("a: 1\n---\nb: 2\n", 3, "A second document"),
        ("hostname: !!python/object/apply:os.system [ls]\n", 2, "The tag"),
        ("hostname: *gone\n", 2, "There is no &gone"),
        ("runcmd: &a\n  - *a\n", 3, "what it is a part of"),
        ("? [a]\n: b\n", 2, "A key must be text"),
        ("hostname: \x01\n", 2, "character"),
    ],
)
def test_what_is_wrong_has_its_line(text: str, line: int, words: str) -> None:
    found = _told(text)
    assert any(at == line and words in message for at, message in found), found
    assert check(HEAD + text).errors


def test_notes_are_no_errors() -> None:
    """Old names, keys said twice, and keys without a value are told and stop nobody."""
    verdict = check(HEAD + "apt_update: true\nhostname: a\nhostname: b\ntimezone:\nnetwork: {version: 2}\n")
    assert [each.line for each in verdict.findings] == [2, 4, 5, 6]
    assert not verdict.errors


def test_what_is_right() -> None:
    """Anchors and merging, numbers in arguments, words that YAML takes for something else, and every key of the table with no value."""
    text = """users:
  - default
  - &ada {name: ada, sudo: ["ALL=(ALL) NOPASSWD:ALL"], groups: adm}
  - {<<: *ada, name: bob}
runcmd:
  - [sleep, 3]
  - 'echo "a: b"'
ssh_pwauth: unchanged
growpart: {mode: off}
swap: {filename: /s, size: auto}
apt_pipelining: none
groups: [admins, {cloud: [ada]}]
power_state: {mode: reboot, delay: now, timeout: 30, condition: true}
"""
    assert _told(text) == []
    empty = check(HEAD + "".join(f"{key}:\n" for key in cloud_config.KEYS))
    assert not empty.errors


@pytest.mark.parametrize(
    "text",
    [
        "[" * 60_000,
        "{a: " * 15_000,
        "- " * 30_000,
        "? " * 30_000,
        "a:\n" + "".join(" " * n + "a:\n" for n in range(1, 300)),
        "".join(f"k{n}: 1\n" for n in range(7_000)),
        "'" * 60_000,
        "&a " * 20_000,
        "x: |\n" + " \n" * 30_000,
        "!" * 60_000,
        "a: &a [x]\n" + "b: [" + "*a," * 19_000 + "]\n",
        "write_files: &a [{path: x}]\nusers: [" + ", ".join(["*a"] * 5_000) + "]\n",
    ],
    ids=range(12),
)
def test_dear_texts_end_early(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Depth, size, and parts without end: a sentence after a bounded number of steps."""
    made: list[int] = []
    monkeypatch.setattr(types.Checker, "_step", lambda self, node: made.append(1))
    verdict = check(HEAD + text[:65_000])
    assert len(verdict.findings) <= cloud_config.FINDINGS_MAX
    assert len(made) <= 3 * types.STEPS_MAX


def test_references_that_multiply() -> None:
    """Nine lines that stand for a billion values: the walk is counted, and ends."""
    lines = ["runcmd: &a [x, x, x, x, x, x, x, x, x, x]"]
    for n, name in enumerate("bcdefghi"):
        lines.append(f"runcmd: &{name} [{', '.join(['*' + 'abcdefgh'[n]] * 10)}]")
    deep = HEAD + "\n".join(lines).replace("runcmd: &a", "users: &a") + "\n"
    assert check(deep).errors
    known = HEAD + "bootcmd: &a [x" + ", x" * 900 + "]\n" + "apt: {sources: {" + ", ".join(f"s{n}: *a" for n in range(3000)) + "}}\n"
    assert check(known).errors
    wide = HEAD + "groups: &a {" + ", ".join(f"g{n}: []" for n in range(900)) + "}\nusers: [" + ", ".join(["{groups: *a}"] * 900) + "]\n"
    assert any("so large" in each.message for each in check(wide).errors)


def test_nothing_makes_it_stumble() -> None:
    """Texts of YAML's own signs, thrown together: always a verdict whose lines are in the text."""
    chance = random.Random(7)
    signs = [
        "users",
        "runcmd",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "!!str ",
        "'",
        '"',
        "|",
        ">",
        "#",
        "<<",
        "? ",
        "ä",
    ]
    for _ in range(1500):
        text = HEAD + "".join(chance.choices(signs, k=chance.randint(1, 40)))
        for each in check(text).findings:
            assert 1 <= each.line <= text.count("\n") + 2, text
            assert each.message
