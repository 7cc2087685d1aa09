"""Swift's four servers in one process: `s3_entry.py FOLDER PORT ACCOUNT USER`, the secret in SWIFT_SECRET.

Run by the Python that Swift is installed for, so it imports nothing of this project. Account, container and object
server get ports of their own on loopback at each start; the rings that tell them are written anew.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

# This folder holds modules called as some that Swift may want.
del sys.path[0]

import eventlet  # noqa: E402

eventlet.patcher.monkey_patch(all=False, socket=True, select=True, thread=True)

from eventlet import wsgi  # noqa: E402
from swift.common import utils  # noqa: E402

BEHIND = ("account", "container", "object")
PROXY = """\
[DEFAULT]
swift_dir = {folder}
log_level = WARNING
[pipeline:main]
pipeline = catch_errors listing_formats s3api tempauth bulk slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{user} = {secret} .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
"""
SERVER = """\
[DEFAULT]
swift_dir = {folder}
devices = {folder}/disks
mount_check = false
disable_fallocate = true
log_level = WARNING
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""


class Memory:
    """What Swift keeps in memcached, in a dictionary: the S3 interface asks for one."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Any, float]] = {}

    def get(self, key: str, *_: Any, **__: Any) -> Any:
        """Return a value, or None once its time is over."""
        value, until = self._kept.get(key, (None, 0.0))
        return value if until > time.time() else None

    def set(self, key: str, value: Any, *_: Any, time: float = 0, **__: Any) -> None:
        """Keep a value for `time` seconds, for ever with 0."""
        self._kept[key] = (value, _until(time))

    def delete(self, key: str, *_: Any, **__: Any) -> None:
        """Forget a value."""
        self._kept.pop(key, None)

    def incr(self, key: str, delta: int = 1, time: float = 0, **_: Any) -> int:
        """Count."""
        value = int(self.get(key) or 0) + delta
        self.set(key, value, time=time)
        return value


def _until(seconds: float) -> float:
    return time.time() + seconds if seconds else float("inf")


def main(folder: Path, port: int, account: str, user: str) -> None:
    """Serve until killed."""
    (folder / "disks" / "one").mkdir(parents=True, exist_ok=True)
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = loopback\n")
    utils.set_swift_dir(str(folder))
    # They read swift.conf while they are imported.
    from swift.common.ring import RingBuilder
    from swift.common.wsgi import loadapp

    for name in BEHIND:
        listening = eventlet.listen(("127.0.0.1", 0))
        builder = RingBuilder(part_power=0, replicas=1, min_part_hours=0)
        place = {"id": 0, "region": 1, "zone": 1, "weight": 1.0, "device": "one", "meta": ""}
        here = {"ip": "127.0.0.1", "port": listening.getsockname()[1]}
        builder.add_dev(place | here | {f"replication_{name}": value for name, value in here.items()})
        builder.rebalance()
        builder.get_ring().save(str(folder / f"{name}.ring.gz"))
        settings = folder / f"{name}.conf"
        settings.write_text(SERVER.format(folder=folder, name=name))
        eventlet.spawn(wsgi.server, listening, loadapp(str(settings)), log_output=False)
    settings = folder / "proxy.conf"
    settings.touch(mode=0o600)
    secret = os.environ["SWIFT_SECRET"]
    settings.write_text(PROXY.format(folder=folder, account=account, user=user, secret=secret))
    proxy, memory = loadapp(str(settings)), Memory()

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        environ["swift.cache"] = memory
        return proxy(environ, start_response)

    wsgi.server(eventlet.listen(("127.0.0.1", port)), application, log_output=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
