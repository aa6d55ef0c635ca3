"""What is said of volumes by hand: whether they boot, whether they are only ever attached read-only; and names of offers."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("compute", "0015_image_exports")]
    operations = [
        migrations.AddField("volume", "is_bootable", models.BooleanField(null=True)),
        migrations.AddField("volume", "attaches_read_only", models.BooleanField(null=True)),
        migrations.AddField("volumetransfer", "name", models.CharField(blank=True, max_length=255)),
    ]
