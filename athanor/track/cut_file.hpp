// SPDX-License-Identifier: Apache-2.0
// Cutting off what a killed run wrote behind the place where it goes on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>

namespace athanor::track {

/// What a line of a growing file tells about its place.
struct LinePlace {
  std::optional<int64_t> step = {};
  bool run_begins = false;  ///< A run begins here; so it does where a step is smaller than the one before.
};

/// Cuts the file off at the first line of its last run whose step is larger than `step`, in one call of the system, so
/// that it is cut or not. A last line without a line end was torn and goes too. Lines are given without their ends;
/// with `quoted`, line ends between quotes do not end a line, as in CSV (RFC 4180). Nothing happens to what is missing
/// or no regular file. Throws Error when the file can't be read or cut.
void cut_behind(const std::filesystem::path& path, int64_t step,
                const std::function<LinePlace(std::string_view line)>& place_of, bool quoted = false);

/// Where a file of this content is to end.
[[nodiscard]] size_t end_of_kept(std::string_view text, int64_t step,
                                 const std::function<LinePlace(std::string_view line)>& place_of, bool quoted);

}  // namespace athanor::track
