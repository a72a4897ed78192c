"""cotenant bench against ONNX Runtime's WebGPU provider: same device, models and inputs, in rounds that alternate.

Both times are of one inference, upload and read-back included, warm-up left out. Each round gives the minimum and the
median of a few runs of either side; the table shows the minimum of the minima and the median of the medians. What a loaded
machine slows, it slows for both, since a round of one follows a round of the other.

Each side runs in a process of its own that ends with its round or sleeps during the other's: neither computes meanwhile.
Exit status: 0 every ratio is at most --limit, 1 one is not or an output is wrong, 2 bad usage or a tool is missing.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

DEVICE = "wgpu:SwiftShader"
MODELS = "blazeface face_landmark mobilenet_v2_imagenet resnet18_tiny squeezenet1_0_tiny bert_tiny vit_tiny unet_tiny".split()
ROOT = Path(__file__).resolve().parents[2]
PROVIDERS = ["WebGpuExecutionProvider", "CPUExecutionProvider"]
N_WARM_UP = 2
DEFAULT_REL_ERROR = 1e-3  # where the case's meta.json names none


class Failed(Exception):
    """One message for the user: a tool that is missing or answers nonsense."""


def main():
    args = parse_arguments()
    rows = []
    for name in args.models or MODELS:
        print(f"{name}: {args.rounds} rounds of {args.runs} runs each", file=sys.stderr, flush=True)
        rows.append(compare(args, Path(args.folder) / name))
    passed = all(row["pass"] for row in rows)
    if args.json:
        print(json.dumps({"device": DEVICE, "peer": f"onnxruntime-webgpu {onnxruntime.__version__}", "limit": args.limit,
                          "rounds": args.rounds, "runs": args.runs, "models": rows, "pass": passed}, indent=1))
    else:
        print_table(rows, args.limit)
    return 0 if passed else 1


def parse_arguments():
    parser = argparse.ArgumentParser(prog="ort_webgpu.sh", description=f"cotenant against ONNX Runtime's WebGPU provider on {DEVICE}")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"case folders under --folder (default: {' '.join(MODELS)})")
    parser.add_argument("--folder", default=ROOT.parent / "shared" / "models", help="where the case folders are (default ../shared/models)")
    parser.add_argument("--cotenant", default=os.environ.get("COTENANT", str(ROOT / "target" / "release" / "cotenant")),
                        help="the binary and perhaps arguments (default $COTENANT, else target/release/cotenant)")
    parser.add_argument("--rounds", type=at_least_one, default=3)
    parser.add_argument("--runs", type=at_least_one, default=5, help="inferences of each side in a round")
    parser.add_argument("--limit", type=float, default=0.2, help="largest passing ratio of the medians, cotenant / ORT (default 1/5)")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def at_least_one(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def compare(args, case):
    """One row: both sides of one model."""
    peer = Peer(case)
    ours, theirs = [], []
    for _ in range(args.rounds):
        ours.append(cotenant_round(args, case))
        theirs.append(peer.round(args.runs))
    row = {
        "model": case.name,
        "cotenant_min_ms": min(r["min_ms"] for r in ours),
        "cotenant_median_ms": statistics.median(r["median_ms"] for r in ours),
        "ort_min_ms": min(min(r) for r in theirs),
        "ort_median_ms": statistics.median(statistics.median(r) for r in theirs),
        "cpu_nodes": max(r["cpu_nodes"] for r in ours),
        "cotenant_rel_error": cotenant_rel_error(args, case),
        "ort_rel_error": peer.rel_error,
        "limit_rel_error": peer.limit_rel_error,
    }
    row["ratio_min"] = row["cotenant_min_ms"] / row["ort_min_ms"]
    row["ratio_median"] = row["cotenant_median_ms"] / row["ort_median_ms"]
    row["outputs_agree"] = max(row["cotenant_rel_error"], row["ort_rel_error"]) <= row["limit_rel_error"]
    row["pass"] = row["outputs_agree"] and max(row["ratio_median"], row["ratio_min"]) <= args.limit
    return row


# cotenant


def cotenant(args, *words):
    command = [*shlex.split(str(args.cotenant)), *map(str, words), "--device", DEVICE, "--json"]
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}; build it with cargo build --release, or name it with --cotenant") from error
    try:
        return json.loads(result.stdout), result.returncode
    except ValueError:
        raise Failed(f"{shlex.join(command)}: exit status {result.returncode}, no JSON\n{result.stderr.strip()}") from None


def cotenant_round(args, case):
    answer, status = cotenant(args, "bench", case, "--runs", args.runs)
    missing = [key for key in ("median_ms", "min_ms", "cpu_nodes") if key not in answer]
    if status != 0 or missing:
        raise Failed(f"cotenant bench {case}: exit status {status}, lacks {missing}: {answer}")
    if DEVICE.split(":")[1].lower() not in json.dumps(answer.get("device", "")).lower():
        raise Failed(f"cotenant bench {case} ran on {answer.get('device')}, not on {DEVICE}")
    return answer


def cotenant_rel_error(args, case):
    """The largest error over the outputs of the main set, by cotenant check against the stored reference."""
    answer, _status = cotenant(args, "check", case)
    errors = [output["rel_err"] for entry in answer["cases"] for output in entry["outputs"]]
    failed = [entry["error"] for entry in answer["cases"] if entry.get("error")]
    if failed or not errors:
        raise Failed(f"cotenant check {case}: {failed or answer}")
    return max(errors)


# ONNX Runtime


class Peer:
    """A session on the case, warm, with its inputs; `rel_error` is against the case's stored outputs."""

    def __init__(self, case):
        model = case / "model.onnx"
        if not model.is_file():
            raise Failed(f"{model}: not there")
        if PROVIDERS[0] not in onnxruntime.get_available_providers():
            raise Failed(f"this onnxruntime has no {PROVIDERS[0]}: {onnxruntime.get_available_providers()}")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(model), options, providers=PROVIDERS)
        if self.session.get_providers()[0] != PROVIDERS[0]:
            raise Failed(f"{model}: ONNX Runtime fell back to {self.session.get_providers()}")
        self.inputs = {v.name: np.load(case / f"input_{i}.npy") for i, v in enumerate(self.session.get_inputs())}
        references = [np.load(case / f"output_{i}.npy") for i in range(len(self.session.get_outputs()))]
        for _ in range(N_WARM_UP):
            outputs = self.session.run(None, self.inputs)
        self.rel_error = max(rel_error(y, ref) for y, ref in zip(outputs, references))
        meta = case / "meta.json"
        own = json.loads(meta.read_text()) if meta.is_file() else {}
        self.limit_rel_error = own.get("max_rel_error", DEFAULT_REL_ERROR)

    def round(self, n_runs):
        """Milliseconds of each run."""
        self.session.run(None, self.inputs)  # wakes its threads
        times_ms = []
        for _ in range(n_runs):
            begin = time.perf_counter()
            self.session.run(None, self.inputs)
            times_ms.append((time.perf_counter() - begin) * 1e3)
        return times_ms


def rel_error(y, ref):
    if y.shape != ref.shape or not np.isfinite(y).all():
        return float("inf")
    return float(np.abs(y.astype(np.float64) - ref).max()) / max(0.01, float(np.abs(ref).max()))


def print_table(rows, limit):
    heads = ["model", "cotenant min", "median", "ORT min", "median ms", "ratio min", "median", "cpu nodes", "error ours", "ORT", ""]
    lines = [
        [r["model"], *(f"{r[k]:.1f}" for k in ("cotenant_min_ms", "cotenant_median_ms", "ort_min_ms", "ort_median_ms")),
         f"{r['ratio_min']:.3f}", f"{r['ratio_median']:.3f}", str(r["cpu_nodes"]),
         f"{r['cotenant_rel_error']:.1e}", f"{r['ort_rel_error']:.1e}", verdict(r)]
        for r in rows
    ]
    widths = [max(len(line[i]) for line in [heads, *lines]) for i in range(len(heads))]
    for line in [heads, *lines]:
        cells = [c.ljust(w) if i in (0, len(heads) - 1) else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))]
        print("  ".join(cells).rstrip())
    print(f"\n{sum(r['pass'] for r in rows)} of {len(rows)} at or below {limit:.3f} of ONNX Runtime {onnxruntime.__version__} WebGPU on {DEVICE}")


def verdict(row):
    if row["pass"]:
        return "ok"
    if row["outputs_agree"]:
        return "over"
    return "ours is wrong" if row["cotenant_rel_error"] > row["limit_rel_error"] else "ORT is wrong"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failure:
        print(f"ort_webgpu.py: {failure}", file=sys.stderr)
        sys.exit(2)
