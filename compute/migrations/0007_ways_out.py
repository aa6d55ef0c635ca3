"""Networks with NAT get a router each, as they had a way out each: nothing that was apart meets. Then the old mark goes."""

import hashlib
from ipaddress import IPv4Network

from django.conf import settings
from django.db import migrations, models

RANGE, PREFIX = IPv4Network("100.126.0.0/16"), 22


def routers(apps, schema_editor):
    Network, Router, ExternalNetwork, Quota = (
        apps.get_model(*each)
        for each in (("compute", "Network"), ("compute", "Router"), ("compute", "ExternalNetwork"), ("identity", "Quota"))
    )
    networks = list(Network.objects.filter(nat=True, router=None).order_by("number"))
    if networks:
        external = ExternalNetwork.objects.filter(is_default=True).first() or _external(ExternalNetwork)
        cidr = IPv4Network(external.cidr)
        taken = {str(ip) for ip in Router.objects.filter(external=external).values_list("external_ip", flat=True)}
        free = (str(ip) for ip in list(cidr.hosts())[9:] if str(ip) not in taken)
        for network in networks:
            name = network.name
            while Router.objects.filter(project_id=network.project_id, name__iexact=name).exists():
                name = f"{name[:60]}-r"
            network.router = Router.objects.create(project_id=network.project_id, name=name, external=external, external_ip=next(free))
            network.save(update_fields=["router"])
            Quota.objects.filter(project_id=network.project_id, resource="routers").update(used=models.F("used") + 1)
    # Else the table could not be changed below: its new rows' references are still to be checked.
    schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def _external(ExternalNetwork):
    slot = int.from_bytes(hashlib.sha256(settings.BOX_NAME.encode()).digest()[:4]) % 2 ** (PREFIX - RANGE.prefixlen)
    cidr = IPv4Network((int(RANGE.network_address) + slot * 2 ** (32 - PREFIX), PREFIX))
    return ExternalNetwork.objects.create(
        name="public",
        description="Reached from this machine; what leaves hides behind it",
        cidr=str(cidr),
        gateway_ip=str(cidr[1]),
        pool_first=str(cidr[10]),
        pool_last=str(cidr[-2]),
        is_default=True,
    )


class Migration(migrations.Migration):

    dependencies = [
        ('compute', '0007_backups'),
    ]

    operations = [
        migrations.RunPython(routers, migrations.RunPython.noop),
        migrations.RemoveField(
            model_name='network',
            name='nat',
        ),
        migrations.AddField(
            model_name='network',
            name='ipv6_cidr',
            field=models.CharField(blank=True, max_length=43),
        ),
        migrations.AddField(
            model_name='network',
            name='ipv6_mode',
            field=models.CharField(blank=True, choices=[('slaac', 'The guests make theirs (SLAAC)'), ('dhcp-stateless', 'The guests make theirs, DHCPv6 tells the rest'), ('dhcp-stateful', 'DHCPv6 gives them out')], max_length=16),
        ),
    ]
