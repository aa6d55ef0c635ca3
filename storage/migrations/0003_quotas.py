"""Give the projects that are there already the quotas of object storage, with their defaults."""

from django.db import migrations

DEFAULTS = {"buckets": 100, "objects": 10_000_000, "object_gib": 100}


def open_quotas(apps, schema_editor):
    Project, Quota = apps.get_model("identity", "Project"), apps.get_model("identity", "Quota")
    rows = [Quota(project=project, resource=name, limit=limit) for project in Project.objects.all() for name, limit in DEFAULTS.items()]
    Quota.objects.bulk_create(rows, ignore_conflicts=True)


class Migration(migrations.Migration):
    dependencies = [("storage", "0002_notify"), ("identity", "0001_initial")]
    operations = [migrations.RunPython(open_quotas, migrations.RunPython.noop)]
