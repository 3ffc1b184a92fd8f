// SPDX-License-Identifier: Apache-2.0
// points.bin: everything that the live page shows of a run, in one file that only grows.
//
// A file is a sequence of records, numbers little-endian:
//
//     uint32 length of the content | uint8 kind | content | uint32 CRC-32C of kind and content
//
// | kind | content                                                                                                |
// |------|--------------------------------------------------------------------------------------------------------|
// | 1    | JSON (UTF-8): an event that is rare. `run_begin` also empties the list of names                        |
// | 2    | the next name (UTF-8); the first of a session is number 0                                              |
// | 3    | values of a step: float64 time, int64 step, int64 samples, then uint32 name and float64 value of each  |
// | 4    | a picture: uint32 length of a JSON header, the header, the PNG                                         |
//
// A reader may come at any time, and again later: a record that is not whole yet is left for the next time. What a
// process that was killed left half written, the next one cuts off.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace athanor::track {

inline constexpr const char* points_file_name = "points.bin";

/// What stands before the token in the address of a live page. A message that holds it is for the terminal: it is in no
/// file that is shown to others.
inline constexpr const char* page_token_mark = "#token=";

/// A record that says it is longer is no record.
inline constexpr size_t largest_points_content = size_t{64} << 20;

enum class PointsKind : uint8_t { event = 1, name = 2, step = 3, picture = 4 };

/// The bytes of one record.
[[nodiscard]] std::string points_record(PointsKind kind, std::string_view content);

struct PointsScan {
  size_t bytes = 0;      ///< How many of the bytes were whole records.
  bool damaged = false;  ///< What follows them is no record, and no more bytes will make it one.
};
/// Calls `take` for each whole record; `place` is where its content begins within `bytes`. Content is only valid within
/// the call.
PointsScan scan_points(std::string_view bytes,
                       const std::function<void(PointsKind kind, std::string_view content, size_t place)>& take);

}  // namespace athanor::track
