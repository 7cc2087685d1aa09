"""`manage.py demo`: starts the whole service, sends a video through it as any client would, and shows what happened."""

from __future__ import annotations

import signal
import sys
import threading
from argparse import ArgumentParser
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from processing.media.errors import MediaError
from videoproc.demo.client import ClientError
from videoproc.demo.run import DemoFailed, demonstrate, folder_name
from videoproc.demo.system import System, SystemFailed, running_system
from videoproc.servers.errors import ServersError

INTERRUPTED = 130


class Command(BaseCommand):
    """Exit code 0: ready, everything kept, a reason for each choice. 1: not so. 2: it could not be tried."""

    help = "Start the service on a free port, enhance a made clip or a video of yours, and show what happened."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the video and where results go."""
        parser.add_argument("video", nargs="?", type=Path, help="a video file; without one, a clip is made")
        parser.add_argument("--video", dest="named_video", type=Path, help="the same")
        parser.add_argument("--output", type=Path, default=Path("demo-output"), help="default: ./demo-output")
        parser.add_argument("--keep-running", action="store_true", help="serve on until interrupted")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the demonstration; what fails is said in one sentence."""
        signal.signal(signal.SIGTERM, _interrupt)
        video: Path | None = options["video"] or options["named_video"]
        if video is not None and not video.is_file():
            raise CommandError(f"there is no file {video}", returncode=2)
        folder: Path = options["output"] / folder_name(video)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with running_system(settings.BASE_DIR / "manage.py", options["output"]) as system:
                self.stdout.write(f"the service runs on {system.url}")
                self.stdout.flush()
                demonstrate(system.url, video, folder, sys.stdout)
                self.stdout.write(f"done: see {folder}/")
                if options["keep_running"]:
                    self._serve_on(system)
        except (SystemFailed, ServersError) as exc:
            raise CommandError(str(exc), returncode=2) from exc
        except (DemoFailed, ClientError, MediaError, OSError) as exc:
            raise CommandError(f"this is no success: {exc}") from exc
        except KeyboardInterrupt:
            raise CommandError("interrupted", returncode=INTERRUPTED) from None

    def _serve_on(self, system: System) -> None:
        self.stdout.write(f"still running on {system.url}/ until you press Ctrl-C")
        if system.sign_in_url:
            self.stdout.write(f"sign in once: {system.sign_in_url}")
        self.stdout.flush()
        pause = threading.Event()
        while system.running:
            pause.wait(1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
