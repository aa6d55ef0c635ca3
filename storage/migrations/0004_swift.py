"""What Swift keeps with accounts, and notices of what ends a token."""

import django.db.models.deletion
from django.db import migrations, models

# table, kind of the notice, the column that names what changed, when
TRIGGERS = [
    ("storage_accountsettings", "project", "project_id", "INSERT OR DELETE OR UPDATE"),
    ("identity_user", "user", "id", "UPDATE OF password, login, domain_id"),
    ("identity_customgrant", "project", "project_id", "INSERT OR DELETE OR UPDATE"),
    ("identity_revokedtoken", "token", "audit_id", "INSERT"),
    ("identity_apitoken", "token", "id", "DELETE OR UPDATE OF role, expires_at, reaches_box, user_id, project_id"),
]


def create(apps, schema_editor):
    for number, (table, kind, column, when) in enumerate(TRIGGERS):
        schema_editor.execute(
            f"CREATE TRIGGER swift_notify_{number} AFTER {when} ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION cloudbox_store_notify('{kind}', '{column}')"
        )


def drop(apps, schema_editor):
    for number, (table, *_) in enumerate(TRIGGERS):
        schema_editor.execute(f"DROP TRIGGER IF EXISTS swift_notify_{number} ON {table}")


class Migration(migrations.Migration):
    dependencies = [("storage", "0003_quotas"), ("identity", "0003_keystone")]
    operations = [
        migrations.CreateModel(
            name="AccountSettings",
            fields=[
                (
                    "project",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="account_settings",
                        serialize=False,
                        to="identity.project",
                    ),
                ),
                ("documents", models.JSONField(default=dict)),
            ],
        ),
        migrations.RunPython(create, drop),
    ]
