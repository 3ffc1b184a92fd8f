# SPDX-License-Identifier: Apache-2.0
"""The Python side of the tests of figures that compute something.

    understanding_peer.py numbers          Grad-CAM by hooks in torch, principal components by scikit-learn: prints
                                           lines `NAME NUMBER NUMBER …`; understanding_reference.txt holds them
    understanding_peer.py svg FILE …       parses each file and prints `ok ELEMENTS`, or what is wrong
    understanding_peer.py png FILE X,Y …   reads a PNG and prints `WIDTH HEIGHT`, then a line `R G B` for each pixel

The last two need nothing but Python. Ends with 77 when torch or scikit-learn is missing.
"""

import math
import struct
import sys
import xml.etree.ElementTree
import zlib


def wave(count, step, shift, scale):
    """The numbers that the test makes too."""
    return [scale * math.sin(step * i + shift) for i in range(count)]


def grad_cam_lines(torch):
    """The few lines that everybody writes."""
    functional = torch.nn.functional

    def tensor(shape, step, shift, scale):
        return torch.tensor(wave(math.prod(shape), step, shift, scale)).float().reshape(shape)

    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(4, 6, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(24, 3),
    )
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters()):
            parameter.copy_(tensor(parameter.shape, 0.7, 0.3 * number, 0.4))
    images = tensor((2, 2, 8, 8), 0.37, 0.1, 1.0)
    for layer in ("0", "1", "3"):
        kept = {}
        hook = net.get_submodule(layer).register_forward_hook(lambda module, given, output: kept.update(values=output))
        scores = net(images)
        hook.remove()
        for name, classes in (("best", scores.argmax(1)), ("second", torch.tensor([1, 2]))):
            explained = scores.gather(1, classes[:, None]).sum()
            gradient = torch.autograd.grad(explained, kept["values"], retain_graph=True)[0]
            raw = (gradient.mean((2, 3), keepdim=True) * kept["values"]).sum(1).relu()
            large = functional.interpolate(raw[:, None], size=(8, 8), mode="bilinear", align_corners=False)[:, 0]
            maps = large / large.amax((1, 2), keepdim=True).clamp_min(1e-30)
            yield f"cam_{layer}_{name}_raw", raw.flatten().tolist()
            yield f"cam_{layer}_{name}_map", maps.flatten().tolist()
            yield f"cam_{layer}_{name}_class", classes.tolist()


def component_lines():
    import numpy
    from sklearn.decomposition import PCA

    data = numpy.array([math.sin(0.37 * i + 0.011 * i * i) for i in range(240)]).reshape(40, 6) * numpy.array([3, 1, 2, 0.5, 0.2, 1.5])
    pca = PCA(n_components=3, svd_solver="full").fit(data)
    yield "pca_points", pca.transform(data).flatten().tolist()
    yield "pca_components", pca.components_.flatten().tolist()
    yield "pca_variance", pca.explained_variance_.tolist()
    yield "pca_share", pca.explained_variance_ratio_.tolist()


def numbers():
    try:
        import sklearn  # noqa: F401
        import torch
    except ImportError as missing:
        print(missing)
        sys.exit(77)
    torch.set_num_threads(1)
    for name, values in [*grad_cam_lines(torch), *component_lines()]:
        print(name, *(f"{value:.9g}" for value in values))


def read_svg(path):
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except xml.etree.ElementTree.ParseError as error:
        return f"{path}: {error}"
    if root.tag != "{http://www.w3.org/2000/svg}svg":
        return f"{path}: {root.tag}"
    for element in root.iter():
        for name, value in element.attrib.items():
            if "nan" in value.lower().split() or "inf" in value:
                return f"{path}: {element.tag} has {name}={value}"
    return f"ok {sum(1 for _ in root.iter())}"


def read_png(path, places):
    with open(path, "rb") as file:
        content = file.read()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed, header = 8, b"", None
    while at < len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
        assert zlib.crc32(kind + body) == struct.unpack(">I", content[at + 8 + size : at + 12 + size])[0]
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        if kind == b"IDAT":
            packed += body
        at += 12 + size
    width, height, depth, colour = header[:4]
    assert depth == 8 and colour == 2
    rows = zlib.decompress(packed)
    stride = 1 + 3 * width
    assert len(rows) == stride * height and not any(rows[::stride])
    print(width, height)
    for place in places:
        x, y = map(int, place.split(","))
        print(*rows[y * stride + 1 + 3 * x : y * stride + 4 + 3 * x])


def main():
    if sys.argv[1] == "numbers":
        numbers()
    elif sys.argv[1] == "svg":
        for path in sys.argv[2:]:
            print(read_svg(path))
    else:
        read_png(sys.argv[2], sys.argv[3:])


if __name__ == "__main__":
    main()
