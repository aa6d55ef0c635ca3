import django.db.models.deletion
import django.db.models.functions.text
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('compute', '0022_snippets'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='VpnGateway',
            fields=[
                ('router', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='vpn', serialize=False, to='compute.router')),
                ('number', models.PositiveSmallIntegerField(unique=True)),
                ('port', models.PositiveIntegerField(default=51820)),
                ('public_key', models.CharField(max_length=44)),
                ('sealed_key', models.TextField()),
            ],
        ),
        migrations.CreateModel(
            name='VpnPeer',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=64)),
                ('public_key', models.CharField(max_length=44)),
                ('ip', models.GenericIPAddressField(protocol='IPv4')),
                ('handshake_at', models.DateTimeField(null=True)),
                ('bytes_in', models.PositiveBigIntegerField(default=0)),
                ('bytes_out', models.PositiveBigIntegerField(default=0)),
                ('seen_in', models.PositiveBigIntegerField(default=0)),
                ('seen_out', models.PositiveBigIntegerField(default=0)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('gateway', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='peers', to='compute.vpngateway')),
                ('network', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='vpn_peers', to='compute.network')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='vpn_peers', to='identity.project')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['name'],
                'constraints': [
                    models.UniqueConstraint(models.F('project'), django.db.models.functions.text.Lower('name'), name='vpn_peer_name_unique'),
                    models.UniqueConstraint(fields=('gateway', 'public_key'), name='vpn_peer_key_unique'),
                    models.UniqueConstraint(fields=('gateway', 'ip'), name='vpn_peer_ip_unique'),
                ],
            },
        ),
    ]
