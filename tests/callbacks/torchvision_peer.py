# SPDX-License-Identifier: Apache-2.0
"""What torchvision makes of a few images: MixUp, CutMix and Resize of torchvision.transforms.v2.

    torchvision_peer.py FILE

writes the file that lies beside this script as torchvision_reference.txt: a line for each case, its name and numbers.
Exit code 77: torchvision is not there.
"""

import sys

import torch


def import_v2():
    try:
        import torchvision.transforms.v2 as v2
    except ImportError:
        sys.exit(77)
    except RuntimeError:  # a build for another device: its own operators, which are not needed here, are missing
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor a, Tensor b, float c) -> Tensor")
        import torchvision.transforms.v2 as v2

        import_v2.library = library
    return v2


class Given:
    """Stands in for the Beta distribution."""

    def __init__(self, value):
        self.value = value

    def sample(self, shape):
        return torch.tensor([self.value], dtype=torch.float64)


def main(path):
    v2 = import_v2()
    images = ((torch.arange(3 * 2 * 5 * 6) * 37 % 19 - 9).float() / 8).reshape(3, 2, 5, 6)
    labels = torch.tensor([2, 0, 3])
    lines = []

    def record(name, *tensors):
        numbers = torch.cat([tensor.double().flatten() for tensor in tensors])
        lines.append(" ".join([name, *(repr(float(number)) for number in numbers)]))

    for share in (0.25, 0.6, 0.9375):
        mixup = v2.MixUp(num_classes=4)
        mixup._dist = Given(share)
        record(f"mixup_{share}", *mixup(images, labels))
    for share, row, column in ((0.5, 2, 3), (0.1, 0, 5), (0.97, 4, 0), (0.36, 1, 2)):
        cutmix = v2.CutMix(num_classes=4)
        cutmix._dist = Given(share)
        drawn = iter((column, row))
        randint, torch.randint = torch.randint, lambda *_, **__: torch.tensor([next(drawn)])
        mixed = cutmix(images, labels)
        torch.randint = randint
        record(f"cutmix_{share}_{row}_{column}", *mixed)
    for height, width in ((3, 4), (10, 9), (2, 11)):
        for antialias in (True, False):
            record(f"resize_{height}_{width}_{int(antialias)}", v2.Resize((height, width), antialias=antialias)(images))
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
