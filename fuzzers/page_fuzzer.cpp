// SPDX-License-Identifier: Apache-2.0
// What the live page reads of the runs in a folder, and what a browser asks for. The first byte chooses: the bytes of a
// points.bin; its records, whose lengths and checksums are made here so that inputs are not lost to them; history.csv
// with options.json behind a zero byte; the address of a request.
#include <chrono>

#include "athanor/track/page_query.hpp"
#include "athanor/track/points_format.hpp"
#include "athanor/track/run_store.hpp"
#include "fuzzers/fuzzing.hpp"
#include "fuzzers/scratch_folder.hpp"

namespace {

using namespace athanor::track;

/// `kind, length (2 bytes), content` again and again.
std::string records_of(std::string_view input) {
  std::string file;
  while (input.size() >= 3) {
    const auto kind = static_cast<PointsKind>(input[0] % 5);
    const std::size_t length = std::min<std::size_t>(
        input.size() - 3, static_cast<unsigned char>(input[1]) | static_cast<unsigned char>(input[2]) << 8U);
    file += points_record(kind, input.substr(3, length));
    input.remove_prefix(3 + length);
  }
  return file;
}

/// `name=value&name=value`, undone as a server undoes it but for the percent signs.
PageParameters parameters_of(std::string_view text) {
  PageParameters parameters;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find('&'));
    const std::size_t equals = std::min(part.find('='), part.size());
    parameters.emplace(part.substr(0, equals), part.substr(std::min(equals + 1, part.size())));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
  }
  return parameters;
}

void ask(RunStore& store) {
  using std::chrono::milliseconds;
  for (std::size_t run = 0; run < store.size(); ++run) {
    fuzzing::require(!store.run_json(run).empty());
    static_cast<void>(store.picture(run, 0));
  }
  const std::string runs = store.runs_json(0);
  CurvesQuery query{.runs = {0}};
  for (const char kind : {'s', 'e'}) {
    const std::string begin = std::string("[\"") + kind + ":";
    for (std::size_t at = 0; (at = runs.find(begin, at)) != std::string::npos && query.names.size() < 8; at += 4) {
      query.names.push_back(runs.substr(at + 2, runs.find('"', at + 2) - at - 2));
    }
  }
  for (const RunAxis axis : {RunAxis::step, RunAxis::epoch, RunAxis::time}) {
    query.axis = axis;
    query.request.columns = 20;
    query.request.smoothing = axis == RunAxis::epoch ? 0.9 : 0;
    static_cast<void>(store.curves_json(query));
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzzing::ScratchFolder folder;
  if (size == 0) return 0;
  const std::string_view input = fuzzing::text_of(data + 1, size - 1);
  RunStore store({.folder = folder.path(), .depth = 0, .look_every = {}, .scan_every = {}});
  if (data[0] % 4 == 3) {
    const CurvesQuery query = curves_query(parameters_of(input));
    fuzzing::require(query.runs.size() * query.names.size() <= 400 || query.runs.size() <= 1);
    fuzzing::require(query.request.columns >= 10 && query.request.columns <= 4000);
    fuzzing::require(query.request.smoothing >= 0 && query.request.smoothing < 1);
    static_cast<void>(is_own_host(input));
    fuzzing::require(same_secret(input, input) != input.empty());
    return 0;
  }
  if (data[0] % 4 == 2) {
    const std::size_t zero = std::min(input.find('\0'), input.size());
    folder.remove(points_file_name);
    folder.write("history.csv", input.substr(0, zero));
    folder.write("options.json", input.substr(std::min(zero + 1, input.size())));
  } else {
    folder.write(points_file_name, data[0] % 4 == 0 ? std::string(input) : records_of(input));
  }
  store.look();
  ask(store);
  return 0;
}
