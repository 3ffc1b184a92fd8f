// SPDX-License-Identifier: Apache-2.0
// The numbers of the fields are those of hparams/api.proto and hparams/plugin_data.proto.
#include "athanor/track/hparams.hpp"

#include <charconv>
#include <optional>

#include "athanor/core/utf8.hpp"

namespace athanor::track {
namespace {

std::optional<double> number_in(const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value);
  if (text.empty() || problem != std::errc() || stop != end) return std::nullopt;
  return value;
}

bool is_truth(const std::string& text) { return text == "true" || text == "false"; }

}  // namespace

ProtobufMessage hparams_session_start(const Hyperparameters& hyperparameters, double wall_time) {
  ProtobufMessage session;
  for (const auto& [name, value] : hyperparameters) {
    ProtobufMessage content;
    if (is_truth(value)) {
      content.integer(4, value == "true" ? 1 : 0);
    } else if (const auto number = number_in(value)) {
      content.real(2, *number);
    } else {
      content.bytes(3, valid_utf8(value));
    }
    ProtobufMessage entry;
    entry.bytes(1, valid_utf8(name)).message(2, content);
    session.message(1, entry);
  }
  session.real(5, wall_time);
  ProtobufMessage data;
  data.message(3, session);
  return data;
}

ProtobufMessage hparams_session_end(SessionStatus status, double wall_time) {
  ProtobufMessage session;
  session.integer(1, static_cast<int64_t>(status)).real(2, wall_time);
  ProtobufMessage data;
  data.message(4, session);
  return data;
}

}  // namespace athanor::track
