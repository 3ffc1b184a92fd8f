// SPDX-License-Identifier: Apache-2.0
// The messages of TensorBoard's HPARAMS page. Which columns it has, TensorBoard finds out by itself from all runs that
// it shows; a message that lists them (`experiment`) would hide what only other runs have.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "athanor/track/protobuf.hpp"

namespace athanor::track {

/// Names and values; a value that reads as a number or as `true` or `false` becomes one.
using Hyperparameters = std::vector<std::pair<std::string, std::string>>;

/// The values of this run.
[[nodiscard]] ProtobufMessage hparams_session_start(const Hyperparameters& hyperparameters, double wall_time);
/// How the run came to its end.
enum class SessionStatus { success = 1, failure = 2 };
[[nodiscard]] ProtobufMessage hparams_session_end(SessionStatus status, double wall_time);

}  // namespace athanor::track
