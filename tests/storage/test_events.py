"""Events of buckets: rules by S3, what is told and to whom, that nothing acknowledged goes untold, and that no address inside is asked."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from cloudbox.common import clock, outbound
from cloudbox.common.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from storage import deliveries, expirer, notifications, outbox, rounds, usage, webhooks
from storage.errors import EventUnknown, MalformedDocument
from storage.models import EventDelivery, Webhook
from tests.storage.conftest import Cloud

State = EventDelivery.State
SECRET = "a secret that both sides know"


class Ear:
    """A web server that hears what is posted to it. `answers` are the statuses of the next posts; 200 after them."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[int] = []
        ear = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                ear.heard.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(ear.answers.pop(0) if ear.answers else 200)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook?from=box"

    @property
    def records(self) -> list[dict[str, Any]]:
        return [record for _, _, body in self.heard for record in json.loads(body).get("Records", [])]

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(one["eventName"], one["s3"]["object"]["key"]) for one in self.records]


@pytest.fixture
def ear(settings: Any) -> Iterator[Ear]:
    settings.WEBHOOK_NETWORKS = ["127.0.0.0/8"]
    found = Ear()
    yield found
    found.server.shutdown()
    found.server.server_close()
    found.thread.join()


def _carry(cloud: Cloud) -> int:
    """What the first worker and the box's worker do every moment."""
    cloud.run(rounds.forward_once(cloud.plane))
    return deliveries.deliver()


@contextlib.contextmanager
def _later(seconds: float) -> Iterator[None]:
    """What happens in it happens so much later."""
    before, moment = clock.now, clock.now() + dt.timedelta(seconds=seconds)
    clock.now = lambda: moment
    try:
        yield
    finally:
        clock.now = before


Bucket = Callable[..., str]


@pytest.fixture
def bucket(cloud: Cloud, ear: Ear) -> Bucket:
    """Make a bucket whose events of these kinds go to the ear."""

    def make(*events: str, prefix: str = "", suffix: str = "") -> str:
        if not Webhook.objects.exists():
            webhooks.create(cloud.me.ctx, name="ear", url=ear.url, secret=SECRET)
        name = cloud.bucket()
        rules = [{"Name": word, "Value": value} for word, value in (("prefix", prefix), ("suffix", suffix)) if value]
        topic = {"Id": "all", "TopicArn": _arn(cloud), "Events": [f"s3:{event}" for event in events]}
        topic |= {"Filter": {"Key": {"FilterRules": rules}}} if rules else {}
        cloud.client().put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={"TopicConfigurations": [topic]})
        _carry(cloud)
        assert json.loads(ear.heard.pop()[2])["Event"] == "s3:TestEvent"
        return name

    return make


def _arn(cloud: Cloud, name: str = "ear", service: str = "sns") -> str:
    return f"arn:aws:{service}:us-east-1:{cloud.me.project.id.hex}:{name}"


def _code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


ALL = ("ObjectCreated:*", "ObjectRemoved:*", "LifecycleExpiration:*", "ObjectTagging:*", "ObjectAcl:Put")


def test_every_kind_of_change_is_told_as_s3_tells_it(cloud: Cloud, bucket: Bucket, ear: Ear) -> None:
    name, client = bucket(*ALL), cloud.client()
    put = client.put_object(Bucket=name, Key="a b/ä.txt", Body=b"first")
    client.put_object(Bucket=name, Key="large", Body=bytes(2 << 20))
    client.copy_object(Bucket=name, Key="copy", CopySource={"Bucket": name, "Key": "large"})
    upload = client.create_multipart_upload(Bucket=name, Key="parts")["UploadId"]
    part = client.upload_part(Bucket=name, Key="parts", UploadId=upload, PartNumber=1, Body=b"one")
    client.complete_multipart_upload(
        Bucket=name, Key="parts", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    client.put_object_tagging(Bucket=name, Key="large", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    client.delete_object_tagging(Bucket=name, Key="large")
    client.put_object_acl(Bucket=name, Key="large", ACL="private")
    client.delete_object(Bucket=name, Key="large")
    client.delete_object(Bucket=name, Key="never-was")
    client.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "copy"}, {"Key": "nor-this"}]})
    assert _carry(cloud) == 9
    assert ear.told == [
        ("ObjectCreated:Put", "a+b/%C3%A4.txt"),
        ("ObjectCreated:Put", "large"),
        ("ObjectCreated:Copy", "copy"),
        ("ObjectCreated:CompleteMultipartUpload", "parts"),
        ("ObjectTagging:Put", "large"),
        ("ObjectTagging:Delete", "large"),
        ("ObjectAcl:Put", "large"),
        ("ObjectRemoved:Delete", "large"),
        ("ObjectRemoved:Delete", "copy"),
    ]
    assert _carry(cloud) == 0
    path, sent, body = ear.heard[0]
    assert (path, sent["content-type"], sent["x-cloudbox-event"]) == ("/hook?from=box", "application/json", "ObjectCreated:Put")
    at, _, signature = sent["x-cloudbox-signature"].removeprefix("t=").partition(",v1=")
    assert signature == deliveries.signature(SECRET, at, body)
    first = ear.records[0]
    assert (first["eventSource"], first["awsRegion"], first["s3"]["configurationId"]) == ("aws:s3", "us-east-1", "all")
    assert first["s3"]["bucket"]["arn"] == f"arn:aws:s3:::{name}"
    assert first["s3"]["object"] | {"sequencer": ""} == {
        "key": "a+b/%C3%A4.txt", "size": 5, "eTag": put["ETag"].strip('"'), "sequencer": "",
    }  # fmt: skip
    assert first["userIdentity"]["principalId"] == cloud.me.user.id.hex
    assert first["requestParameters"]["sourceIPAddress"] == "127.0.0.1"
    assert first["responseElements"]["x-amz-request-id"] == put["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"]
    of_large = [one["s3"]["object"]["sequencer"] for one in ear.records if one["s3"]["object"]["key"] == "large"]
    assert of_large == sorted(of_large)
    assert len(set(of_large)) == 5


def test_versions_markers_and_expiry(cloud: Cloud, bucket: Bucket, ear: Ear) -> None:
    name, client = bucket(*ALL), cloud.client()
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    put = client.put_object(Bucket=name, Key="k", Body=b"1")
    marker = client.delete_object(Bucket=name, Key="k")
    client.delete_object(Bucket=name, Key="k", VersionId=marker["VersionId"])
    client.put_object(Bucket=name, Key="old/k", Body=b"1")
    client.put_bucket_lifecycle_configuration(
        Bucket=name,
        LifecycleConfiguration={"Rules": [{"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 1}}]},
    )
    _carry(cloud)
    with _later(3 * 86400):
        cloud.run(expirer.run(cloud.plane, usage.with_lifecycle()))
    _carry(cloud)
    told = [(one["eventName"], one["s3"]["object"].get("versionId")) for one in ear.records]
    assert told[:3] == [
        ("ObjectCreated:Put", put["VersionId"]),
        ("ObjectRemoved:DeleteMarkerCreated", marker["VersionId"]),
        ("ObjectRemoved:Delete", marker["VersionId"]),
    ]
    assert [event for event, _ in told[3:]] == ["ObjectCreated:Put", "LifecycleExpiration:DeleteMarkerCreated"]
    assert ear.records[-1]["userIdentity"]["principalId"] == "cloudbox"


def test_filters_choose_and_others_hear_nothing(cloud: Cloud, bucket: Bucket, ear: Ear) -> None:
    name, client = bucket("ObjectCreated:Put", prefix="in/", suffix=".jpg"), cloud.client()
    for key in ("in/a.jpg", "in/a.png", "out/a.jpg"):
        client.put_object(Bucket=name, Key=key, Body=b"x")
        client.delete_object(Bucket=name, Key=key)
    client.put_object(Bucket=name, Key="out/a.jpg", Body=b"x")
    client.copy_object(Bucket=name, Key="in/c.jpg", CopySource={"Bucket": name, "Key": "out/a.jpg"})
    assert _carry(cloud) == 1
    assert ear.told == [("ObjectCreated:Put", "in/a.jpg")]


def test_the_configuration_goes_in_and_comes_out_as_it_was(cloud: Cloud, bucket: Bucket) -> None:
    name, client = bucket("ObjectCreated:*", prefix="in/"), cloud.client()
    webhooks.create(cloud.me.ctx, name="second", url="https://hooks.example.org/")
    queue = {"Id": "q", "QueueArn": _arn(cloud, "second", "sqs"), "Events": ["s3:ObjectRemoved:Delete", "s3:ObjectTagging:*"]}
    topic = client.get_bucket_notification_configuration(Bucket=name)["TopicConfigurations"][0]
    assert topic == {
        "Id": "all", "TopicArn": _arn(cloud), "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}},
    }  # fmt: skip
    both = {"TopicConfigurations": [topic], "QueueConfigurations": [queue]}
    client.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=both)
    found = client.get_bucket_notification_configuration(Bucket=name)
    assert {kind: found[kind] for kind in both} == both
    with pytest.raises(Conflict, match=name):
        webhooks.delete(cloud.me.ctx, Webhook.objects.get(name="second").id)
    client.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={})
    assert "TopicConfigurations" not in client.get_bucket_notification_configuration(Bucket=name)
    webhooks.delete(cloud.me.ctx, Webhook.objects.get(name="second").id)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"TopicArn": "arn:aws:sns:us-east-1:{me}:nobody", "Events": ["s3:ObjectCreated:*"]}, "InvalidArgument"),
        ({"TopicArn": "arn:aws:sns:us-east-1:{stranger}:ear", "Events": ["s3:ObjectCreated:*"]}, "InvalidArgument"),
        ({"TopicArn": "ear", "Events": ["s3:ObjectCreated:*"]}, "InvalidArgument"),
        ({"TopicArn": "arn:aws:sns:us-east-1:{me}:ear", "Events": ["s3:ObjectRestore:*"]}, "InvalidArgument"),
        ({"TopicArn": "arn:aws:sns:us-east-1:{me}:ear", "Events": []}, "MalformedXML"),
        (
            {
                "TopicArn": "arn:aws:sns:us-east-1:{me}:ear", "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": "suffix", "Value": "a"}, {"Name": "suffix", "Value": "b"}]}},
            },
            "InvalidArgument",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(cloud: Cloud, bucket: Bucket, given: dict[str, Any], code: str) -> None:
    name = bucket("ObjectCreated:*")
    arn = given["TopicArn"].format(me=cloud.me.project.id.hex, stranger=cloud.stranger.project.id.hex)
    with pytest.raises(ClientError) as refused:
        cloud.client().put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration={"TopicConfigurations": [given | {"TopicArn": arn}]}
        )
    assert _code(refused) == code
    assert cloud.client().get_bucket_notification_configuration(Bucket=name)["TopicConfigurations"][0]["Id"] == "all"


def test_a_change_that_is_refused_is_not_told(cloud: Cloud, bucket: Bucket, ear: Ear) -> None:
    name, client = bucket("ObjectCreated:*", "ObjectRemoved:*"), cloud.client()
    client.put_object(Bucket=name, Key="k", Body=b"x")
    with pytest.raises(ClientError):
        client.put_object(Bucket=name, Key="k", Body=b"y", IfNoneMatch="*")
    with pytest.raises(ClientError):
        client.delete_object(Bucket=name, Key="k", IfMatch='"00000000000000000000000000000000"')
    _carry(cloud)
    assert ear.told == [("ObjectCreated:Put", "k")]
    assert not cloud.plane.store.list(outbox.QUEUE).versions


def test_a_removal_counts_once_the_version_is_gone(cloud: Cloud, bucket: Bucket, ear: Ear) -> None:
    """A worker that is killed between the line and the deletion leaves a line that must wait, and one for nothing goes in the end."""
    name, client = bucket("ObjectRemoved:*"), cloud.client()
    client.put_object(Bucket=name, Key="k", Body=b"x")
    info = cloud.run(cloud.plane.directory.find_bucket(name))

    class Killed(BaseException):
        pass

    async def killed() -> None:
        raise Killed

    async def remove() -> None:
        with pytest.raises(Killed):
            await outbox.removed(cloud.plane, info, notifications.REMOVED, b"k", "null", killed)  # type: ignore[arg-type]

    cloud.run(remove())
    assert _carry(cloud) == 0
    assert len(cloud.plane.store.list(outbox.QUEUE).versions) == 1
    client.delete_object(Bucket=name, Key="k")
    _carry(cloud)
    assert set(ear.told) == {("ObjectRemoved:Delete", "k")}
    client.put_object(Bucket=name, Key="k", Body=b"x")
    cloud.run(remove())
    before = outbox.REMOVAL_SECONDS
    outbox.REMOVAL_SECONDS = 0.0
    try:
        _carry(cloud)
    finally:
        outbox.REMOVAL_SECONDS = before
    assert not cloud.plane.store.list(outbox.QUEUE).versions
    assert set(ear.told) == {("ObjectRemoved:Delete", "k")}


def test_what_was_carried_over_before_a_kill_is_not_sent_twice(cloud: Cloud, bucket: Bucket, ear: Ear) -> None:
    name = bucket("ObjectCreated:*")
    cloud.client().put_object(Bucket=name, Key="k", Body=b"x")

    async def lines() -> list[outbox.Line]:
        return outbox.waiting(cloud.plane)[0]

    (line,) = cloud.run(lines())
    assert deliveries.accept([(line.id, line.event)]) == 1
    assert deliveries.accept([(line.id, line.event)]) == 0
    assert _carry(cloud) == 1
    assert ear.told == [("ObjectCreated:Put", "k")]


# --- delivery


@pytest.fixture
def hook(cloud: Cloud, ear: Ear) -> Webhook:
    return webhooks.create(cloud.me.ctx, name="ear", url=ear.url, secret=SECRET)[0]


def _event(hook: Webhook, key: str = "k") -> tuple[Any, dict[str, Any]]:
    event = {
        "event": "ObjectCreated:Put", "bucket": "b", "bucket_id": "", "owner": hook.project_id.hex, "region": "us-east-1",
        "name": key.encode().hex(), "version": "", "size": 1, "etag": "e", "sequencer": "1", "at": "2026-11-23T00:00:00.000Z",
        "principal": "", "address": "", "request_id": "", "to": [[hook.name, "r"]],
    }  # fmt: skip
    return uuid4(), event


def test_what_fails_is_tried_again_with_growing_pauses(hook: Webhook, ear: Ear) -> None:
    deliveries.accept([_event(hook)])
    ear.answers = [503, 302, 404]
    assert deliveries.deliver() == 0
    row = EventDelivery.objects.get()
    assert (row.state, row.attempts, row.status, row.said) == (State.WAITING, 1, 503, "It answered with 503.")
    assert deliveries.deliver() == 0, "not due yet"
    for attempt, status in ((2, 302), (3, 404)):
        with _later(deliveries.PAUSES_SECONDS[attempt - 1] + 1):
            deliveries.deliver()
        row.refresh_from_db()
        assert (row.state, row.attempts, row.status) == (State.WAITING, attempt, status)
    with _later(120):
        assert deliveries.deliver() == 1
    row.refresh_from_db()
    assert (row.state, row.attempts, row.status, row.said) == (State.DELIVERED, 4, 200, "")
    assert [sent["x-cloudbox-attempt"] for _, sent, _ in ear.heard] == ["1", "2", "3", "4"]
    assert len({sent["x-cloudbox-event-id"] for _, sent, _ in ear.heard}) == 1
    assert all(path == "/hook?from=box" for path, _, _ in ear.heard), "redirects are not followed"


def test_after_a_day_it_is_dead_and_can_be_sent_again(cloud: Cloud, hook: Webhook, ear: Ear) -> None:
    deliveries.accept([_event(hook, "first"), _event(hook, "second")])
    ear.answers = [500, 500, 500]
    deliveries.deliver()
    assert len(ear.heard) == 1, "who does not answer is not asked twice in a round"
    with _later(25 * 3600):
        deliveries.deliver()
    assert list(EventDelivery.objects.values_list("state", flat=True)) == [State.DEAD, State.DEAD]
    ear.answers = []
    assert webhooks.get(cloud.me.ctx, hook.id).dead_count == 2
    assert webhooks.redeliver_dead(cloud.me.ctx, hook.id) == 2
    assert deliveries.deliver() == 2
    assert webhooks.get(cloud.me.ctx, hook.id).dead_count == 0
    row = webhooks.redeliver(cloud.me.ctx, hook.id, EventDelivery.objects.latest("id").event_id)
    assert row.state == State.WAITING
    assert deliveries.deliver() == 1
    with _later(8 * 86400):
        assert deliveries.prune() == 2


def test_a_claim_that_was_never_settled_is_due_again(hook: Webhook, ear: Ear) -> None:
    """As after a kill of the worker between the post and the note about it."""
    deliveries.accept([_event(hook)])
    assert len(deliveries._claim()) == 1
    assert deliveries.deliver() == 0
    with _later(deliveries.LEASE.total_seconds() + 1):
        assert deliveries.deliver() == 1


def test_switched_off_nothing_is_sent_and_nothing_lost(cloud: Cloud, hook: Webhook, ear: Ear) -> None:
    deliveries.accept([_event(hook, "before")])
    webhooks.change(cloud.me.ctx, hook.id, is_enabled=False)
    deliveries.accept([_event(hook, "while")])
    assert deliveries.deliver() == 0
    assert {row.said for row in EventDelivery.objects.filter(state=State.DEAD)} == {deliveries.SWITCHED_OFF}
    with pytest.raises(Conflict, match="Switch it on"):
        webhooks.redeliver_dead(cloud.me.ctx, hook.id)
    with pytest.raises(Conflict, match="Switch it on"):
        webhooks.send_test(cloud.me.ctx, hook.id)
    webhooks.change(cloud.me.ctx, hook.id, is_enabled=True)
    assert webhooks.redeliver_dead(cloud.me.ctx, hook.id) == 2
    assert deliveries.deliver() == 2


def test_webhooks_belong_to_their_project(cloud: Cloud, hook: Webhook) -> None:
    with pytest.raises(NotFound):
        webhooks.get(cloud.stranger.ctx, hook.id)
    with pytest.raises(NotFound):
        webhooks.delete(cloud.stranger.ctx, hook.id)
    row = webhooks.send_test(cloud.me.ctx, hook.id)
    with pytest.raises(NotFound):
        webhooks.redeliver(cloud.stranger.ctx, hook.id, row.event_id)
    with pytest.raises(Forbidden):
        webhooks.create(cloud.reader.ctx, name="x", url="https://hooks.example.org/")
    with pytest.raises(AlreadyExists):
        webhooks.create(cloud.me.ctx, name="ear", url="https://hooks.example.org/")
    with pytest.raises(Invalid):
        webhooks.create(cloud.me.ctx, name="../x", url="https://hooks.example.org/")
    assert deliveries.secret_of(hook) == SECRET
    assert SECRET.encode() not in bytes(hook.sealed_secret)


# --- addresses


@pytest.mark.parametrize(
    "url",
    ["ftp://a.example.org/", "https://", "https://u:p@a.example.org/", "https://a.example.org/#x", "https://a b/", "hello", "https://a:99999/",
     "https://ä.example.org/ö", "https://a.example.org/\r\nX: y", "https://[::1", "https://" + "a" * 70 + ".example.org/"],
)  # fmt: skip
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(Invalid):
        outbound.parse(url)


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "172.16.0.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255",
     "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"],
)  # fmt: skip
def test_no_address_inside_is_asked(text: str) -> None:
    assert outbound.judge(ipaddress.ip_address(text), ())


def test_the_internet_is_asked_and_what_an_administrator_lets_in() -> None:
    assert not outbound.judge(ipaddress.ip_address("93.184.215.14"), ())
    assert not outbound.judge(ipaddress.ip_address("2606:2800:21f:cb07:6820:80da:af6b:8b2c"), ())
    assert not outbound.judge(ipaddress.ip_address("10.20.0.7"), outbound.networks(["10.20.0.0/16"]))
    assert outbound.judge(ipaddress.ip_address("10.21.0.7"), outbound.networks(["10.20.0.0/16"]))


def test_a_name_that_leads_inside_is_refused_at_each_attempt(cloud: Cloud, hook: Webhook, ear: Ear, settings: Any) -> None:
    """The name was fine when the webhook was made: what counts is where it leads when it is asked."""
    settings.WEBHOOK_NETWORKS = []
    webhooks.change(cloud.me.ctx, hook.id, url=ear.url.replace("127.0.0.1", "localhost"))
    deliveries.accept([_event(hook)])
    assert deliveries.deliver() == 0
    assert not ear.heard
    assert "must not be asked" in EventDelivery.objects.get().said


def test_nobody_there(cloud: Cloud, hook: Webhook, ear: Ear) -> None:
    webhooks.change(cloud.me.ctx, hook.id, url="http://127.0.0.1:1/")
    deliveries.accept([_event(hook)])
    assert deliveries.deliver() == 0
    assert "could not be reached" in EventDelivery.objects.get().said


# --- rules


def test_rules_are_checked_and_told() -> None:
    rule = {"id": "r", "webhook": "w", "events": ["ObjectCreated:*", "ObjectRemoved:Delete"], "prefix": "a/", "suffix": ".jpg"}
    (parsed,) = notifications.parse([rule])
    assert parsed.fits("ObjectCreated:Post", b"a/b.jpg")
    assert not parsed.fits("ObjectRemoved:DeleteMarkerCreated", b"a/b.jpg")
    assert notifications.targets([parsed, parsed], "ObjectCreated:Put", b"a/b.jpg") == [("w", "r")]
    assert notifications.told(rule) == "When an object below a/ whose name ends with .jpg is written or is deleted for good."
    for broken in ({"events": []}, {"id": "x" * 256}, {"prefix": "x" * 1025}):
        with pytest.raises(MalformedDocument):
            notifications.parse([rule | broken])
    with pytest.raises(EventUnknown):
        notifications.parse([rule | {"events": ["ObjectRestore:Post"]}])
    with pytest.raises(MalformedDocument):
        notifications.parse([rule, rule])
