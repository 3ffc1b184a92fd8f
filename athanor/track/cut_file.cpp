// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/cut_file.hpp"

#include <system_error>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"

namespace athanor::track {

size_t end_of_kept(std::string_view text, int64_t step, const std::function<LinePlace(std::string_view)>& place_of,
                   bool quoted) {
  constexpr size_t nowhere = std::string_view::npos;
  size_t begin = 0;
  size_t cut = nowhere;
  std::optional<int64_t> before;
  bool inside = false;
  for (size_t at = 0; at < text.size(); ++at) {
    if (quoted && text[at] == '"') inside = !inside;
    if (text[at] != '\n' || inside) continue;
    std::string_view line = text.substr(begin, at - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const LinePlace place = place_of(line);
    if (place.run_begins || (place.step && before && *place.step < *before)) cut = nowhere;
    if (cut == nowhere && place.step.value_or(step) > step) cut = begin;
    if (place.step) before = place.step;
    begin = at + 1;
  }
  return cut == nowhere ? begin : cut;
}

void cut_behind(const std::filesystem::path& path, int64_t step,
                const std::function<LinePlace(std::string_view line)>& place_of, bool quoted) {
  std::error_code problem;
  if (!std::filesystem::is_regular_file(path, problem)) return;
  size_t size = 0;
  size_t kept = 0;
  {
    const MappedFile file(path);
    const auto bytes = file.bytes();
    size = bytes.size();
    kept = end_of_kept({reinterpret_cast<const char*>(bytes.data()), size}, step, place_of, quoted);
  }
  if (kept == size) return;
  std::filesystem::resize_file(path, kept, problem);
  if (problem) {
    throw Error({.what = "what a run wrote behind the place where it goes on can't be cut off",
                 .where = path.string(),
                 .got = problem.message(),
                 .todo = "choose a place that this user may write to"});
  }
}

}  // namespace athanor::track
