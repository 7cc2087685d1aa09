
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('processing', '0001_first'),
    ]

    operations = [
        migrations.AddField(
            model_name='job',
            name='parameters',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict, help_text='Asked for beside the preset.'),
        ),
    ]
