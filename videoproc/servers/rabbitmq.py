"""A private RabbitMQ on 127.0.0.1 with its own epmd, cookie, user and virtual host; there is no guest.

Its first start loads the user from a definitions file. Invariant: three loopback ports and one folder, nothing else: no
default port, no ~/.erlang.cookie, no /etc/rabbitmq.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import secrets
import socket
import subprocess
import time
from pathlib import Path

import amqp

from videoproc.servers import ports
from videoproc.servers.errors import ServerFailed
from videoproc.servers.process import Command, Process, start, tail
from videoproc.servers.programs import RABBITMQ, Program, obtain
from videoproc.servers.server import POLL_SECONDS, Server

DEPLOYED = Path(__file__).parents[2] / "deploy/rabbitmq"
"""Policies, dead letters and limits, as in the reference deployment."""
USER = "videoproc"
VIRTUAL_HOST = "videoproc"
EPMD_SECONDS = 10


class RabbitMQ(Server):
    """A RabbitMQ server with a virtual host `videoproc`."""

    name = "rabbitmq"
    start_seconds = 90.0

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        super().__init__(folder, durable=durable)
        self.port = ports.reserve()
        self._distribution_port = ports.reserve()
        self._epmd_port = ports.reserve()
        # The node's name is written into its data, so it must not change with the port; each epmd knows one node.
        self._node = f"{USER}@127.0.0.1"
        self._epmd: Process | None = None
        self._virtual_hosts = itertools.count(1)

    @property
    def url(self) -> str:
        """The virtual host `videoproc`."""
        return self._virtual_host_url(VIRTUAL_HOST)

    @property
    def pids(self) -> list[int]:
        """All its living processes, epmd's among them."""
        return super().pids + (self._epmd.pids if self._epmd is not None else [])

    def fresh_virtual_host(self) -> str:
        """The url of a new virtual host, with policies and no messages."""
        name = f"fresh_{os.getpid()}_{next(self._virtual_hosts)}"
        self._order(f'rabbit_vhost:add(<<"{name}">>, <<"{USER}">>)')
        everything = '<<".*">>, <<".*">>, <<".*">>'
        self._order(
            f'rabbit_auth_backend_internal:set_permissions(<<"{USER}">>, <<"{name}">>, {everything}, <<"{USER}">>)'
        )
        body = json.dumps(_policies(name)).replace("\\", "\\\\").replace('"', '\\"')
        self._order(f'rabbit_definitions:import_raw(<<"{body}">>)')
        return self._virtual_host_url(name)

    def stop(self) -> None:
        """Stop the node, then its epmd."""
        super().stop()
        if self._epmd is not None:
            self._epmd.stop()

    def kill9(self) -> None:
        """Kill the node and its epmd."""
        super().kill9()
        if self._epmd is not None:
            self._epmd.kill9()

    def _virtual_host_url(self, name: str) -> str:
        return f"amqp://{USER}:{self.password}@127.0.0.1:{self.port}/{name}"

    def _command(self) -> Command:
        program = obtain(RABBITMQ)
        self._write_files()
        environment = self._environment(program)
        self._start_epmd(program, environment)
        return Command(
            words=[program.executables["rabbitmq-server"]],
            environment=environment,
            folder=self.folder,
            log=self.log,
        )

    def _environment(self, program: Program) -> dict[str, str]:
        return program.environment(self.folder) | {
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP_SECONDS": "0",
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_USE_LONGNAME": "true",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false",
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "no-such-file"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "no-such-file"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            # The script then becomes the node instead of waiting beside it, so signals reach the node.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _write_files(self) -> None:
        cookie = self.folder / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(mode=0o600)
            cookie.write_text(secrets.token_hex(20))
            cookie.chmod(0o400)
        definitions = self.folder / "definitions.json"
        definitions.touch(mode=0o600)
        definitions.write_text(json.dumps(_definitions(self.password)))
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"load_definitions = {definitions}\n"
            "log.console.level = info\n" + (DEPLOYED / "videoproc.conf").read_text()
        )

    def _start_epmd(self, program: Program, environment: dict[str, str]) -> None:
        if self._epmd is not None and self._epmd.running:
            return
        log = self.folder / "epmd.log"
        words: list[str | Path] = [program.executables["epmd"], "-port", str(self._epmd_port), "-address", "127.0.0.1"]
        self._epmd = start(Command(words=words, environment=environment, folder=self.folder, log=log))
        deadline = time.monotonic() + EPMD_SECONDS
        while not _listens(self._epmd_port):
            if not self._epmd.running or time.monotonic() > deadline:
                self._epmd.kill9()
                raise ServerFailed(f"epmd did not start; {tail(log)}")
            time.sleep(POLL_SECONDS)

    def _order(self, call: str) -> None:
        """Have the node evaluate `module:function(arguments)`; it must return ok."""
        program = obtain(RABBITMQ)
        function, _, arguments = call.rstrip(")").partition("(")
        module, _, name = function.partition(":")
        answer = f"rpc:call('{self._node}', {module}, {name}, [{arguments}], 20000)"
        script = f'case {answer} of ok -> halt(0); Other -> io:format("~p~n", [Other]), halt(1) end.'
        speaker = f"{USER}_{secrets.token_hex(4)}@127.0.0.1"
        options = ["-noinput", "-hidden", "-boot", "no_dot_erlang", "-start_epmd", "false"]
        options += ["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]
        done = subprocess.run(
            [program.executables["erl"], *options, "-name", speaker, "-eval", script],
            cwd=self.folder,
            env=self._environment(program),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"RabbitMQ refused {function}: {(done.stdout + done.stderr).strip()[-600:]}")

    def _answers(self) -> bool:
        if not _listens(self.port):
            return False
        connection = amqp.Connection(
            host=f"127.0.0.1:{self.port}",
            userid=USER,
            password=self.password,
            virtual_host=VIRTUAL_HOST,
            connect_timeout=5,
            read_timeout=5,
        )
        try:
            connection.connect()
            connection.close()
        except (amqp.AMQPError, OSError):
            return False
        return True


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _definitions(password: str) -> dict[str, object]:
    """A definitions file with one user and one virtual host; the hash as documented under "Password hashing"."""
    salt = secrets.token_bytes(4)
    digest = base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [
            {
                "name": USER,
                "password_hash": digest,
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": ["administrator"],
            }
        ],
        "vhosts": [{"name": VIRTUAL_HOST}],
        "permissions": [{"user": USER, "vhost": VIRTUAL_HOST, **everything}],
        **_policies(VIRTUAL_HOST),
    }


def _policies(virtual_host: str) -> dict[str, list[dict[str, object]]]:
    """The deployed definitions, for a virtual host of this name."""
    deployed: dict[str, list[dict[str, object]]] = json.loads((DEPLOYED / "definitions.json").read_text())
    return {kind: [entry | {"vhost": virtual_host} for entry in entries] for kind, entries in deployed.items()}
