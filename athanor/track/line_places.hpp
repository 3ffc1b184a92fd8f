// SPDX-License-Identifier: Apache-2.0
// Where the lines of scalars.csv and events.jsonl stand. No LibTorch here.
#pragma once

#include <cstdint>
#include <string_view>

#include "athanor/track/cut_file.hpp"

namespace athanor::track {

/// `last_row` is the step of the last epoch that the run still has: the values of a validation that is made again, at
/// the step where the run goes on, lie behind that step.
[[nodiscard]] LinePlace csv_line_place(std::string_view line, int64_t last_row);
[[nodiscard]] LinePlace json_line_place(std::string_view line, int64_t last_row);

}  // namespace athanor::track
