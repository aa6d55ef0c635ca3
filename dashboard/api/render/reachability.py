"""The answer to "why can't I reach it", and what is connected to what."""

from __future__ import annotations

from rest_framework import serializers

from dashboard.api.render.compute import Named, RuleShape


class ThingShape(serializers.Serializer):
    noun = serializers.CharField(help_text="As in addresses: instances, ports, networks, routers, security-groups.")
    id = serializers.UUIDField()
    name = serializers.CharField()


class StepShape(serializers.Serializer):
    title = serializers.CharField()
    sentence = serializers.CharField()
    passes = serializers.BooleanField()
    about = ThingShape(allow_null=True)
    rule = RuleShape(allow_null=True)


class FixShape(serializers.Serializer):
    sentence = serializers.CharField()
    about = ThingShape(allow_null=True)


class AnswerShape(serializers.Serializer):
    """`leaves`: it goes where the project does not see."""

    verdict = serializers.ChoiceField(["reaches", "blocked", "leaves"])
    sentence = serializers.CharField()
    steps = StepShape(many=True)
    fix = FixShape(allow_null=True)


class _Card(serializers.Serializer):
    id = serializers.UUIDField(help_text="The port.")
    ip = serializers.CharField()
    ip6 = serializers.CharField(help_text="Empty: the network has no IPv6.")
    instance = Named(allow_null=True)
    status = serializers.CharField(source="instance.status", default="", help_text="Of the instance.")


class _Segment(serializers.Serializer):
    network = Named()
    cidr = serializers.CharField(source="network.cidr")
    ipv6_cidr = serializers.CharField(source="network.ipv6_cidr", help_text="Empty: it has no IPv6.")
    ports = _Card(many=True)
    more = serializers.IntegerField(help_text="Ports that are not told here; `ports` lists them.")


class BranchShape(serializers.Serializer):
    router = Named(allow_null=True, help_text="null: these networks hang on none.")
    external = Named(allow_null=True, help_text="Where it leads outside.")
    segments = _Segment(many=True)
