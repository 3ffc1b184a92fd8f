// SPDX-License-Identifier: Apache-2.0
// The files that TensorBoard reads: records of TensorFlow's Event and Summary messages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "athanor/track/append_file.hpp"
#include "athanor/track/png.hpp"
#include "athanor/track/protobuf.hpp"
#include "athanor/train/events.hpp"

namespace athanor::track {

/// The values of one Summary.
class SummaryMessage {
 public:
  void scalar(std::string_view tag, double value);
  /// Throws Error when edges and counts don't fit each other.
  void histogram(std::string_view tag, const events::Histogram& histogram);
  void image(std::string_view tag, const Png& png);
  void text(std::string_view tag, std::string_view markdown);
  /// For the PR CURVES page. Throws Error for fewer than 2 points.
  void precision_recall(std::string_view tag, const events::PrecisionRecall& curve);
  /// A value that only carries data of a plugin: `hparams`.
  void plugin(std::string_view tag, std::string_view plugin, const ProtobufMessage& content);

  [[nodiscard]] bool empty() const noexcept { return message_.data().empty(); }
  [[nodiscard]] const ProtobufMessage& message() const noexcept { return message_; }

 private:
  ProtobufMessage message_;
};

/// The graph as TensorFlow's GraphDef. Characters that it does not take in names become `_`.
[[nodiscard]] ProtobufMessage graph_message(const events::Graph& graph);

/// A record as TFRecord frames it: length, checksum, content, checksum.
[[nodiscard]] std::string frame_record(std::string_view content);

/// One event file. For one thread.
class EventFile {
 public:
  /// Makes `events.out.tfevents.SECONDS.HOST.PROCESS.NUMBER` in the folder, which is made when it is missing. Throws
  /// Error when it can't be made.
  explicit EventFile(const std::filesystem::path& folder);
  /// Writes to that very file.
  static EventFile at(const std::filesystem::path& path) { return EventFile(path, 0); }

  /// `wall_time`: seconds since 1970. Throws Error when the file can't be written.
  void write(int64_t step, double wall_time, const SummaryMessage& summary);
  /// What earlier sessions in this folder logged from that step on is no longer shown. Written before the first
  /// summary of each session, also of the first.
  void begin_session(int64_t step, double wall_time);
  /// For the GRAPHS page: a GraphDef of TensorFlow. A run shows its last one.
  void write_graph(double wall_time, const events::Graph& graph);
  void flush() { file_.flush(); }

 private:
  EventFile(const std::filesystem::path& path, int);
  void write(const ProtobufMessage& event) { file_.write(frame_record(event.data())); }

  AppendFile file_;
};

/// Seconds since 1970.
[[nodiscard]] double wall_clock();

}  // namespace athanor::track
