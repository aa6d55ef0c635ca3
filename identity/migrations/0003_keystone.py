import cloudbox.common.clock
import django.db.models.deletion
import django.db.models.functions.text
import uuid
from django.conf import settings
from django.db import migrations, models

# Whichever door changes a password or suspends a user, tokens from before are void. A whole row that was read earlier and is saved
# later must not make them good again.
TOKENS_SINCE = """
CREATE FUNCTION cloudbox_tokens_since() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.tokens_since := GREATEST(OLD.tokens_since, NEW.tokens_since);
    IF NEW.password IS DISTINCT FROM OLD.password OR (OLD.is_active AND NOT NEW.is_active) THEN
        NEW.tokens_since := clock_timestamp();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER tokens_since BEFORE UPDATE ON identity_user FOR EACH ROW EXECUTE FUNCTION cloudbox_tokens_since()
"""


class Migration(migrations.Migration):

    dependencies = [
        ('identity', '0002_looks_and_tokens'),
    ]

    operations = [
        migrations.CreateModel(
            name='CustomGrant',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
            ],
        ),
        migrations.CreateModel(
            name='CustomRole',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=64, unique=True)),
                ('description', models.CharField(blank=True, max_length=255)),
            ],
        ),
        migrations.CreateModel(
            name='RevokedToken',
            fields=[
                ('audit_id', models.CharField(max_length=22, primary_key=True, serialize=False)),
                ('expires_at', models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.AddField(
            model_name='apitoken',
            name='description',
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.AddField(
            model_name='apitoken',
            name='unrestricted',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='domain',
            name='is_enabled',
            field=models.BooleanField(default=True),
        ),
        migrations.AddField(
            model_name='user',
            name='default_project',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='identity.project'),
        ),
        migrations.AddField(
            model_name='user',
            name='description',
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.AddField(
            model_name='user',
            name='login',
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.AddField(
            model_name='user',
            name='tokens_since',
            field=models.DateTimeField(default=cloudbox.common.clock.now),
        ),
        migrations.AlterField(
            model_name='apitoken',
            name='digest',
            field=models.CharField(max_length=128),
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.UniqueConstraint(django.db.models.functions.text.Lower('login'), models.F('domain'), condition=models.Q(('login', ''), _negated=True), name='user_login_unique'),
        ),
        migrations.AddField(
            model_name='customgrant',
            name='project',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='custom_grants', to='identity.project'),
        ),
        migrations.AddField(
            model_name='customgrant',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='custom_grants', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='customgrant',
            name='role',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='grants', to='identity.customrole'),
        ),
        migrations.AddConstraint(
            model_name='customgrant',
            constraint=models.UniqueConstraint(fields=('user', 'project', 'role'), name='custom_grant_unique'),
        ),
        migrations.RunSQL(TOKENS_SINCE, "DROP TRIGGER tokens_since ON identity_user; DROP FUNCTION cloudbox_tokens_since()"),
    ]
