// SPDX-License-Identifier: Apache-2.0
// The numbers of the fields are those of event.proto, summary.proto and tensor.proto.
#include "athanor/track/event_file.hpp"

#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <vector>

#include "athanor/core/error.hpp"
#include "athanor/track/crc32c.hpp"
#include "athanor/track/utf8.hpp"

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

void SummaryMessage::plugin(std::string_view tag, std::string_view plugin, const ProtobufMessage& content) {
  ProtobufMessage entry;
  entry.bytes(1, valid_utf8(tag)).message(9, metadata_of(plugin, content.data()));
  message_.message(1, entry);
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

void EventFile::begin_session(int64_t step, double wall_time) {
  constexpr int64_t start = 1;
  ProtobufMessage session;
  session.integer(1, start);
  ProtobufMessage event = event_at(step, wall_time);
  event.message(7, session);
  write(event);
}

}  // namespace athanor::track
