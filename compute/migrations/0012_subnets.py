"""Ranges of networks have ids and names, for APIs that know networks and subnets apart."""

import uuid

from django.db import migrations, models


def _give_ids(apps, schema_editor):
    network = apps.get_model("compute", "Network")
    for id in network.objects.values_list("id", flat=True):
        network.objects.filter(id=id).update(subnet_id=uuid.uuid4())


class Migration(migrations.Migration):
    dependencies = [("compute", "0011_shared_names")]

    operations = [
        migrations.AddField("network", "subnet_name", models.CharField(max_length=255, blank=True, default=""), preserve_default=False),
        migrations.AddField("network", "subnet_id", models.UUIDField(null=True)),
        migrations.RunPython(_give_ids, migrations.RunPython.noop),
        migrations.AlterField("network", "subnet_id", models.UUIDField(unique=True, null=True, default=uuid.uuid4)),
    ]
