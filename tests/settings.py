"""Django's settings for the tests: the project's own, over a data folder that is made for this run and removed after.

What the developer's shell says in VIDEOPROC_… is not for the tests, but for VIDEOPROC_TEST_… and VIDEOPROC_SAMPLES.
Programs that a test starts inherit the environment made here and load `videoproc.settings` as in real life.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

FOLDER = Path(tempfile.mkdtemp(prefix="videoproc-tests-"))
# A server that drops root must get to its folder below.
FOLDER.chmod(0o711)
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)

for name in list(os.environ):
    if name.startswith("VIDEOPROC_") and not name.startswith(("VIDEOPROC_TEST_", "VIDEOPROC_SAMPLES")):
        del os.environ[name]
os.environ["VIDEOPROC_DATA_DIR"] = str(FOLDER / "data")
os.environ["DJANGO_SETTINGS_MODULE"] = "videoproc.settings"

from videoproc.settings import *  # noqa: E402, F403

VIDEOPROC_LINE_SECONDS = 0.0  # each look is at the rows of its own test
