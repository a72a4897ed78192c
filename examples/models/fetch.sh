#!/bin/sh
# fetch.sh: real pretrained networks and real inputs for the example scenarios.
# Makes a virtual environment in .cache/ beside this file and lets fetch.py do the work; installs nothing elsewhere.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=$here/.cache
venv=$cache/venv

usage() {
    cat <<'TEXT'
usage: fetch.sh [--reference] [--only NAME]... [--list] [--clean]
  --reference  also compute output_*.npy with ONNX Runtime and print what each network says
  --only NAME  only this network (may be given several times)
  --list       names, packages and licences; fetches nothing
  --clean      remove .cache/ (packages and tools); the networks stay
TEXT
}

die() { echo "fetch.sh: $*" >&2; exit 1; }

reference=
for arg in "$@"; do
    case $arg in
        -h|--help) usage; exit 0 ;;
        --clean) rm -rf "$cache"; echo "removed $cache"; exit 0 ;;
        --reference) reference=1 ;;
    esac
done

# The tools have wheels for these versions of Python.
python=
for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || die "needs Python 3.10 to 3.13, found $(python3 --version 2>&1 || true); on Debian: apt-get install python3 python3-venv"
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    die "this Python cannot make virtual environments; on Debian: apt-get install python3-venv"

# install NAME FILE: installs FILE's packages unless exactly this FILE was installed before.
install() {
    if ! cmp -s "$here/$2" "$venv/$1.done"; then
        echo "tools: $(grep -v '^#' "$here/$2" | tr '\n' ' ')"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: -r "$here/$2" ||
            die "pip could not install the tools named in $2 (see above)"
        cp "$here/$2" "$venv/$1.new" && mv "$venv/$1.new" "$venv/$1.done"
    fi
}

mkdir -p "$cache"
if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    rm -rf "$venv"
    echo "tools: virtual environment in $venv"
    "$python" -m venv "$venv" || die "could not make a virtual environment; on Debian: apt-get install python3-venv"
fi
install tools requirements.txt
[ -z "$reference" ] || install reference requirements-reference.txt

exec "$venv/bin/python" "$here/fetch.py" "$@"
