#!/usr/bin/env bash
# Makes ./.venv from the hash-pinned requirements: `tools/setup.sh runtime`, or `tools/setup.sh test` for both sets.
# A stamp in the environment names what it was made from, so a second run does nothing and needs no network. The stamp
# is written last: an interrupted run is simply done again. Exit code 2: something must be installed first, and the one
# sentence on standard error says what.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

set_name="${1:-runtime}"
case "$set_name" in
  runtime) requirements=(requirements/runtime.txt) ;;
  test) requirements=(requirements/runtime.txt requirements/test.txt) ;;
  *) echo "usage: tools/setup.sh runtime|test" >&2; exit 2 ;;
esac
venv_python=.venv/bin/python
# The folder's path is part of it: an environment that was moved or copied has scripts that point elsewhere.
stamp="$(pwd -P) $(cat "${requirements[@]}" | sha256sum | cut -d' ' -f1)"

suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1; }

# A stamp of the larger set serves the smaller one too: its runtime part is checked by its own stamp.
if [[ -f ".venv/stamp-$set_name" && "$(<".venv/stamp-$set_name")" == "$stamp" ]] && suits "$venv_python"; then
  exit 0
fi

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if suits "$candidate"; then command -v "$candidate"; return; fi
  done
  echo "videoproc needs Python 3.11 to 3.14: install it, or name it with PYTHON=/path/to/python3" >&2
  return 2
}

has_venv() { "$1" -c 'import venv, ensurepip' >/dev/null 2>&1; }

make_venv() {
  local python version
  python="$(find_python)" || exit 2
  version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
  if ! has_venv "$python"; then
    if [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
      echo "installing Debian's python3-venv, which $python lacks"
      apt-get -qq update
      DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "python$version-venv" >/dev/null
    fi
    if ! has_venv "$python"; then
      echo "$python cannot make environments: install its venv module (Debian and Ubuntu: apt install python3-venv)" >&2
      exit 2
    fi
  fi
  rm -rf .venv
  echo "making .venv with $python ($version)"
  "$python" -m venv .venv
}

# An environment made elsewhere keeps its old path inside; one without an interpreter is a leftover.
usable() {
  suits "$venv_python" || return 1
  "$venv_python" -c 'import os, sys; sys.exit(not os.path.samefile(sys.prefix, ".venv"))' || return 1
  "$venv_python" -m pip --version >/dev/null 2>&1 || "$venv_python" -m ensurepip --default-pip >/dev/null 2>&1
}

moved() { [[ -f "$1" && "$(<"$1")" != "$(pwd -P) "* ]]; }

if moved .venv/stamp-runtime || moved .venv/stamp-test || ! usable; then
  make_venv
fi
rm -f .venv/stamp-*
echo "installing the $set_name requirements into .venv"
files=()
for file in "${requirements[@]}"; do files+=(-r "$file"); done
"$venv_python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: "${files[@]}"
runtime_sum="$(sha256sum <requirements/runtime.txt | cut -d' ' -f1)"
echo "$(pwd -P) $runtime_sum" >.venv/stamp-runtime
if [[ "$set_name" == test ]]; then echo "$stamp" >.venv/stamp-test; fi
