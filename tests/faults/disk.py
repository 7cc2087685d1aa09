"""The storage on a small disk of its own: a tmpfs mounted over the storage folder, which a test fills and frees.

Mounting needs root. Invariant: after close() the storage is the folder that it was, with all files.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.faults.system import FaultyServer

SPARE_MIB = 96
"""How much larger the disk is than what lies in the storage already."""
RESERVE_BYTES = 8 * 1024**2


class Disk:
    """Moves a system's storage to a small disk; its processes are restarted with a reserve that fits there."""

    def __init__(self, system: FaultyServer) -> None:
        self._system = system
        self._ballast = system.storage / "ballast"
        self._restart({"VIDEOPROC_FREE_BYTES": str(RESERVE_BYTES)}, self._mount)

    def fill(self) -> None:
        """Leave less than the reserve, and no room for a segment."""
        with self._ballast.open("wb") as file:
            try:
                while True:
                    file.write(b"\0" * 65536)
                    file.flush()
            except OSError:
                return

    def free(self) -> None:
        """Give the space back."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Put the storage back where it was."""
        self.free()
        self._restart({}, self._unmount)

    def _restart(self, variables: dict[str, str], between: object) -> None:
        for name in ("web", "worker", "dispatch"):
            self._system.end(name)
        assert callable(between)
        between()
        for name in ("dispatch", "worker", "web"):
            self._system.run(name, variables=variables)
        self._system.mend()

    def _mount(self) -> None:
        aside = self._aside()
        self._system.storage.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self._system.storage, aside)
        used_mib = sum(path.stat().st_size for path in aside.rglob("*")) >> 20
        size = f"size={used_mib + SPARE_MIB}m,mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", self._system.storage], check=True)
        shutil.copytree(aside, self._system.storage, dirs_exist_ok=True)
        shutil.rmtree(aside)

    def _unmount(self) -> None:
        aside = self._aside()
        shutil.copytree(self._system.storage, aside)
        subprocess.run(["umount", self._system.storage], check=True)
        shutil.rmtree(self._system.storage)
        shutil.copytree(aside, self._system.storage)
        shutil.rmtree(aside)

    def _aside(self) -> Path:
        return self._system.folder / "aside"
