"""What people and programs note of images: tags and properties."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("compute", "0016_volume_words")]
    operations = [
        migrations.AddField("image", "tags", models.JSONField(blank=True, default=list)),
        migrations.AddField("image", "properties", models.JSONField(blank=True, default=dict)),
    ]
