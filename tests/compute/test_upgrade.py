"""A box from before routers: each network that had a way out gets a router of its own, and nothing else changes."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from compute import external_networks
from compute.models import Network
from identity import quotas


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_networks_keep_their_way_out() -> None:
    """Two projects with the same names and ranges, one network without NAT: three routers, on three addresses of one external network,
    and the quotas say so."""
    leaves = MigrationExecutor(connection).loader.graph.leaf_nodes()
    executor = MigrationExecutor(connection)
    executor.migrate([("compute", "0006_ports_two")])
    old = executor.loader.project_state([("compute", "0006_ports_two"), ("identity", "0003_keystone")]).apps
    try:
        for number in range(2):
            domain = old.get_model("identity", "Domain").objects.get_or_create(name="default")[0]
            project = old.get_model("identity", "Project").objects.create(id=uuid4(), name=f"P{number}", slug=f"p{number}", domain=domain)
            old.get_model("identity", "Quota").objects.create(project=project, resource="routers", limit=5)
            for index, (name, nat) in enumerate((("private", True), ("closed", False), *((("back", True),) if number else ()))):
                old.get_model("compute", "Network").objects.create(
                    number=1 + number * 10 + index,
                    project=project,
                    name=name,
                    cidr=f"10.{index}.0.0/24",
                    gateway_ip=f"10.{index}.0.1",
                    nat=nat,
                )
    finally:
        MigrationExecutor(connection).migrate(leaves)
    rows = Network.objects.select_related("router__external").order_by("number")
    assert [(row.name, row.nat) for row in rows] == [
        ("private", True),
        ("closed", False),
        ("private", True),
        ("closed", False),
        ("back", True),
    ]
    ways = [row.router for row in rows if row.router]
    assert [way.name for way in ways] == ["private", "private", "back"]
    assert len({way.external_ip for way in ways}) == 3
    assert {way.external for way in ways} == {external_networks.default()}
    assert quotas.Quota.objects.filter(resource="routers").order_by("used").values_list("used", flat=True)[0] == 1
