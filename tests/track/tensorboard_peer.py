# SPDX-License-Identifier: Apache-2.0
"""The real TensorBoard, for the tests of event files.

  tensorboard_peer.py record         prints tensorboard_reference.txt: what its own protocol buffers make of some events
  tensorboard_peer.py read FOLDER    prints what it reads from event files, a line for each value, sorted
"""

import struct
import sys


def record():
    from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

    def framed(content):
        length = struct.pack("<Q", len(content))
        crc = lambda data: struct.pack("<I", masked_crc32c(data))
        return length + crc(length) + content + crc(content)

    def event(value):
        summary = summary_pb2.Summary(value=[value])
        return event_pb2.Event(wall_time=1.5, step=300, summary=summary)

    def plugin(tag, data):
        metadata = summary_pb2.SummaryMetadata(
            plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="hparams", content=data.SerializeToString())
        )
        return summary_pb2.Summary.Value(tag=tag, metadata=metadata)

    value = summary_pb2.Summary.Value
    text_metadata = summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="text")
    )
    text_tensor = tensor_pb2.TensorProto(
        dtype=7,
        tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)]),
        string_val=["größe".encode()],
    )
    start = plugin_data_pb2.SessionStartInfo(start_time_secs=2.5)
    start.hparams["lr"].number_value = 0.001
    from tensorboard.compat.proto import attr_value_pb2, graph_pb2, node_def_pb2, versions_pb2
    from tensorboard.plugins.pr_curve import plugin_data_pb2 as pr_data_pb2

    dim = tensor_shape_pb2.TensorShapeProto.Dim
    curve = value(
        tag="cats",
        tensor=tensor_pb2.TensorProto(
            dtype=1,
            tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=[dim(size=6), dim(size=2)]),
            tensor_content=struct.pack("<12f", 3, 1, 2, 0, 0, 2, 0, 2, 0.6, 1, 1, 1 / 3),
        ),
        metadata=summary_pb2.SummaryMetadata(
            plugin_data=summary_pb2.SummaryMetadata.PluginData(
                plugin_name="pr_curves", content=pr_data_pb2.PrCurvePluginData(num_thresholds=2).SerializeToString()
            )
        ),
    )
    node = node_def_pb2.NodeDef(name="fc/0", op="Linear", input=["input"])
    node.attr["weight"].s = b"(2, 3)"
    graph = graph_pb2.GraphDef(
        node=[node_def_pb2.NodeDef(name="input", op="Placeholder"), node], versions=versions_pb2.VersionDef(producer=22)
    )
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=2.5)
    data = plugin_data_pb2.HParamsPluginData
    events = {
        "scalar": event(value(tag="größe/a b", simple_value=0.25)),
        "nan": event(value(tag="nan", simple_value=float("nan"))),
        "histogram": event(
            value(
                tag="weights",
                histo=summary_pb2.HistogramProto(
                    min=-1, max=2, num=6, sum=3, sum_squares=9, bucket_limit=[0, 1, 2], bucket=[1, 2, 3]
                ),
            )
        ),
        "image": event(
            value(
                tag="image",
                image=summary_pb2.Summary.Image(height=2, width=300, colorspace=3, encoded_image_string=b"PNG"),
            )
        ),
        "text": event(value(tag="text", tensor=text_tensor, metadata=text_metadata)),
        "session_start": event(plugin("_hparams_/session_start_info", data(session_start_info=start))),
        "session_end": event(plugin("_hparams_/session_end_info", data(session_end_info=end))),
        "curve": event(curve),
        "graph": event_pb2.Event(wall_time=1.5, graph_def=graph.SerializeToString()),
        "session": event_pb2.Event(
            wall_time=1.5, step=300, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        ),
        "version": event_pb2.Event(wall_time=1.5, file_version="brain.Event:2"),
    }
    for name, each in events.items():
        print(name, framed(each.SerializeToString()).hex())


def projections(folder):
    """What the PROJECTOR page finds, by its own reader of the configuration."""
    import os

    from google.protobuf import text_format
    from PIL import Image
    from tensorboard.plugins.projector import projector_config_pb2, projector_plugin

    lines = []
    for root, _, files in os.walk(folder):
        if "projector_config.pbtxt" not in files:
            continue
        config = projector_config_pb2.ProjectorConfig()
        with open(os.path.join(root, "projector_config.pbtxt"), encoding="utf-8") as file:
            text_format.Parse(file.read(), config)
        for each in config.embeddings:
            tensor = projector_plugin._read_tensor_tsv_file(os.path.join(root, each.tensor_path))
            lines.append(f"embedding {each.tensor_name} {tensor.shape} {tensor.sum():.6g}")
            if each.metadata_path:
                with open(os.path.join(root, each.metadata_path), encoding="utf-8") as file:
                    lines.append(f"labels {each.tensor_name} " + "|".join(file.read().splitlines()))
            if each.sprite.image_path:
                picture = Image.open(os.path.join(root, each.sprite.image_path))
                size = tuple(each.sprite.single_image_dim)
                lines.append(f"sprite {each.tensor_name} {picture.mode} {picture.size} of {size}")
    return lines


def read(folder):
    import io

    from PIL import Image
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
    from tensorboard.util import tensor_util

    multiplexer = plugin_event_multiplexer.EventMultiplexer(
        tensor_size_guidance={plugin: 0 for plugin in ("scalars", "histograms", "images", "text", "pr_curves")}
    )
    multiplexer.AddRunsFromDirectory(folder)
    multiplexer.Reload()
    lines = []
    for run in multiplexer.Runs():
        accumulator = multiplexer.GetAccumulator(run)
        for tag in accumulator.Tags()["tensors"]:
            plugin = accumulator.SummaryMetadata(tag).plugin_data.plugin_name
            for event in accumulator.Tensors(tag):
                array = tensor_util.make_ndarray(event.tensor_proto)
                if plugin == "scalars":
                    shown = f"{float(array):.6g}"
                elif plugin == "histograms":
                    shown = " ".join(f"{left:g}..{right:g}:{count:g}" for left, right, count in array)
                elif plugin == "images":
                    picture = Image.open(io.BytesIO(array[2]))
                    shown = f"{picture.mode} {picture.width}x{picture.height} {picture.tobytes().hex()}"
                elif plugin == "pr_curves":
                    shown = f"{array.shape} " + " ".join(f"{number:.6g}" for number in array.reshape(-1))
                elif plugin == "text":
                    shown = array.reshape(-1)[0].decode().replace("\n", "\\n")
                else:
                    continue
                lines.append(f"{plugin} {run} {tag} {event.step} {shown}")
        try:
            for node in accumulator.Graph().node:
                shapes = [[dim.size for dim in shape.dim] for shape in node.attr["_output_shapes"].list.shape]
                texts = sorted(f"{name}={each.s.decode()}" for name, each in node.attr.items() if each.s)
                lines.append(f"node {run} {node.name} {node.op} {','.join(node.input)} {' '.join(texts)} {shapes}")
        except ValueError:
            pass
    lines += projections(folder)
    provider = data_provider.MultiplexerDataProvider(multiplexer, folder)
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=100,
        allowed_statuses=[api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_RUNNING],
    )
    response = list_session_groups.Handler(RequestContext(), context, "", request).run()
    for group in response.session_groups:
        for name, hparam in group.hparams.items():
            kind = hparam.WhichOneof("kind")
            lines.append(f"hparam {name} {kind} {getattr(hparam, kind)}")
        for metric in group.metric_values:
            lines.append(f"metric {metric.name.group} {metric.name.tag} {metric.training_step} {metric.value:.6g}")
        for session in group.sessions:
            lines.append(f"session {session.name or '.'} {api_pb2.Status.Name(session.status)}")
    print("\n".join(sorted(lines)))


if __name__ == "__main__":
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        print("tensorboard is not installed")
        sys.exit(77)
    record() if sys.argv[1] == "record" else read(sys.argv[2])
