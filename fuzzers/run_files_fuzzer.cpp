// SPDX-License-Identifier: Apache-2.0
// What the athanor command reads of a run: run.json, history.csv and options.json, between them a zero byte; or with a
// first byte that is odd the manifest of a checkpoint. Behind them what is cut off a CSV file and off JSON lines when a
// run goes on.
#include "apps/json_file.hpp"
#include "apps/run_files.hpp"
#include "athanor/track/cut_file.hpp"
#include "athanor/track/line_places.hpp"
#include "fuzzers/fuzzing.hpp"
#include "fuzzers/scratch_folder.hpp"

namespace {

std::string_view next_part(std::string_view& input) {
  const std::string_view part = input.substr(0, input.find('\0'));
  input.remove_prefix(std::min(part.size() + 1, input.size()));
  return part;
}

/// What is kept is the beginning, and ends with a line.
void cut(std::string_view text, bool quoted, const std::function<athanor::track::LinePlace(std::string_view)>& place) {
  const std::size_t kept = athanor::track::end_of_kept(text, 10, place, quoted);
  fuzzing::require(kept <= text.size() && (kept == 0 || text[kept - 1] == '\n'));
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzzing::ScratchFolder folder;
  if (size == 0) return 0;
  std::string_view input = fuzzing::text_of(data + 1, size - 1);
  cut(input, true, [](std::string_view line) { return athanor::track::csv_line_place(line, 9); });
  cut(input, false, [](std::string_view line) { return athanor::track::json_line_place(line, 9); });
  if (data[0] % 2 == 1) {
    folder.write(athanor::manifest_name, input);
    fuzzing::refuse_or([&] { static_cast<void>(athanor::command::files_of_manifest(folder.path())); });
    return 0;
  }
  folder.write("run.json", next_part(input));
  folder.write("history.csv", next_part(input));
  folder.write("options.json", next_part(input));
  fuzzing::refuse_or([&] {
    const athanor::command::RunFiles run = athanor::command::read_run(folder.path());
    for (const auto& value : run.values) fuzzing::require(run.find(value.name) != nullptr);
    fuzzing::require(run.complaint.size() < 4000);
  });
  return 0;
}
