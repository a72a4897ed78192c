"""References and what each network says on its input, with ONNX Runtime on the CPU."""

import json

import numpy as np
import onnxruntime

import inputs


def session(path):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(model_session, arrays):
    return model_session.run(None, {i.name: a for i, a in zip(model_session.get_inputs(), arrays)})


def says(name, model_session, outputs, files):
    return globals()["_" + name](model_session, outputs, files)


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.float64(x)))


def _softmax(x):
    e = np.exp(np.float64(x) - np.max(x))
    return e / e.sum()


def _blazeface(_session, outputs, _files):
    return f"face score {_sigmoid(outputs[1].max()):.3f}"


def _face_landmark(_session, outputs, _files):
    points = outputs[0].reshape(468, 3)
    nose, chin = points[4], points[152]
    where = [f"{part} at ({point[0]:.0f}, {point[1]:.0f})" for part, point in (("nose", nose), ("chin", chin))]
    return f"face present {_sigmoid(outputs[1].item()):.3f}; {', '.join(where)} of 192"


def _palm_detection(_session, outputs, _files):
    return f"palm score {_sigmoid(outputs[1].max()):.3f}"


def _hand_landmark(_session, outputs, _files):
    tips = outputs[0].reshape(21, 3)[8::4, :2]
    drawn = np.array([joints[-1] for joints, _ in inputs.HAND_FINGERS[:4]]) * 224 / 192
    off = np.linalg.norm(tips - drawn, axis=1).max()
    return f"hand present {outputs[1].item():.3f}; four finger tips at most {off:.0f} of 224 pixels from where they are drawn"


def _silero_vad(model_session, outputs, _files):
    silence = [np.zeros((1, 576), np.float32), np.zeros((2, 1, 128), np.float32)]
    return f"speech {outputs[0].item():.3f} (digital silence: {run(model_session, silence)[0].item():.3f})"


def _basic_pitch(model_session, outputs, _files):
    by_name = dict(zip((o.name for o in model_session.get_outputs()), outputs))
    notes = by_name["StatefulPartitionedCall:1"][0]  # frames x 88 keys
    thirds = np.array_split(notes, 3)
    heard = [int(third.mean(axis=0).argmax()) + 21 for third in thirds]
    return f"notes {heard}, played {inputs.NOTES_MIDI} (MIDI)"


def _magika(_session, outputs, files):
    with open(files("magika", "magika/models/standard_v3_3/config.min.json"), encoding="utf-8") as f:
        labels = json.load(f)["target_labels_space"]
    best = int(outputs[0].argmax())
    return f"{labels[best]} {outputs[0][0, best]:.4f}"


def _ppocr_det(_session, outputs, _files):
    return f"{100 * (outputs[0] > 0.3).mean():.0f} % of the map above 0.3"


def _ppocr_cls(_session, outputs, _files):
    return f"upside down {outputs[0][0, 1]:.3f}"


def _ppocr_rec(model_session, outputs, _files):
    characters = ["", *model_session.get_modelmeta().custom_metadata_map["character"].splitlines(), " "]
    ids = outputs[0][0].argmax(axis=1)
    kept = [int(i) for k, i in enumerate(ids) if i and (k == 0 or i != ids[k - 1])]
    return f'"{"".join(characters[i] for i in kept)}"'


def _mobilenet_v2(_session, outputs, _files):
    p = _softmax(outputs[0][0])
    return f"class {p.argmax()}, probability {p.max():.2f} (281 to 285: cats, together {p[281:286].sum():.2f})"


def _minilm(model_session, outputs, files):
    def similarity(sentence):
        return (run(model_session, inputs.tokens_of(sentence, files))[0] @ outputs[0].T).item()

    near, far = "Pixels are marked as part of an object or of the background.", "My grandmother bakes the best apple cake."
    return f'similarity {similarity(near):.2f} to "{near}", {similarity(far):.2f} to "{far}"'
