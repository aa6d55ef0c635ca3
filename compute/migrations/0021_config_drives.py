from django.db import migrations, models

CHOICES = [('nocloud', 'NoCloud (cidata)'), ('openstack', 'OpenStack config drive (config-2)')]


def take_up(apps, schema_editor):
    """What Glance's clients had noted of their images until now without any effect."""
    image = apps.get_model("compute", "Image")
    for row in image.objects.filter(properties__has_key="img_config_drive"):
        if row.properties.pop("img_config_drive") == "mandatory":
            row.config_drive = "openstack"
        row.save(update_fields=["properties", "config_drive"])


class Migration(migrations.Migration):

    dependencies = [
        ('compute', '0020_image_copies'),
    ]

    operations = [
        migrations.AddField(
            model_name='image',
            name='config_drive',
            field=models.CharField(blank=True, choices=CHOICES, max_length=10),
        ),
        migrations.AddField(
            model_name='instance',
            name='config_drive',
            field=models.CharField(blank=True, choices=CHOICES, max_length=10),
        ),
        migrations.RunPython(take_up, migrations.RunPython.noop),
    ]
