"""Fetches the networks of catalog.py into folders beside this file; fetch.sh runs it.

A folder holds model.onnx, input_*.npy, LICENSE texts, output_*.npy where asked for, and meta.json, which is written last
and lists the SHA-256 of every other file. A folder whose files match it, and whose recipe has not changed since, is left
alone. Folders are built in .cache/ and renamed into place.
"""

import argparse
import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from catalog import MODELS, PACKAGES, SDIST

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
MAX_REL_ERROR = 1e-3  # float32 on another device against the reference; see `cotenant check`
RECIPE_MODULES = {"copy": None, "tflite": "tflite_to_onnx", "mobilenet_v2": "mobilenet_v2", "minilm": "minilm"}


class Failed(Exception):
    """What went wrong, for the user."""


def main():
    args = parse_arguments()
    models = [m for m in MODELS if not args.only or m.name in args.only]
    if args.list:
        for m in models:
            p = PACKAGES[m.package]
            print(f"{m.name:<15} {p.name + ' ' + p.version:<38} {p.licence}")
        return
    for i, model in enumerate(models, 1):
        fetch(model, args.reference, f"[{i}/{len(models)}] {model.name:<15}")


def parse_arguments():
    parser = argparse.ArgumentParser(prog="fetch.sh")
    parser.add_argument("--reference", action="store_true", help="also compute output_*.npy and print what each network says")
    parser.add_argument("--only", action="append", metavar="NAME", choices=[m.name for m in MODELS])
    parser.add_argument("--list", action="store_true", help="names, packages and licences; fetches nothing")
    return parser.parse_args()


def fetch(model, reference, label):
    folder = HERE / model.name
    if complete(model, folder):
        print(f"{label} is there", flush=True)
    else:
        package = PACKAGES[model.package]
        print(f"{label} {model.recipe} from {package.name} {package.version} ({package.licence})", flush=True)
        build(model, folder)
    if reference:
        print(f"{label} {add_reference(model, folder)}", flush=True)


# Folders


def complete(model, folder):
    """Whether the folder is what this recipe wrote, untouched."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        return meta["recipe_sha256"] == recipe_sha256(model) and all(
            sha256(folder / name) == expected for name, expected in meta["sha256"].items()
        )
    except (OSError, ValueError, KeyError):
        return False


def recipe_sha256(model):
    """Of everything that decides what the folder holds: packages, tools, and our code."""
    digest = hashlib.sha256(repr(model).encode())
    for name in (model.package, *model.input_packages):
        digest.update(repr(PACKAGES[name]).encode())
    module = RECIPE_MODULES[model.recipe]
    for source in ["requirements.txt", "inputs.py", "minilm.py", *([module + ".py"] if module else [])]:
        digest.update((HERE / source).read_bytes())
    return digest.hexdigest()


def build(model, folder):
    import numpy as np

    import inputs

    new = CACHE / f"new-{model.name}"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    source = package_file(model.package, model.member)
    module = RECIPE_MODULES[model.recipe]
    if module is None:
        shutil.copyfile(source, new / "model.onnx")
    else:
        importlib.import_module(module).convert(source, new / "model.onnx", model.name)
    for i, array in enumerate(inputs.make(model.name, package_file)):
        np.save(new / f"input_{i}.npy", array)
    for path in licence_texts(model.package):
        shutil.copyfile(path, new / path.name)
    write_meta(model, new)
    replace_folder(new, folder)


def add_reference(model, folder):
    """Writes output_*.npy where they are missing, and returns what the network says."""
    import numpy as np

    import report

    session = report.session(folder / "model.onnx")
    arrays = [np.load(folder / f"input_{i}.npy") for i in range(len(session.get_inputs()))]
    outputs = report.run(session, arrays)
    known = json.loads((folder / "meta.json").read_text())["sha256"]
    if not all(f"output_{i}.npy" in known for i in range(len(outputs))):
        for i, array in enumerate(outputs):
            new = folder / f".output_{i}.new.npy"
            np.save(new, array)
            os.replace(new, folder / f"output_{i}.npy")
        write_meta(model, folder)
    return report.says(model.name, session, outputs, package_file)


def write_meta(model, folder):
    package = PACKAGES[model.package]
    meta = {
        "name": model.name,
        "what": model.what,
        "package": f"{package.name} {package.version} (PyPI)",
        "member": model.member,
        "conversion": "as shipped" if model.recipe == "copy" else model.recipe,
        "licence": package.licence,
        "sets": ["."],
        "max_rel_error": MAX_REL_ERROR,
        "recipe_sha256": recipe_sha256(model),
        "sha256": {p.name: sha256(p) for p in sorted(folder.iterdir()) if p.name != "meta.json"},
    }
    new = folder / ".meta.new.json"
    new.write_text(json.dumps(meta, indent=1) + "\n")
    os.replace(new, folder / "meta.json")


def replace_folder(new, folder):
    old = CACHE / f"old-{folder.name}"
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.rename(folder, old)
    os.rename(new, folder)
    shutil.rmtree(old, ignore_errors=True)


# Packages


def package_file(name, member):
    """The path of one file of a package, which is downloaded, verified and unpacked first where it is not yet."""
    path = unpacked(PACKAGES[name]) / member
    if not path.is_file():
        raise Failed(f"{name} {PACKAGES[name].version} has no file {member}")
    return path


def licence_texts(name):
    folder = unpacked(PACKAGES[name])
    stems = ("LICENSE", "LICENCE", "NOTICE", "COPYING")
    return [p for d in folder.glob("*.dist-info") for p in sorted(d.rglob("*")) if p.is_file() and p.name.upper().startswith(stems)]


def unpacked(package):
    folder = CACHE / "unpacked" / f"{package.name}-{package.sha256[:12]}"
    if not folder.is_dir():
        archive, new = download(package), folder.with_name(folder.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as z:
                z.extractall(new)
        else:
            with tarfile.open(archive) as t:
                t.extractall(new, filter="data") if hasattr(tarfile, "data_filter") else t.extractall(new)
        os.rename(new, folder)
    return folder


def download(package):
    """The verified archive. pip compares the hash too, before it looks inside."""
    folder = CACHE / "packages" / package.name
    for path in folder.glob("*"):
        if sha256(path) == package.sha256:
            return path
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"  package {package.name} {package.version} …", end="", flush=True)
    wanted = folder.with_name(package.name + ".txt")
    wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--dest", str(folder), "--requirement", str(wanted)]
    if package.wheel_for == SDIST:
        command += ["--no-binary", ":all:"]
    else:
        abi = "cp" + package.wheel_for.replace(".", "")
        command += ["--only-binary", ":all:", "--python-version", package.wheel_for, "--implementation", "cp"]
        command += [f for a in (abi, "abi3", "none") for f in ("--abi", a)]
        command += [f for p in ("manylinux_2_28_x86_64", "manylinux2014_x86_64", "any") for f in ("--platform", p)]
    result = subprocess.run(command, capture_output=True, text=True)
    paths = list(folder.glob("*"))
    if result.returncode != 0 or len(paths) != 1:
        reason = "\n".join("  " + line for line in result.stderr.strip().splitlines())
        raise Failed(f"pip could not download {package.name} {package.version} (SHA-256 {package.sha256}):\n{reason}")
    if sha256(paths[0]) != package.sha256:
        raise Failed(f"{paths[0]}: SHA-256 {sha256(paths[0])}, expected {package.sha256}")
    print(f" {paths[0].stat().st_size / 1e6:.1f} MB, SHA-256 verified", flush=True)
    return paths[0]


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"\nfetch.sh: {failure}")
    except KeyboardInterrupt:
        sys.exit("\nfetch.sh: interrupted; what was finished stays, run it again to go on")
