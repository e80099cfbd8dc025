#!/usr/bin/env bash
# Installs one side of LLMOS: hub (the server), lab (training), ray (clusters), qlora (bases in four bits),
# llamacpp (GGUF files served packed), lm-eval (its catalogue of tasks), dev (tests) or bench.
# A second run finds the stamp of the lock file and ends at once.
set -euo pipefail
cd "$(dirname "$0")/.."
side=${1:-hub}
stamps=.venv/.stamps
say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

python_311() {
    local candidate
    for candidate in "${LLMOS_PYTHON:-}" python3.11 python3 python3.12 python3.13; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"; return
        fi
    done
    say "LLMOS needs Python 3.11 or newer: install python3.11 and run this again."; return 1
}

# apt_install PACKAGE...: install Debian packages where we may; otherwise say what to do.
apt_install() {
    local run=()
    if [ "$(id -u)" != 0 ]; then
        if sudo -n true 2>/dev/null; then run=(sudo -n); else
            say "Please install these system packages, then run this again: $*"; return 1
        fi
    fi
    command -v apt-get >/dev/null || { say "Please install: $*"; return 1; }
    say "Installing system packages: $*"
    "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null || true
    "${run[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

need() { # need COMMAND PACKAGE: remember PACKAGE when COMMAND is missing
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/lib/postgresql/15/bin/$1" ] || missing+=("$2")
}

fresh() { # fresh STAMP FILE...: true when nothing changed since the last install
    [ -f "$stamps/$1" ] && [ "$(cat "$stamps/$1")" = "$(cat "${@:2}" | sha256sum)" ]
}
stamp() { mkdir -p "$stamps"; cat "${@:2}" | sha256sum > "$stamps/$1"; }

make_venv() {
    [ -x .venv/bin/python ] && return
    local python; python=$(python_311)
    say "Creating .venv with $python"
    "$python" -m venv .venv >/dev/null 2>&1 || { apt_install python3-venv; "$python" -m venv --clear .venv; }
    install_tools
}

install_tools() {
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/tools.lock
}

# install_lock LOCK [PYTHON]: uv is several times faster; pip knows every site's own configuration.
# A lock file is complete but for torch, which some of its packages want: hence --no-deps.
install_lock() {
    local python=${2:-.venv/bin/python}
    .venv/bin/uv pip install -q --compile-bytecode --python "$python" --no-deps --require-hashes -r "$1" 2>/tmp/llmos-uv.$$ \
        || { cat /tmp/llmos-uv.$$ >&2; say "Trying again with pip"; "$python" -m pip install -q --no-deps --require-hashes -r "$1"; }
    rm -f /tmp/llmos-uv.$$
}

setup_hub() {
    make_venv
    missing=(); need git-lfs git-lfs; need bwrap bubblewrap
    if [ ${#missing[@]} -gt 0 ]; then apt_install "${missing[@]}" || true; fi
    fresh hub requirements/hub.lock pyproject.toml && return
    say "Installing the hub"
    install_lock requirements/hub.lock
    .venv/bin/python -c 'import hatchling, editables' 2>/dev/null || install_tools
    .venv/bin/uv pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e . \
        || .venv/bin/python -m pip install -q --no-deps --no-build-isolation -e .
    # Some environments forbid writing bytecode at run time; without it every start compiles anew.
    .venv/bin/python -m compileall -q src/llmos || true
    env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -m llmos.app.compile_templates || true
    stamp hub requirements/hub.lock pyproject.toml
}

setup_lab() {
    fresh lab requirements/lab.lock && [ -x .venv-lab/bin/python ] && return
    make_venv
    [ -x .venv-lab/bin/python ] || "$(python_311)" -m venv .venv-lab
    say "Installing torch (CPU; set LLMOS_TORCH_INDEX to another package index for a GPU build)"
    .venv-lab/bin/python -m pip install -q --disable-pip-version-check \
        ${LLMOS_TORCH_INDEX:+--index-url "$LLMOS_TORCH_INDEX"} torch==2.13.0
    say "Installing the training tools"
    install_lock requirements/lab.lock .venv-lab/bin/python
    # The lab runs this tree's own code, without the server's libraries.
    echo "$PWD/src" > "$(echo .venv-lab/lib/python3*/site-packages)/llmos.pth"
    stamp lab requirements/lab.lock
}

# beside NAME: an environment .venv-NAME that holds requirements/NAME.lock alone and sees the training side's
# (or, for tests, the developer's) packages. The lock file:
# `uv pip compile --generate-hashes -c requirements/lab.lock requirements/NAME.in`, less what lab.lock has.
beside() {
    local base=.venv-lab own=.venv-$1
    [ -f "$stamps/lab" ] && [ -x .venv-lab/bin/python ] || base=.venv
    fresh "$1" "requirements/$1.lock" && [ -x "$own/bin/python" ] && return
    make_venv
    if ! "$base/bin/python" -c 'import torch' 2>/dev/null; then base=.venv-lab; setup_lab; fi
    say "Installing $1"
    "$base/bin/python" -m venv --clear --without-pip "$own"
    install_lock "requirements/$1.lock" "$own/bin/python"
    printf '%s\n' "$(cd "$base" && echo "$PWD"/lib/python3*/site-packages)" "$PWD/src" \
        > "$(echo "$own"/lib/python3*/site-packages)/llmos.pth"
    stamp "$1" "requirements/$1.lock"
}

setup_ray() { beside ray; }

# bitsandbytes, in a folder that only runs with lora.quantize look into.
setup_qlora() {
    local base=.venv-lab
    [ -f "$stamps/lab" ] && [ -x .venv-lab/bin/python ] || base=.venv
    fresh qlora requirements/qlora.lock && [ -d "$base/qlora/bitsandbytes" ] && return
    make_venv
    if ! "$base/bin/python" -c 'import torch' 2>/dev/null; then base=.venv-lab; setup_lab; fi
    say "Installing bitsandbytes"
    "$base/bin/python" -m pip install -q --disable-pip-version-check --no-deps --require-hashes --upgrade \
        --target "$base/qlora" -r requirements/qlora.lock
    stamp qlora requirements/qlora.lock
}

# llama.cpp's binding, built here: some seventeen minutes of one processor, with a C++ compiler.
setup_llamacpp() {
    local base=.venv-lab
    [ -f "$stamps/lab" ] && [ -x .venv-lab/bin/python ] || base=.venv
    fresh llamacpp requirements/llamacpp.lock && compgen -G "$base/lib/python3*/site-packages/llama_cpp" >/dev/null && return
    make_venv
    if ! "$base/bin/python" -c 'import torch' 2>/dev/null; then base=.venv-lab; setup_lab; fi
    say "Building llama.cpp"
    install_lock requirements/llamacpp.lock "$base/bin/python"
    stamp llamacpp requirements/llamacpp.lock
}

setup_lm_eval() { beside lm-eval; }

setup_dev() {
    missing=()
    need chromium chromium; need initdb postgresql; need git-lfs git-lfs; need bwrap bubblewrap
    # Not `grep -q`: it would break the pipe, which pipefail takes for "missing".
    fc-list 2>/dev/null | grep -i 'noto.*cjk' >/dev/null || missing+=(fonts-noto-cjk)
    # Playwright's own node links against it; no other package here brings it along.
    PATH="$PATH:/sbin" ldconfig -p 2>/dev/null | grep 'libatomic\.so\.1' >/dev/null || missing+=(libatomic1)
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
    fresh dev requirements/dev.lock && return
    say "Installing the test tools"
    .venv/bin/python -c 'import torch' 2>/dev/null || .venv/bin/python -m pip install -q --disable-pip-version-check torch==2.13.0
    install_lock requirements/dev.lock
    stamp dev requirements/dev.lock
}

setup_bench() {
    missing=(); need nginx nginx-light; need ab apache2-utils
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

"setup_${side//-/_}"
