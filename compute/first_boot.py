"""How the first boot of an instance went, as cloud-init tells it on the serial line.

Its own lines bear its name (`cloud-init[512]: …`, also what the scripts that it runs print), its tables begin with `ci-info:`, and the
last line of a boot says when it was done and where it had read (https://cloudinit.readthedocs.io/en/latest/howto/debugging.html).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

from compute import cloud_config, consoles, instances
from compute.cloud_config import Verdict
from compute.models import Instance
from identity.context import Context

LINES_MAX = 500
_LINE = re.compile(r"cloud-init(?:\[\d+\])?:|Cloud-init v\.|ci-info:|cloud-(?:init|config|final)(?:-local)?\.service")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_STARTED = re.compile(r"^--- Started .* ---$")
_BEGAN = re.compile(r"Cloud-init v\. (\S+) running '([\w:-]+)'")
_ENDED = re.compile(r"Cloud-init v\. (\S+) finished at .*?Datasource (DataSource\w+)?.*?Up ([\d.]+) seconds")
_TROUBLE = re.compile(r"\bERROR\b|\bCRITICAL\b|Traceback|[Ff]ailed (?:to|running)|FAILED|Failed to start")


@dataclass(frozen=True, kw_only=True)
class Line:
    text: str
    is_trouble: bool = False


@dataclass(frozen=True, kw_only=True)
class FirstBoot:
    """Of the last start. `status`: silent (nothing was heard), running, done, trouble (done, and something had failed)."""

    status: str
    sentence: str
    version: str = ""
    datasource: str = ""
    seconds: float | None = None
    lines: tuple[Line, ...] = ()


def of(ctx: Context, id: UUID) -> FirstBoot:
    """From the console log. Unavailable: the console service does not answer."""
    return read(consoles.log(ctx, id, tail_bytes=consoles.LOG_BYTES_MAX))


def user_data(ctx: Context, id: UUID) -> tuple[str, Verdict]:
    """What the instance was given, as far as it is text, and what is to be said of it. Who reads it reads the secrets in it."""
    ctx.require("instances.log")
    instances.get(ctx, id)
    data = bytes(Instance.objects.values_list("user_data", flat=True).get(id=id))
    verdict = cloud_config.check(data)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    return ("" if "\x00" in text else text), verdict


def read(log: str) -> FirstBoot:
    """From a console's text: what cloud-init said since the machine started last."""
    found: list[Line] = []
    version = datasource = stage = ""
    seconds: float | None = None
    for raw in _ANSI.sub("", log.replace("\r\n", "\n")).split("\n"):
        text = raw.rsplit("\r", 1)[-1].rstrip()
        if _STARTED.match(text.strip()):
            found, version, datasource, stage, seconds = [], "", "", "", None
            continue
        if not _LINE.search(text):
            continue
        found.append(Line(text=text[:1000], is_trouble=bool(_TROUBLE.search(text))))
        if began := _BEGAN.search(text):
            version, stage = began[1], began[2]
        if ended := _ENDED.search(text):
            version, datasource, seconds = ended[1], ended[2] or "", _number(ended[3])
    lines = tuple(found[-LINES_MAX:])
    troubles = sum(each.is_trouble for each in lines)
    if not found:
        return FirstBoot(status="silent", sentence="cloud-init has said nothing since the last start.")
    if seconds is None:
        where = f", at its stage {stage}" if stage else ""
        return FirstBoot(status="running", sentence=f"cloud-init is at work{where}.", version=version, lines=lines)
    source = f" It had read {datasource.removeprefix('DataSource')}." if datasource else ""
    sentence = f"cloud-init was done {seconds:.0f} seconds after the start.{source}"
    if troubles:
        sentence += f" {troubles} line{'s' if troubles > 1 else ''} tell{'' if troubles > 1 else 's'} of trouble."
    status = "trouble" if troubles else "done"
    return FirstBoot(status=status, sentence=sentence, version=version, datasource=datasource, seconds=seconds, lines=lines)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
