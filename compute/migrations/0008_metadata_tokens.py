from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('compute', '0007_ways_out'),
    ]

    operations = [
        migrations.AddField(
            model_name='instance',
            name='token_hops',
            field=models.PositiveSmallIntegerField(default=1),
        ),
        migrations.AddField(
            model_name='instance',
            name='tokens_required',
            field=models.BooleanField(default=False),
        ),
    ]
