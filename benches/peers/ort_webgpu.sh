#!/bin/sh
# ort_webgpu.sh: cotenant against ONNX Runtime's WebGPU provider on the same software Vulkan device (SwiftShader).
# Makes a virtual environment outside the repository and lets ort_webgpu.py measure.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
venv=${XDG_CACHE_HOME:-$HOME/.cache}/cotenant/peers/ort_webgpu
pins="onnxruntime-webgpu==1.27.0 numpy==2.2.6"
# Of the drivers that the environment names, only SwiftShader: both sides must find the same device.
icd=$(echo "${VK_ICD_FILENAMES:-}" | tr ':' '\n' | grep -i swiftshader | head -n 1)
icd=${icd:-/usr/lib/chromium/vk_swiftshader_icd.json}

die() { echo "ort_webgpu.sh: $*" >&2; exit "${status:-2}"; }

[ -f "$icd" ] || status=3 die "no SwiftShader at $icd; on Debian: apt-get install --no-install-recommends chromium, or set VK_ICD_FILENAMES to its vk_swiftshader_icd.json"
if [ "$(cat "$venv/pins" 2>/dev/null)" != "$pins" ]; then
    python3 -c 'import venv, ensurepip' 2>/dev/null ||
        die "this Python cannot make virtual environments; on Debian: apt-get install python3-venv"
    echo "installing $pins in $venv" >&2
    mkdir -p "$(dirname "$venv")"
    rm -rf "$venv"
    python3 -m venv "$venv"
    # shellcheck disable=SC2086  # one word per package
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: $pins >&2 ||
        die "pip could not install $pins (see above)"
    echo "$pins" > "$venv/pins"
fi

export VK_ICD_FILENAMES="$icd"
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
exec "$venv/bin/python" "$here/ort_webgpu.py" "$@"
