"""torchvision's MobileNetV2 weights (.pth) -> ONNX, without PyTorch; batch normalisation folded into the convolutions.

The weights are in torch.save's first format: pickles that describe the tensors, then the numbers of each storage.
The unpickler knows the three names such a file needs and refuses any other, so the file cannot run code.
"""

import collections
import pickle
import struct

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
BN_EPSILON = 1e-5
# expansion, channels, blocks, stride of the first block (MobileNetV2 paper, table 2)
STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def convert(source_path, target_path, name):
    model = Builder(load_pth(source_path)).run(name)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target_path)


def load_pth(path):
    """Name -> numpy array for every tensor of a state dict."""
    with open(path, "rb") as f:
        for expected in (0x1950A86A20F9469CFC6C, 1001):  # magic number, protocol
            if pickle.load(f) != expected:
                raise ValueError(f"{path}: not in torch.save's first format")
        pickle.load(f)  # sizes of C types
        state = _TensorUnpickler(f).load()
        storages = {}
        dtypes = {key: dtype for (key, dtype), *_ in state.values()}
        for key in pickle.load(f):
            (count,) = struct.unpack("<q", f.read(8))
            storages[key] = np.frombuffer(f.read(count * dtypes[key].itemsize), dtypes[key])
    return {name: _tensor(storages[key], *rest) for name, ((key, _), *rest) in state.items()}


def _tensor(storage, offset, shape, strides, *_):
    strides_bytes = [s * storage.itemsize for s in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, strides_bytes).copy()


class _TensorUnpickler(pickle.Unpickler):
    NAMES = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): lambda *args: args,
        ("torch", "FloatStorage"): np.dtype("<f4"),
        ("torch", "LongStorage"): np.dtype("<i8"),
    }

    def find_class(self, module, name):
        if (module, name) not in self.NAMES:
            raise pickle.UnpicklingError(f"unexpected name {module}.{name} in a weights file")
        return self.NAMES[module, name]

    def persistent_load(self, pid):
        _storage, dtype, key, *_ = pid
        return key, dtype


class Builder:
    def __init__(self, state):
        self.state, self.nodes, self.weights = state, [], []

    def run(self, name):
        value = self._conv("input", "features.0.0", "features.0.1", stride=2)
        block = 1
        for expansion, _channels, count, stride in STAGES:
            for i in range(count):
                value = self._block(value, f"features.{block}.conv.", expansion, stride if i == 0 else 1, i > 0)
                block += 1
        value = self._conv(value, "features.18.0", "features.18.1")
        value = self._emit("GlobalAveragePool", [value], "pool")
        value = self._emit("Flatten", [value], "flat", axis=1)
        head = [self._weight(f"classifier.1.{part}", self.state[f"classifier.1.{part}"]) for part in ("weight", "bias")]
        self._emit("Gemm", [value, *head], "logits", transB=1)
        graph = helper.make_graph(
            self.nodes, name,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 1000])],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)

    def _block(self, value, prefix, expansion, stride, residual):
        """1x1 expansion (none where the factor is 1), 3x3 depthwise, 1x1 projection without activation."""
        out = value
        if expansion > 1:
            out = self._conv(out, prefix + "0.0", prefix + "0.1")
        depthwise, project = ("0", 1) if expansion == 1 else ("1", 2)
        out = self._conv(out, f"{prefix}{depthwise}.0", f"{prefix}{depthwise}.1", stride=stride, depthwise=True)
        out = self._conv(out, f"{prefix}{project}", f"{prefix}{project + 1}", relu6=False)
        return self._emit("Add", [out, value], prefix + "add") if residual else out

    def _conv(self, value, conv, norm, stride=1, depthwise=False, relu6=True):
        state = {key: array.astype(np.float64) for key, array in self.state.items() if key.startswith(norm + ".")}
        scale = state[norm + ".weight"] / np.sqrt(state[norm + ".running_var"] + BN_EPSILON)
        weights = self.state[conv + ".weight"] * scale[:, None, None, None]
        bias = state[norm + ".bias"] - state[norm + ".running_mean"] * scale
        kernel = weights.shape[2]
        inputs = [value, self._weight(conv + ".weight", weights), self._weight(conv + ".bias", bias)]
        value = self._emit(
            "Conv", inputs, conv, kernel_shape=[kernel, kernel], strides=[stride, stride],
            pads=[kernel // 2] * 4, group=weights.shape[0] if depthwise else 1,
        )
        if not relu6:
            return value
        bounds = [self._weight(f"{conv}.min", np.float32(0)), self._weight(f"{conv}.max", np.float32(6))]
        return self._emit("Clip", [value, *bounds], conv + ".relu6")

    def _weight(self, name, array):
        self.weights.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    def _emit(self, op_type, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=output, **attributes))
        return output
