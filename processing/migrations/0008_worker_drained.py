from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('processing', '0007_job_in_line'),
    ]

    operations = [
        migrations.AddField(
            model_name='worker',
            name='drained',
            field=models.BooleanField(db_default=False, default=False, help_text='Asked to take no more work; what it has, it ends.'),
        ),
    ]
