"""all-MiniLM-L6-v2 (BERT, 6 layers of width 384; safetensors) -> ONNX, and its tokenizer.

The graph takes token ids and a mask and ends in the sentence embedding: mean over the tokens that the mask keeps, length 1.
Every token is of type 0, so that embedding is added to the position embeddings. Batch and length stay symbolic: N, S.
"""

import json
import struct
import unicodedata

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
N_LAYERS, WIDTH, N_HEADS = 6, 384, 12
NORM_EPSILON = 1e-12


def convert(source_path, target_path, name):
    model = Builder(load_safetensors(source_path)).run(name)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target_path)


def load_safetensors(path):
    """Name -> numpy array for every float32 tensor."""
    with open(path, "rb") as f:
        (header_bytes,) = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(header_bytes)), f.read()
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            tensors[name] = np.frombuffer(data[begin:end], "<f4").reshape(entry["shape"])
    return tensors


class Builder:
    def __init__(self, state):
        self.state, self.nodes, self.weights = state, [], []

    def run(self, name):
        hidden = self._embed()
        mask = self._emit("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
        attention_bias = self._attention_bias(mask)
        for i in range(N_LAYERS):
            hidden = self._layer(hidden, attention_bias, f"encoder.layer.{i}.")
        self._pool(hidden, mask)
        graph = helper.make_graph(
            self.nodes, name,
            [helper.make_tensor_value_info(n, TensorProto.INT64, ["N", "S"]) for n in ("input_ids", "attention_mask")],
            [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["N", WIDTH])],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)

    def _embed(self):
        state = self.state
        words = self._weight("words", state["embeddings.word_embeddings.weight"])
        table = state["embeddings.position_embeddings.weight"] + state["embeddings.token_type_embeddings.weight"][0]
        shape = self._emit("Shape", ["input_ids"], "ids_shape")
        length = self._emit("Slice", [shape, self._ints("one", [1]), self._ints("two", [2])], "length")
        position_inputs = [self._weight("positions", table), self._ints("zero", [0]), length, "zero"]
        positions = self._emit("Slice", position_inputs, "positions_used")
        word = self._emit("Gather", [words, "input_ids"], "word")
        return self._norm(self._emit("Add", [word, positions], "embedded"), "embeddings.LayerNorm")

    def _attention_bias(self, mask):
        """0 where a token may be attended to, -10000 where not, as [N, 1, 1, S]."""
        dropped = self._emit("Sub", [self._weight("f_one", np.float32(1)), mask], "dropped")
        bias = self._emit("Mul", [dropped, self._weight("f_far", np.float32(-10000))], "bias_2d")
        return self._emit("Unsqueeze", [bias, self._ints("bias_axes", [1, 2])], "attention_bias")

    def _layer(self, hidden, attention_bias, p):
        attended = self._attention(hidden, attention_bias, p + "attention.self.")
        attended = self._dense(attended, p + "attention.output.dense")
        hidden = self._norm(self._emit("Add", [attended, hidden], p + "add_0"), p + "attention.output.LayerNorm")
        inner = self._gelu(self._dense(hidden, p + "intermediate.dense"), p)
        inner = self._dense(inner, p + "output.dense")
        return self._norm(self._emit("Add", [inner, hidden], p + "add_1"), p + "output.LayerNorm")

    def _attention(self, hidden, attention_bias, p):
        query, key, value = (self._heads(hidden, p + part) for part in ("query", "key", "value"))
        key = self._emit("Transpose", [key], p + "key_t", perm=[0, 1, 3, 2])
        scores = self._emit("MatMul", [query, key], p + "scores_raw")
        root = self._weight(p + "root", np.float32((WIDTH / N_HEADS) ** 0.5))
        scores = self._emit("Div", [scores, root], p + "scores")
        scores = self._emit("Add", [scores, attention_bias], p + "scores_masked")
        attention = self._emit("Softmax", [scores], p + "attention", axis=-1)
        context = self._emit("MatMul", [attention, value], p + "context_heads")
        context = self._emit("Transpose", [context], p + "context_t", perm=[0, 2, 1, 3])
        return self._emit("Reshape", [context, self._ints(p + "merged", [0, 0, WIDTH])], p + "context")

    def _heads(self, hidden, p):
        split = self._ints(p + ".split", [0, 0, N_HEADS, WIDTH // N_HEADS])
        heads = self._emit("Reshape", [self._dense(hidden, p), split], p + ".heads")
        return self._emit("Transpose", [heads], p + ".heads_t", perm=[0, 2, 1, 3])

    def _gelu(self, value, p):
        scaled = self._emit("Div", [value, self._weight(p + "root2", np.float32(2**0.5))], p + "gelu_scaled")
        erf = self._emit("Erf", [scaled], p + "gelu_erf")
        one_more = self._emit("Add", [erf, self._weight(p + "gelu_one", np.float32(1))], p + "gelu_sum")
        product = self._emit("Mul", [value, one_more], p + "gelu_product")
        return self._emit("Mul", [product, self._weight(p + "gelu_half", np.float32(0.5))], p + "gelu")

    def _pool(self, hidden, mask):
        column = self._emit("Unsqueeze", [mask, self._ints("last", [-1])], "mask_column")
        kept = self._emit("Mul", [hidden, column], "kept")
        total = self._emit("ReduceSum", [kept, self._ints("tokens", [1])], "total", keepdims=0)
        count = self._emit("ReduceSum", [column, "tokens"], "count", keepdims=0)
        mean = self._emit("Div", [total, count], "mean")
        square = self._emit("Mul", [mean, mean], "square")
        length = self._emit("Sqrt", [self._emit("ReduceSum", [square, "last"], "length_2", keepdims=1)], "norm")
        self._emit("Div", [mean, length], "sentence_embedding")

    def _dense(self, value, p):
        product = self._emit("MatMul", [value, self._weight(p + ".weight", self.state[p + ".weight"].T)], p + ".product")
        return self._emit("Add", [product, self._weight(p + ".bias", self.state[p + ".bias"])], p)

    def _norm(self, value, p):
        parts = [self._weight(f"{p}.{part}", self.state[f"{p}.{part}"]) for part in ("weight", "bias")]
        return self._emit("LayerNormalization", [value, *parts], p, axis=-1, epsilon=NORM_EPSILON)

    def _weight(self, name, array):
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32).reshape(np.shape(array)), name))
        return name

    def _ints(self, name, values):
        self.weights.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def _emit(self, op_type, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=output, **attributes))
        return output


def tokenize(text, vocabulary):
    """Ids of BERT's uncased WordPiece tokenizer (no Chinese characters), with [CLS] and [SEP]."""
    text = unicodedata.normalize("NFD", text.lower())
    text = "".join(c for c in text if unicodedata.category(c) != "Mn")
    spaced = "".join(c if c.isalnum() else " " if c.isspace() else f" {c} " for c in text)
    pieces = [piece for word in spaced.split() for piece in _wordpiece(word, vocabulary)]
    return [vocabulary[piece] for piece in ["[CLS]", *pieces, "[SEP]"]]


def _wordpiece(word, vocabulary):
    pieces, begin = [], 0
    while begin < len(word):
        prefix = "##" if begin else ""
        end = next((e for e in range(len(word), begin, -1) if prefix + word[begin:e] in vocabulary), None)
        if end is None:
            return ["[UNK]"]
        pieces.append(prefix + word[begin:end])
        begin = end
    return pieces
