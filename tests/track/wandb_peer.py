# SPDX-License-Identifier: Apache-2.0
"""The real Weights & Biases, for the tests of its tracker. 77: it is not installed.

  wandb_peer.py record         prints wandb_reference.txt: what its own messages and its own log make of some records
                               (needs a package that still has the log in Python: wandb 0.21)
  wandb_peer.py read FILE      prints what it reads from a .wandb file, a line for each fact

Newer packages read the log in Go; then the frame is taken apart here and the messages are read by the package.
"""

import hashlib
import os
import struct
import sys
import tempfile
import zlib


def messages():
    from wandb.proto import wandb_internal_pb2 as pb

    items = lambda kind, pairs: [kind(key=key, value_json=value) for key, value in pairs]
    run = pb.RunRecord(
        run_id="abc", entity="me", project="größe", run_group="g", display_name="n", tags=["a", "b"], host="h",
        starting_step=300, resumed=True,
    )
    run.config.update.extend(items(pb.ConfigItem, [("lr", "0.1")]))
    run.start_time.seconds, run.start_time.nanos = 1700000000, 500000000
    history = pb.HistoryRecord(item=items(pb.HistoryItem, [("loss", "NaN"), ("_step", "300")]))
    history.step.num = 300
    record = pb.Record
    header = pb.HeaderRecord()
    header.version_info.producer, header.version_info.min_consumer = "athanor", "0.40.0"
    files = pb.FilesRecord(files=[pb.FilesItem(path="output.log", policy="END", type="WANDB")])
    media = pb.FilesRecord(files=[pb.FilesItem(path="media/x.png", type="MEDIA")])
    return {
        "header": record(header=header),
        "run": record(run=run),
        "history": record(history=history),
        "summary": record(summary=pb.SummaryRecord(update=items(pb.SummaryItem, [("best", "1")]))),
        "files": record(files=files),
        "media": record(files=media),
        "exit": record(exit=pb.RunExitRecord(exit_code=1, runtime=200)),
    }


def record():
    import wandb

    wandb._assert_is_internal_process = True
    from wandb.sdk.internal.datastore import DataStore

    for name, message in messages().items():
        print(name, message.SerializeToString().hex())
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "log")
        store = DataStore()
        store.open_for_write(path)
        # Within a block, over several, one that leaves 3 bytes of a block, and one that ends with its block.
        position = 7
        for size in (10, 100000, -3, 5, -0):
            if size <= 0:
                size = 32768 - position % 32768 - 7 + size
            store._write_data(bytes(i * 7 % 251 for i in range(size)))
            position = store._index
        store.close()
        with open(path, "rb") as file:
            print("log", hashlib.sha256(file.read()).hexdigest())


def scan(path):
    with open(path, "rb") as file:
        data = file.read()
    assert data[:7] == b":W&B\xe1\xbe\0", "the head is another one"
    at, record = 7, b""
    while at < len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        crc, length, kind = struct.unpack("<IHB", data[at : at + 7])
        piece = data[at + 7 : at + 7 + length]
        assert zlib.crc32(piece, zlib.crc32(bytes([kind]))) == crc, "a checksum is wrong"
        at += 7 + length
        record = piece if kind in (1, 2) else record + piece
        if kind in (1, 4):
            yield record


def records(path):
    try:
        import wandb

        wandb._assert_is_internal_process = True
        from wandb.sdk.internal.datastore import DataStore
    except ImportError:
        print("reader ours")
        yield from scan(path)
        return
    print("reader wandb")
    store = DataStore()
    store.open_for_scan(path)
    while (data := store.scan_data()) is not None:
        yield data


def read(path):
    from wandb.proto import wandb_internal_pb2 as pb

    for number, data in enumerate(records(path), 1):
        record = pb.Record()
        record.ParseFromString(data)
        assert record.num == number, "records are not numbered one after the other"
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            print(f"run {run.run_id} {run.project} {run.run_group} {run.display_name} {','.join(run.tags)}", end=" ")
            print(f"from {run.starting_step} resumed {run.resumed}")
            for item in run.config.update:
                print(f"config {item.key} {item.value_json}")
        elif kind == "history":
            for item in record.history.item:
                if item.key not in ("_timestamp", "_runtime"):
                    print(f"history {record.history.step.num} {item.key} {item.value_json}")
        elif kind == "summary":
            for item in record.summary.update:
                print(f"summary {item.key} {item.value_json}")
        elif kind == "files":
            for item in record.files.files:
                print(f"file {item.path} {pb.FilesItem.FileType.Name(item.type)}")
        elif kind == "exit":
            print(f"exit {record.exit.exit_code}")
        elif kind == "artifact":
            artifact = record.artifact
            print(f"artifact {artifact.type} {artifact.name} {artifact.digest} {','.join(artifact.aliases)}")
            for entry in artifact.manifest.contents:
                print(f"entry {entry.path} {entry.digest} {entry.size} {os.path.isfile(entry.local_path)}")
        else:
            print(kind)


if __name__ == "__main__":
    try:
        import wandb  # noqa: F401
        from wandb.proto import wandb_internal_pb2  # noqa: F401
    except ImportError:
        print("wandb is not installed")
        sys.exit(77)
    record() if sys.argv[1] == "record" else read(sys.argv[2])
