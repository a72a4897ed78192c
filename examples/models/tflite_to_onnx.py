"""TFLite flatbuffer -> ONNX, for the float networks of MediaPipe; needs no TensorFlow.

Tensors of rank 4 become NCHW inside the graph; graph inputs and outputs keep TFLite's NHWC, behind one Transpose each.
float16 weights (behind DEQUANTIZE) are stored as float32. An operator or option that is not handled is an error that
names it: nothing is approximated. Quantised networks and batches other than the stored one are left out.
"""

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]
DTYPES = {tflite.TensorType.FLOAT32: np.float32, tflite.TensorType.FLOAT16: np.float16, tflite.TensorType.INT32: np.int32}
OP_NAMES = {v: k for k, v in vars(tflite.BuiltinOperator).items() if not k.startswith("_")}
ACTIVATION = tflite.ActivationFunctionType


class Unsupported(Exception):
    pass


def convert(source_path, target_path, name):
    with open(source_path, "rb") as f:
        model = tflite.Model.GetRootAs(f.read(), 0)
    onnx_model = Converter(model).run(name)
    onnx.checker.check_model(onnx_model, full_check=True)
    onnx.save(onnx_model, target_path)


class Converter:
    def __init__(self, model):
        self.model, self.graph = model, model.Subgraphs(0)
        self.nodes, self.weights, self.inputs, self.outputs = [], [], [], []
        self.constants = {}  # tensor index -> numpy array, in TFLite's layout
        self.names = {}  # tensor index -> name of the ONNX value that holds it, NCHW when of rank 4

    def run(self, name):
        for idx in range(self.graph.TensorsLength()):
            self._load_constant(idx)
        for idx in self.graph.InputsAsNumpy():
            self._add_input(idx)
        for i in range(self.graph.OperatorsLength()):
            self._add_operator(self.graph.Operators(i))
        for idx in self.graph.OutputsAsNumpy():
            self._add_output(idx)
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)

    # Tensors

    def _shape(self, idx):
        return [int(d) for d in self.graph.Tensors(idx).ShapeAsNumpy()]

    def _label(self, idx):
        return self.graph.Tensors(idx).Name().decode()

    def _load_constant(self, idx):
        tensor = self.graph.Tensors(idx)
        buffer = self.model.Buffers(tensor.Buffer())
        if buffer.DataLength() == 0:
            return
        if tensor.Type() not in DTYPES:
            raise Unsupported(f"tensor {self._label(idx)}: type {tensor.Type()}; float32, float16 and int32 are handled")
        self.constants[idx] = buffer.DataAsNumpy().view(DTYPES[tensor.Type()]).reshape(self._shape(idx))

    def _add_input(self, idx):
        name, shape = self._label(idx), self._shape(idx)
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        self.names[idx] = name
        if len(shape) == 4:
            self.names[idx] = self._emit("Transpose", [name], name + "_nchw", perm=TO_NCHW)

    def _add_output(self, idx):
        shape = self._shape(idx)
        self.outputs.append(helper.make_tensor_value_info(self._label(idx), TensorProto.FLOAT, shape))
        if len(shape) == 4:
            self._emit("Transpose", [self.names[idx]], self._label(idx), perm=TO_NHWC)
        else:
            self._emit("Identity", [self.names[idx]], self._label(idx))

    def _value(self, idx):
        """The ONNX value of a tensor that an elementwise operator reads."""
        if idx not in self.names:
            array = self.constants[idx]
            self.names[idx] = self._weight(f"w{idx}", array.transpose(TO_NCHW) if array.ndim == 4 else array)
        return self.names[idx]

    def _weight(self, name, array):
        array = np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else array.dtype)
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def _emit(self, op_type, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=output, **attributes))
        return output

    # Operators

    def _add_operator(self, op):
        code = self.model.OperatorCodes(op.OpcodeIndex())
        name = OP_NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        handler = getattr(self, "_op_" + name.lower(), None)
        if handler is None:
            raise Unsupported(f"operator {name}")
        handler(op, [int(i) for i in op.InputsAsNumpy()], int(op.OutputsAsNumpy()[0]))

    @staticmethod
    def _options(op, kind):
        table, options = op.BuiltinOptions(), kind()
        options.Init(table.Bytes, table.Pos)
        return options

    def _activate(self, value, activation, out):
        """Applies a fused activation; `value` is the name of what was computed so far."""
        if activation == ACTIVATION.RELU:
            value = self._emit("Relu", [value], f"t{out}_relu")
        elif activation == ACTIVATION.RELU6:
            low, high = self._weight(f"t{out}_0", np.float32(0)), self._weight(f"t{out}_6", np.float32(6))
            value = self._emit("Clip", [value, low, high], f"t{out}_relu6")
        elif activation != ACTIVATION.NONE:
            raise Unsupported(f"fused activation {activation}")
        self.names[out] = value

    def _window(self, shape_in, kernel, stride, dilation, padding):
        """kernel_shape, strides and explicit pads of a window over NHWC `shape_in`."""
        pads = [0, 0, 0, 0]
        if padding == tflite.Padding.SAME:
            for axis in range(2):
                size, reach = shape_in[1 + axis], (kernel[axis] - 1) * dilation[axis] + 1
                total = max((-(-size // stride[axis]) - 1) * stride[axis] + reach - size, 0)
                pads[axis], pads[2 + axis] = total // 2, total - total // 2
        return {"kernel_shape": list(kernel), "strides": list(stride), "pads": pads}

    def _conv(self, op, ins, out, options, weights, groups):
        stride = options.StrideH(), options.StrideW()
        dilation = options.DilationHFactor(), options.DilationWFactor()
        window = self._window(self._shape(ins[0]), weights.shape[2:], stride, dilation, options.Padding())
        inputs = [self._value(ins[0]), self._weight(f"t{out}_w", weights)]
        if len(ins) > 2 and ins[2] >= 0:
            inputs.append(self._weight(f"t{out}_b", self.constants[ins[2]]))
        value = self._emit("Conv", inputs, f"t{out}", group=groups, dilations=list(dilation), **window)
        self._activate(value, options.FusedActivationFunction(), out)

    def _op_conv_2d(self, op, ins, out):
        weights = self.constants[ins[1]].transpose(0, 3, 1, 2)  # OHWI
        self._conv(op, ins, out, self._options(op, tflite.Conv2DOptions), weights, 1)

    def _op_depthwise_conv_2d(self, op, ins, out):
        weights = self.constants[ins[1]].transpose(3, 0, 1, 2)  # 1HWO
        self._conv(op, ins, out, self._options(op, tflite.DepthwiseConv2DOptions), weights, self._shape(ins[0])[3])

    def _op_max_pool_2d(self, op, ins, out):
        options = self._options(op, tflite.Pool2DOptions)
        kernel, stride = (options.FilterHeight(), options.FilterWidth()), (options.StrideH(), options.StrideW())
        window = self._window(self._shape(ins[0]), kernel, stride, (1, 1), options.Padding())
        value = self._emit("MaxPool", [self._value(ins[0])], f"t{out}", **window)
        self._activate(value, options.FusedActivationFunction(), out)

    def _op_fully_connected(self, op, ins, out):
        options = self._options(op, tflite.FullyConnectedOptions)
        if len(self._shape(ins[0])) != 2:
            raise Unsupported(f"FULLY_CONNECTED on shape {self._shape(ins[0])}")
        weights, bias = self.constants[ins[1]], self.constants[ins[2]]
        inputs = [self._value(ins[0]), self._weight(f"t{out}_w", weights), self._weight(f"t{out}_b", bias)]
        value = self._emit("Gemm", inputs, f"t{out}", transB=1)
        self._activate(value, options.FusedActivationFunction(), out)

    def _op_dequantize(self, op, ins, out):
        self.constants[out] = self.constants[ins[0]].astype(np.float32)

    def _op_add(self, op, ins, out):
        value = self._emit("Add", [self._value(ins[0]), self._value(ins[1])], f"t{out}")
        self._activate(value, self._options(op, tflite.AddOptions).FusedActivationFunction(), out)

    def _op_relu(self, op, ins, out):
        self.names[out] = self._emit("Relu", [self._value(ins[0])], f"t{out}")

    def _op_logistic(self, op, ins, out):
        self.names[out] = self._emit("Sigmoid", [self._value(ins[0])], f"t{out}")

    def _op_prelu(self, op, ins, out):
        slope = self._weight(f"t{out}_slope", self.constants[ins[1]].transpose(2, 0, 1)[None])  # HWC
        self.names[out] = self._emit("PRelu", [self._value(ins[0]), slope], f"t{out}")

    def _op_pad(self, op, ins, out):
        begin_end = self.constants[ins[1]][TO_NCHW] if len(self._shape(ins[0])) == 4 else self.constants[ins[1]]
        pads = self._weight(f"t{out}_pads", begin_end.T.reshape(-1).astype(np.int64))
        self.names[out] = self._emit("Pad", [self._value(ins[0]), pads], f"t{out}", mode="constant")

    def _op_mean(self, op, ins, out):
        if sorted(self.constants[ins[1]].reshape(-1).tolist()) != [1, 2]:
            raise Unsupported(f"MEAN over axes {self.constants[ins[1]]}; over height and width is handled")
        value = self._emit("GlobalAveragePool", [self._value(ins[0])], f"t{out}_mean")
        keep = self._options(op, tflite.ReducerOptions).KeepDims()
        self.names[out] = value if keep else self._emit("Flatten", [value], f"t{out}", axis=1)

    def _op_resize_bilinear(self, op, ins, out):
        options = self._options(op, tflite.ResizeBilinearOptions)
        mode = "align_corners" if options.AlignCorners() else "half_pixel" if options.HalfPixelCenters() else "asymmetric"
        shape = self._shape(out)
        sizes = self._weight(f"t{out}_sizes", np.array([shape[i] for i in TO_NCHW], np.int64))
        inputs = [self._value(ins[0]), "", "", sizes]
        self.names[out] = self._emit("Resize", inputs, f"t{out}", mode="linear", coordinate_transformation_mode=mode)

    def _op_reshape(self, op, ins, out):
        value = self._value(ins[0])
        if len(self._shape(ins[0])) == 4:
            value = self._emit("Transpose", [value], f"t{out}_nhwc", perm=TO_NHWC)
        shape = self._weight(f"t{out}_shape", np.array(self._shape(out), np.int64))
        self.names[out] = self._emit("Reshape", [value, shape], f"t{out}")
        if len(self._shape(out)) == 4:
            self.names[out] = self._emit("Transpose", [self.names[out]], f"t{out}_nchw", perm=TO_NCHW)

    def _op_concatenation(self, op, ins, out):
        axis = self._options(op, tflite.ConcatenationOptions).Axis() % len(self._shape(out))
        axis = TO_NCHW.index(axis) if len(self._shape(out)) == 4 else axis
        self.names[out] = self._emit("Concat", [self._value(i) for i in ins], f"t{out}", axis=axis)
