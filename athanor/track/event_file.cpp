// SPDX-License-Identifier: Apache-2.0
// The numbers of the fields are those of event.proto, summary.proto, tensor.proto and graph.proto.
#include "athanor/track/event_file.hpp"

#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <vector>

#include "athanor/core/error.hpp"
#include "athanor/core/utf8.hpp"
#include "athanor/track/crc32c.hpp"

namespace athanor::track {
namespace {

std::string little_endian(uint64_t value, size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  return bytes;
}

std::filesystem::path new_event_file(const std::filesystem::path& folder) {
  static std::atomic<int> number = 0;
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0 || host[0] == '\0') host = {"localhost"};
  // TensorBoard reads files in the order of their names.
  std::string seconds = std::to_string(static_cast<int64_t>(wall_clock()));
  seconds.insert(0, seconds.size() < 10 ? 10 - seconds.size() : 0, '0');
  std::string count = std::to_string(number++);
  count.insert(0, count.size() < 4 ? 4 - count.size() : 0, '0');
  return folder /
         ("events.out.tfevents." + seconds + "." + host.data() + "." + std::to_string(::getpid()) + "." + count);
}

ProtobufMessage event_at(int64_t step, double wall_time) {
  ProtobufMessage event;
  event.real(1, wall_time).integer(2, step);
  return event;
}

ProtobufMessage metadata_of(std::string_view plugin, std::string_view content) {
  ProtobufMessage data;
  data.bytes(1, plugin);
  if (!content.empty()) data.bytes(2, content);
  ProtobufMessage metadata;
  metadata.message(1, data);
  return metadata;
}

/// TensorFlow's names: letters, digits and `_.-/`, not with one of the last three at the beginning.
std::string node_name(std::string_view name) {
  std::string result;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
    const bool inner = std::string_view("_.-/").find(c) != std::string_view::npos;
    result += plain || (inner && !result.empty()) ? c : result.empty() ? '.' : '_';
  }
  return result;
}

}  // namespace

double wall_clock() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void SummaryMessage::scalar(std::string_view tag, double value) {
  ProtobufMessage entry;
  entry.bytes(1, valid_utf8(tag)).real32(2, static_cast<float>(value));
  message_.message(1, entry);
}

void SummaryMessage::histogram(std::string_view tag, const events::Histogram& histogram) {
  const std::span<const double> edges = histogram.edges;
  if (edges.size() != histogram.counts.size() + 1) {
    throw Error({.what = "edges and counts of a histogram don't fit each other",
                 .where = std::string(tag),
                 .got = std::to_string(edges.size()) + " edges, " + std::to_string(histogram.counts.size()) + " counts",
                 .expected = "one edge more than counts"});
  }
  ProtobufMessage content;
  content.real(1, histogram.minimum).real(2, histogram.maximum).real(3, histogram.count);
  content.real(4, histogram.sum).real(5, histogram.sum_of_squares);
  content.reals(6, edges.subspan(1)).reals(7, histogram.counts);
  ProtobufMessage entry;
  entry.bytes(1, valid_utf8(tag)).message(5, content);
  message_.message(1, entry);
}

void SummaryMessage::image(std::string_view tag, const Png& png) {
  ProtobufMessage content;
  content.integer(1, png.height).integer(2, png.width).integer(3, png.channels).bytes(4, png.bytes);
  ProtobufMessage entry;
  entry.bytes(1, valid_utf8(tag)).message(4, content);
  message_.message(1, entry);
}

void SummaryMessage::text(std::string_view tag, std::string_view markdown) {
  constexpr int64_t string_dtype = 7;
  ProtobufMessage dimension;
  dimension.integer(1, 1);
  ProtobufMessage shape;
  shape.message(2, dimension);
  ProtobufMessage tensor;
  tensor.integer(1, string_dtype).message(2, shape).bytes(8, valid_utf8(markdown));
  ProtobufMessage entry;
  entry.bytes(1, valid_utf8(tag)).message(8, tensor).message(9, metadata_of("text", {}));
  message_.message(1, entry);
}

void SummaryMessage::precision_recall(std::string_view tag, const events::PrecisionRecall& curve) {
  constexpr int64_t float_dtype = 1;
  const size_t count = curve.points.size();
  if (count < 2) {
    throw Error({.what = "a precision-recall curve needs thresholds",
                 .where = std::string(tag),
                 .got = std::to_string(count),
                 .expected = "2 or more points"});
  }
  std::vector<float> rows(6 * count);
  for (size_t i = 0; i < count; ++i) {
    const auto& point = curve.points[i];
    const double called = point.true_positives + point.false_positives;
    const double positives = point.true_positives + point.false_negatives;
    // TensorBoard's own writer counts nothing as 0 too.
    const std::array<double, 6> column{point.true_positives,
                                       point.false_positives,
                                       point.true_negatives,
                                       point.false_negatives,
                                       called > 0 ? point.true_positives / called : 0,
                                       positives > 0 ? point.true_positives / positives : 0};
    for (size_t row = 0; row < column.size(); ++row) rows[row * count + i] = static_cast<float>(column[row]);
  }
  std::string content;
  for (const float value : rows) content += little_endian(std::bit_cast<uint32_t>(value), 4);
  ProtobufMessage shape;
  for (const size_t size : {size_t{6}, count}) {
    ProtobufMessage dimension;
    dimension.integer(1, static_cast<int64_t>(size));
    shape.message(2, dimension);
  }
  ProtobufMessage tensor;
  tensor.integer(1, float_dtype).message(2, shape).bytes(4, content);
  ProtobufMessage data;
  data.integer(2, static_cast<int64_t>(count));
  ProtobufMessage entry;
  entry.bytes(1, valid_utf8(tag)).message(8, tensor).message(9, metadata_of("pr_curves", data.data()));
  message_.message(1, entry);
}

void SummaryMessage::plugin(std::string_view tag, std::string_view plugin, const ProtobufMessage& content) {
  ProtobufMessage entry;
  entry.bytes(1, valid_utf8(tag)).message(9, metadata_of(plugin, content.data()));
  message_.message(1, entry);
}

ProtobufMessage graph_message(const events::Graph& graph) {
  const auto attribute = [](std::string_view name, const ProtobufMessage& value) {
    ProtobufMessage entry;
    entry.bytes(1, name).message(2, value);
    return entry;
  };
  ProtobufMessage message;
  for (const events::Graph::Node& node : graph.nodes) {
    ProtobufMessage content;
    content.bytes(1, node_name(node.name)).bytes(2, valid_utf8(node.operation));
    for (const std::string& input : node.inputs) content.bytes(3, node_name(input));
    for (const auto& [name, value] : node.attributes) {
      ProtobufMessage text;
      text.bytes(2, valid_utf8(value));
      content.message(5, attribute(valid_utf8(name), text));
    }
    if (!node.shapes.empty()) {
      ProtobufMessage list;
      for (const auto& sizes : node.shapes) {
        ProtobufMessage shape;
        for (const int64_t size : sizes) {
          ProtobufMessage dimension;
          dimension.integer(1, size);
          shape.message(2, dimension);
        }
        list.message(7, shape);
      }
      ProtobufMessage value;
      value.message(1, list);
      content.message(5, attribute("_output_shapes", value));
    }
    message.message(1, content);
  }
  constexpr int64_t producer = 22;
  ProtobufMessage versions;
  versions.integer(1, producer);
  message.message(4, versions);
  return message;
}

std::string frame_record(std::string_view content) {
  const std::string length = little_endian(content.size(), 8);
  std::string record;
  record.reserve(content.size() + 16);
  record += length;
  record += little_endian(masked(crc32c(length)), 4);
  record += content;
  record += little_endian(masked(crc32c(content)), 4);
  return record;
}

EventFile::EventFile(const std::filesystem::path& folder) : EventFile(new_event_file(folder), 0) {}

EventFile::EventFile(const std::filesystem::path& path, int) : file_(path) {
  ProtobufMessage event;
  event.real(1, wall_clock()).bytes(3, "brain.Event:2");
  write(event);
}

void EventFile::write(int64_t step, double wall_time, const SummaryMessage& summary) {
  ProtobufMessage event = event_at(step, wall_time);
  event.message(5, summary.message());
  write(event);
}

void EventFile::write_graph(double wall_time, const events::Graph& graph) {
  ProtobufMessage event;
  event.real(1, wall_time).message(4, graph_message(graph));
  write(event);
}

void EventFile::begin_session(int64_t step, double wall_time) {
  constexpr int64_t start = 1;
  ProtobufMessage session;
  session.integer(1, start);
  ProtobufMessage event = event_at(step, wall_time);
  event.message(7, session);
  write(event);
}

}  // namespace athanor::track
