"""Tell the data plane what changed.

Its workers keep buckets, access keys and projects in memory. Triggers, and not the code that writes, send the notice: so nobody who
changes a row, in whichever process, can forget it, and it is sent exactly when the change commits.
"""

from django.db import migrations

FUNCTION = """
CREATE FUNCTION cloudbox_store_notify() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    kind text := TG_ARGV[0];
    was jsonb := CASE WHEN TG_OP = 'INSERT' THEN NULL ELSE to_jsonb(OLD) END;
    now jsonb := CASE WHEN TG_OP = 'DELETE' THEN NULL ELSE to_jsonb(NEW) END;
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY TG_ARGV[1:] LOOP
        IF was IS NOT NULL THEN
            PERFORM pg_notify('cloudbox_store', kind || ' ' || (was ->> wanted));
        END IF;
        IF now IS NOT NULL AND (was IS NULL OR was ->> wanted IS DISTINCT FROM now ->> wanted) THEN
            PERFORM pg_notify('cloudbox_store', kind || ' ' || (now ->> wanted));
        END IF;
    END LOOP;
    RETURN NULL;
END $$
"""

# table, kind of the notice, the column that names what changed, which updates matter (none named: all)
TRIGGERS = [
    ("storage_bucket", "bucket", "name", ""),
    ("storage_bucket", "project", "project_id", "OF name, project_id, shared_name"),
    ("identity_accesskey", "key", "id", "OF is_active, sealed_secret, user_id, project_id"),
    ("identity_project", "project", "id", ""),
    ("identity_membership", "project", "project_id", ""),
    ("identity_user", "user", "id", "OF is_active, box_role, email"),
    ("identity_quota", "project", "project_id", 'OF "limit"'),
    ("storage_encryptionkey", "encryption-key", "id", ""),
    ("storage_encryptionkeyversion", "encryption-key", "key_id", ""),
]


def create(apps, schema_editor):
    schema_editor.execute(FUNCTION)
    for number, (table, kind, column, of) in enumerate(TRIGGERS):
        schema_editor.execute(
            f"CREATE TRIGGER store_notify_{number} AFTER INSERT OR DELETE OR UPDATE {of} ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION cloudbox_store_notify('{kind}', '{column}')"
        )


def drop(apps, schema_editor):
    for number, (table, *_) in enumerate(TRIGGERS):
        schema_editor.execute(f"DROP TRIGGER IF EXISTS store_notify_{number} ON {table}")
    schema_editor.execute("DROP FUNCTION IF EXISTS cloudbox_store_notify()")


class Migration(migrations.Migration):
    dependencies = [("storage", "0001_initial"), ("identity", "0001_initial")]
    operations = [migrations.RunPython(create, drop)]
