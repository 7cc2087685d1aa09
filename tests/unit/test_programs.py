"""Where server programs are looked for, and how Debian's packages become files: with stand-ins for apt-get and dpkg."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from videoproc.servers import debian, programs
from videoproc.servers.errors import ProgramMissing
from videoproc.servers.programs import Wanted, find, obtain

APT_GET = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
  *nothing-installed*) ;;
  *install*) [ -e {disorder} ] && {{ echo "E: Unmet dependencies" >&2; exit 100; }} ;;
esac
for word in "$@"; do case "$word" in Dir::Cache=*) cache="${{word#Dir::Cache=}}" ;; esac; done
case "$*" in
  *print-uris*) echo "'http://mirror/pool/served_1_all.deb' served_1_all.deb 100 MD5Sum:0"
                echo "'http://mirror/pool/libc6_2_all.deb' libc6_2_all.deb 100 MD5Sum:0" ;;
  *download-only*) touch "$cache/archives/served_1_all.deb" "$cache/archives/libc6_2_all.deb" ;;
esac
"""
DPKG = """#!/bin/sh
[ -e {broken} ] && {{ echo "archive is short" >&2; exit 2; }}
mkdir -p "$3/usr/bin" "$3/usr/lib/x86_64-linux-gnu"
touch "$3/usr/lib/x86_64-linux-gnu/libserved.so.1" "$3/usr/bin/$(basename "$2")"
printf '#!/bin/sh\\n' > "$3/usr/bin/served-for-tests"
chmod +x "$3/usr/bin/served-for-tests"
"""
SERVED = Wanted(name="served", executables=("served-for-tests",), package="served")


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    """An executable script at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an apt-get and a dpkg of ours before its own, and an empty cache."""
    files = {"log": tmp_path / "log", "disorder": tmp_path / "disorder", "broken": tmp_path / "broken"}
    program(tmp_path / "bin" / "apt-get", APT_GET.format(**files))
    program(tmp_path / "bin" / "dpkg", DPKG.format(**files))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def calls(machine: Path) -> list[str]:
    """The words of each call of apt-get."""
    log = machine / "log"
    return log.read_text().splitlines() if log.exists() else []


def test_prefers_what_is_on_the_path(machine: Path) -> None:
    here = program(machine / "bin" / "served-for-tests")
    found = obtain(SERVED)
    assert found.executables == {"served-for-tests": here}
    assert found.library_path == ""
    assert calls(machine) == []


def test_takes_the_newest_of_several_versions_by_number(machine: Path) -> None:
    for version in ("9", "15", "14"):
        program(machine / "versions" / version / "bin" / "served-for-tests")
    wanted = Wanted(
        name="served",
        executables=("served-for-tests",),
        package="served",
        beside_path=(f"{machine}/versions/*/bin",),
    )
    found = find(wanted)
    assert found is not None
    assert found.executables["served-for-tests"] == machine / "versions" / "15" / "bin" / "served-for-tests"


def test_executables_must_lie_side_by_side(machine: Path) -> None:
    program(machine / "bin" / "served-for-tests")
    program(machine / "elsewhere" / "served-init")
    wanted = Wanted(
        name="served",
        executables=("served-for-tests", "served-init"),
        package="served",
        beside_path=(f"{machine}/elsewhere",),
    )
    assert find(wanted) is None
    both = program(machine / "elsewhere" / "served-for-tests")
    found = find(wanted)
    assert found is not None
    assert found.executables["served-for-tests"] == both


def test_without_a_program_that_it_needs_it_is_not_found(machine: Path) -> None:
    program(machine / "bin" / "served-for-tests")
    wanted = Wanted(name="served", executables=("served-for-tests",), package="served", needs=("runtime-for-tests",))
    assert find(wanted) is None


def test_unpacks_what_is_missing_once_and_is_offline_afterwards(machine: Path) -> None:
    assert find(SERVED) is None
    root = machine / "cache" / "videoproc" / "packages" / "served"
    found = obtain(SERVED)
    assert found.executables == {"served-for-tests": root / "usr" / "bin" / "served-for-tests"}
    assert found.library_path == str(root / "usr" / "lib" / "x86_64-linux-gnu")
    assert found.search_path.startswith(str(root / "usr" / "bin") + os.pathsep)
    before = calls(machine)
    assert [
        next(word for word in ("update", "--print-uris", "--download-only") if word in call) for call in before
    ] == [
        "update",
        "--print-uris",
        "--download-only",
    ]
    assert obtain(SERVED) == found
    assert calls(machine) == before


def test_the_machines_c_library_is_never_replaced(machine: Path) -> None:
    root = debian.unpack("served")
    assert (root / "usr" / "bin" / "served_1_all.deb").exists()
    assert not (root / "usr" / "bin" / "libc6_2_all.deb").exists()


def test_an_interrupted_unpacking_leaves_nothing_and_is_done_again(machine: Path) -> None:
    (machine / "broken").touch()
    with pytest.raises(ProgramMissing, match="archive is short"):
        obtain(SERVED)
    assert find(SERVED) is None
    (machine / "broken").unlink()
    assert obtain(SERVED).executables["served-for-tests"].exists()


def test_takes_everything_where_apt_finds_the_machine_in_disorder(machine: Path) -> None:
    (machine / "disorder").touch()
    assert obtain(SERVED).executables["served-for-tests"].exists()
    assert "nothing-installed" in calls(machine)[-1]


def test_says_what_to_install_where_there_is_no_apt(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(machine / "empty"))
    monkeypatch.setitem(programs.ALL, "served", SERVED)
    assert programs.main(["served"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "served is missing: put served-for-tests on the PATH (Debian and Ubuntu: the package served), "
        "or let apt-get reach its mirror; this system has neither apt-get nor dpkg\n"
    )


def test_erlang_runs_from_where_it_was_unpacked(machine: Path) -> None:
    root = machine / "cache" / "videoproc" / "packages" / "rabbitmq-server"
    program(root / "usr/lib/erlang/erts-13.1/bin/erlexec", '#!/bin/sh\necho "$ROOTDIR $BINDIR $EMU $PROGNAME $@"\n')
    program(root / "usr/lib/erlang/erts-13.1/bin/epmd")
    program(root / "usr/lib/rabbitmq/lib/rabbitmq_server-3.10.8/sbin/rabbitmq-server")
    program(root / "usr/bin/erl", "#!/bin/sh\necho wrong\n")
    found = programs._search_unpacked(programs.RABBITMQ, root)
    assert found is not None
    said = subprocess.run([found.executables["erl"], "-noinput"], capture_output=True, text=True, check=True)
    erlang = root / "usr/lib/erlang"
    assert said.stdout == f"{erlang} {erlang}/erts-13.1/bin beam erl -noinput\n"


def test_a_servers_environment_holds_nothing_of_ours(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOPROC_SECRET_KEY", "secret")
    assert set(obtain(SERVED).environment(machine)) == {"PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH"}
