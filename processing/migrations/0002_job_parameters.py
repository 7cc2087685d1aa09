
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('processing', '0001_first'),
    ]

    operations = [
        migrations.AddField(
            model_name='job',
            name='parameters',
            field=models.JSONField(blank=True, default=dict, help_text='What was asked for beside the preset.'),
        ),
    ]
