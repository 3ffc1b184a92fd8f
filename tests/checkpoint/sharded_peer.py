# SPDX-License-Identifier: Apache-2.0
"""The Python side of sharded_safetensors_test.cpp, with the real safetensors package and the layout of huggingface_hub.

    sharded_peer.py write FOLDER    writes three files and an index
    sharded_peer.py check FOLDER    reads what the test wrote as transformers does: the index, then each file
"""

import json
import pathlib
import sys

import safetensors.torch
import torch


def tensors():
    return {f"layers.{i}.weight": torch.arange(100, dtype=torch.float32).reshape(10, 10) + i for i in range(5)}


def write(folder):
    names = list(tensors())
    shards = [names[:2], names[2:4], names[4:]]
    weight_map = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        safetensors.torch.save_file({name: tensors()[name] for name in shard}, folder / file, metadata={"format": "pt"})
        weight_map.update({name: file for name in shard})
    index = {"metadata": {"total_parameters": 500, "total_size": 2000, "note": {"nested": [1, {"a": None}]}}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def check(folder):
    text = (folder / "model.safetensors.index.json").read_text()
    index = json.loads(text)
    assert text == json.dumps(index, indent=2, sort_keys=True) + "\n", "the layout of Hugging Face"
    assert index["metadata"]["total_size"] == 2000, index["metadata"]
    found = {}
    for file in sorted(set(index["weight_map"].values())):
        assert (folder / file).stat().st_size < 1400
        with safetensors.safe_open(folder / file, framework="pt") as shard:
            assert shard.metadata() == {"format": "pt"}
            for name in shard.keys():
                assert index["weight_map"][name] == file
                found[name] = shard.get_tensor(name)
    assert sorted(set(index["weight_map"].values())) == [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    assert set(found) == set(tensors())
    assert all(torch.equal(found[name], want) for name, want in tensors().items())


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]](pathlib.Path(sys.argv[2]))
