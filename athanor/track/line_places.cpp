// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/line_places.hpp"

#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>

namespace athanor::track {
namespace {

int64_t place_of_row(int64_t step, int64_t last_row) {
  return step > last_row && step < std::numeric_limits<int64_t>::max() ? step + 1 : step;
}

}  // namespace

LinePlace csv_line_place(std::string_view line, int64_t last_row) {
  std::string_view kind;
  for (int field = 0; field < 3; ++field) {
    const size_t comma = line.find(',');
    if (comma == std::string_view::npos) return {};
    if (field == 1) kind = line.substr(0, comma);
    line.remove_prefix(comma + 1);
  }
  int64_t step = 0;
  const auto [stop, problem] = std::from_chars(line.data(), line.data() + line.size(), step);
  if (problem != std::errc() || stop == line.data() + line.size() || *stop != ',') return {};
  return {.step = kind == "epoch" ? place_of_row(step, last_row) : step};
}

LinePlace json_line_place(std::string_view line, int64_t last_row) {
  using Json = nlohmann::ordered_json;
  constexpr int deepest = 32;
  // Objects of objects would be taken apart by calls of calls.
  const auto shallow = [](int depth, Json::parse_event_t, Json&) { return depth <= deepest; };
  const Json object = Json::parse(line, shallow, /*allow_exceptions=*/false);
  if (!object.is_object()) return {};
  LinePlace place;
  const Json event = object.value("event", Json());
  if (const auto step = object.find("step"); step != object.end() && step->is_number_integer()) {
    place.step = step->get<int64_t>();
    if (event == "epoch") place.step = place_of_row(*place.step, last_row);
  }
  place.run_begins = event == "run_begin" && object.value("resumed", Json()) == false;
  return place;
}

}  // namespace athanor::track
