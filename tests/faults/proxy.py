"""A TCP proxy whose wire a test can cut, freeze, slow down, make one-way, or lead elsewhere, at once or at a word that
goes by. Invariant: after heal() bytes flow both ways, in order, and none was changed; close() leaves no thread and no
socket.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from videoproc.servers import ports

PIECE_BYTES = 65536


@dataclass(kw_only=True)
class Trap:
    """What is to be done once certain words went by on some connection, and so many pieces of it after them."""

    words: tuple[bytes, ...]
    pieces: int
    act: Callable[[], object]
    ends: frozenset[socket.socket] = frozenset()
    sprung: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """Listens on `port` of an address, loopback's or a test host's, and passes on to `target`, a port on 127.0.0.1."""

    def __init__(self, target: int, *, address: str = "127.0.0.1") -> None:
        self.port = ports.reserve()
        self._home = self._target = target
        self._delay_seconds = 0.0
        self._refusing = False
        self._closed = False
        self._lock = threading.Lock()
        self._flows = {"there": threading.Event(), "back": threading.Event()}
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._traps: list[Trap] = []
        self._listener = socket.create_server((address, self.port), backlog=128)
        self.heal()
        threading.Thread(target=self._accept, name=f"proxy-{self.port}", daemon=True).start()

    def cut(self) -> None:
        """Reset every connection, and each new one, until heal()."""
        self._refusing = True
        self.reset()

    def reset(self) -> None:
        """Reset every connection; new ones may come."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def freeze(self, *directions: str) -> None:
        """Let nothing through any more, connections staying open: "there", "back", or both where none is named."""
        for direction in directions or tuple(self._flows):
            self._flows[direction].clear()

    def slow(self, seconds: float) -> None:
        """Hold each piece back for so long."""
        self._delay_seconds = seconds

    def divert(self, port: int) -> None:
        """Lead to another server, until heal(), whoever was connected too."""
        self._target = port
        self.reset()

    def when(self, act: Callable[[], object], *words: bytes, pieces: int = 0) -> threading.Event:
        """Act once, before a piece with all these words goes on, or the one so many after it on the same connection.

        Returns what is set when that is done.
        """
        trap = Trap(words=words, pieces=pieces, act=act)
        with self._lock:
            self._traps.append(trap)
        return trap.sprung

    def heal(self) -> None:
        """Be a plain wire again."""
        if self._target != self._home:
            self.divert(self._home)
        self._delay_seconds = 0.0
        self._refusing = False
        for flow in self._flows.values():
            flow.set()

    def close(self) -> None:
        """Stop listening and end all connections."""
        self._closed = True
        self.heal()
        self._listener.close()
        self.reset()
        ports.release(self.port)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._pairs.add((client, server))
            for source, sink, direction in ((client, server, "there"), (server, client, "back")):
                threading.Thread(
                    target=self._pump, args=(source, sink, direction), name=f"proxy-{self.port}", daemon=True
                ).start()

    def _spring(self, piece: bytes, ends: frozenset[socket.socket]) -> None:
        due = []
        with self._lock:
            for trap in list(self._traps):
                if trap.ends == ends:
                    trap.pieces -= 1
                elif not trap.ends and all(word in piece for word in trap.words):
                    trap.ends = ends
                else:
                    continue
                if not trap.pieces:
                    self._traps.remove(trap)
                    due.append(trap)
        for trap in due:
            trap.act()
            trap.sprung.set()

    def _pump(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        flow = self._flows[direction]
        try:
            while piece := source.recv(PIECE_BYTES):
                if self._delay_seconds:
                    time.sleep(self._delay_seconds)
                self._spring(piece, frozenset((source, sink)))
                flow.wait()
                sink.sendall(piece)
        except OSError:
            pass  # one end was reset; the other is told below
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            mine = {pair for pair in self._pairs if source in pair}
            self._pairs -= mine
        source.close()
