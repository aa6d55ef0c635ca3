"""The shape of an error (RFC 9457)."""

from __future__ import annotations

from rest_framework import serializers


class FieldProblem(serializers.Serializer):
    field = serializers.CharField(help_text="Which part of the body or the query; empty: the whole.")
    message = serializers.CharField()


class Problem(serializers.Serializer):
    type = serializers.CharField(help_text="The address of this sort of problem in the reference.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="A sentence for people: what happened and what to do.")
    code = serializers.CharField(help_text="A word for programs; it stays the same.")
    request_id = serializers.CharField(help_text="Under which the box has logged and audited it.")
    field = serializers.CharField(required=False)
    errors = FieldProblem(many=True, required=False)
