from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('processing', '0005_step_hinted'),
    ]

    operations = [
        migrations.AddField(
            model_name='step',
            name='release',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='Of the code that wrote what the step works on; older workers leave it.'),
        ),
    ]
