"""Which events of a bucket go where, in S3's XML. A topic or a queue is a webhook of the project, by the name at the end of its ARN."""

from __future__ import annotations

from typing import Any

from storage import webhooks
from storage.api.s3 import xml
from storage.api.s3.call import Call
from storage.api.s3.configuration import answer, edit
from storage.api.s3.errors import S3Error
from storage.server import Response

# Element -> (its ARN's element, the service in the ARN, what is kept)
_FORMS = {"TopicConfiguration": ("Topic", "sns", "topic"), "QueueConfiguration": ("Queue", "sqs", "queue")}


async def get(call: Call) -> Response:
    call.allow("s3:GetBucketNotification")
    rules = call.bucket.documents.get("notification") or []
    return answer("NotificationConfiguration", *(_out(call, rule) for rule in rules))


def _out(call: Call, rule: dict[str, Any]) -> str:
    form = next(name for name, (_, _, kind) in _FORMS.items() if kind == rule.get("kind", "topic"))
    element, service, _ = _FORMS[form]
    arn = f"arn:aws:{service}:{call.plane.region}:{call.bucket.owner}:{rule['webhook']}"
    filters = "".join(
        f"<FilterRule>{xml.element('Name', name)}{xml.element('Value', rule[name])}</FilterRule>"
        for name in ("prefix", "suffix")
        if rule.get(name)
    )
    return (
        f"<{form}>{xml.element('Id', rule['id'])}{xml.element(element, arn)}"
        + "".join(xml.element("Event", f"s3:{event}") for event in rule["events"])
        + (f"<Filter><S3Key>{filters}</S3Key></Filter>" if filters else "")
        + f"</{form}>"
    )


async def put(call: Call) -> Response:
    """All rules at once; an empty document takes them away."""
    call.allow("s3:PutBucketNotification")
    document = await call.xml("NotificationConfiguration")
    rules = [_in(call, element) for element in document]
    await edit(call, webhooks.editing(rules))
    return Response(200)


def _in(call: Call, element: xml.Element) -> dict[str, Any]:
    if element.name not in _FORMS:
        raise S3Error("NotImplemented", f"{element.name} is not here. Topics and queues are, as webhooks of the project.")
    name, _, kind = _FORMS[element.name]
    arn = element.need(name)
    parts = arn.split(":")
    if len(parts) != 6 or parts[:2] != ["arn", "aws"] or parts[2] not in ("sns", "sqs"):
        raise S3Error("InvalidArgument", "The ARN could not be parsed", ArgumentName=name, ArgumentValue=arn)
    owner = call.bucket.owner
    if parts[4] not in ("", owner, call.who.principal.account_name if call.who.project == owner else owner):
        raise S3Error("InvalidArgument", "The webhook has to be one of the bucket's project.", ArgumentName=name, ArgumentValue=arn)
    events = [one.text.strip() for one in element.all("Event")]
    rule: dict[str, Any] = {
        "id": element.get("Id") or "",
        "webhook": parts[5],
        "events": [event.removeprefix("s3:") for event in events],
        "kind": kind,
    }
    where = element.find("Filter")
    key = where.find("S3Key") if where is not None else None
    for one in key.all("FilterRule") if key is not None else []:
        which = one.need("Name").lower()
        if which not in ("prefix", "suffix"):
            raise S3Error("InvalidArgument", "filter rule name must be either prefix or suffix", ArgumentName="FilterRule.Name")
        if which in rule:
            raise S3Error("InvalidArgument", "Cannot specify more than one prefix rule and one suffix rule in a filter.")
        rule[which] = one.get("Value") or ""
    return rule
