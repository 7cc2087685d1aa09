"""A private PostgreSQL on 127.0.0.1 with one user and a password; as root it runs as `nobody`, for it refuses root.

Invariant: no socket but the loopback port, and no database without the password.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from videoproc.servers import ports
from videoproc.servers.errors import ServerFailed
from videoproc.servers.process import Command
from videoproc.servers.programs import POSTGRESQL, Program, obtain
from videoproc.servers.server import Server, check_reach, unprivileged_user

USER = "videoproc"
DATABASE = "videoproc"


class PostgreSQL(Server):
    """A PostgreSQL server with an empty database `videoproc`."""

    name = "postgresql"

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        super().__init__(folder, durable=durable)
        self.port = ports.reserve()
        self._user = unprivileged_user()

    @property
    def url(self) -> str:
        """The database `videoproc`."""
        return self.database_url(DATABASE)

    def database_url(self, database: str) -> str:
        """The url of one database of this server."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it and make sure that its database exists."""
        super().start()
        with psycopg.connect(self.database_url("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if known is None:
            create_database(self.database_url("postgres"), DATABASE)

    def _command(self) -> Command:
        program = obtain(POSTGRESQL)
        data = self.folder / "data"
        if self._user is not None:
            check_reach(self.folder, self._user)
            check_reach(program.executables["postgres"], self._user)
            os.chown(self.folder, self._user.uid, self._user.gid)
        if not data.is_dir():
            self._make_cluster(program, data)
        settings = {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": ""}
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        switches: list[str | Path] = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return Command(
            words=[program.executables["postgres"], "-D", data, *switches],
            environment=program.environment(self.folder),
            folder=self.folder,
            log=self.log,
            user=self._user,
            # Fast shutdown: disconnects clients and writes a checkpoint. SIGTERM would wait for every client.
            stop_signal=signal.SIGINT,
        )

    def _make_cluster(self, program: Program, data: Path) -> None:
        begun = data.with_name("data.begun")
        shutil.rmtree(begun, ignore_errors=True)
        password = self.folder / "password"
        if self._user is not None:
            os.chown(password, self._user.uid, self._user.gid)
        options = ["-D", str(begun), f"--username={USER}", f"--pwfile={password}"]
        options += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        options += [] if self.durable else ["--no-sync"]
        done = subprocess.run(
            [program.executables["initdb"], *options],
            cwd=self.folder,
            env=program.environment(self.folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            user=None if self._user is None else self._user.uid,
            group=None if self._user is None else self._user.gid,
            extra_groups=None if self._user is None else [],
        )
        if done.returncode != 0:
            raise ServerFailed(f"initdb failed: {(done.stderr or done.stdout).strip()[-800:]}")
        begun.rename(data)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.database_url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def create_database(url: str, name: str, template: str = "template0") -> str:
    """Create a database on the server that `url` reaches, empty or a copy of `template`; returns its url.

    Raises:
        psycopg.Error: the name is taken, the user may not, or somebody is connected to the template.
    """
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name}"))
