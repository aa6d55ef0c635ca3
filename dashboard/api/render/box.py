"""The box as a whole, to those who look after it."""

from __future__ import annotations

from rest_framework import serializers


class HostShape(serializers.Serializer):
    name = serializers.CharField()
    accelerator = serializers.CharField()
    hypervisor = serializers.CharField()
    vcpus = serializers.IntegerField()
    vcpus_used = serializers.IntegerField()
    memory_mib = serializers.IntegerField()
    memory_used_mib = serializers.IntegerField()
    disk_gib = serializers.IntegerField()
    disk_free_gib = serializers.IntegerField()
    disk_used_gib = serializers.IntegerField()
    instances = serializers.IntegerField()
    running = serializers.IntegerField()
    load = serializers.FloatField()


class ComponentShape(serializers.Serializer):
    name = serializers.CharField()
    state = serializers.ChoiceField(["ok", "warn", "bad"])
    sentence = serializers.CharField()
