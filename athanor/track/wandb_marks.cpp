// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/wandb_marks.hpp"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/track/append_file.hpp"

namespace athanor::track {
namespace {

namespace fs = std::filesystem;
using MarkJson = nlohmann::ordered_json;

constexpr const char* file_name = "marks.jsonl";

std::string line_of(const WandbMark& mark) {
  const MarkJson object = {{"step", mark.step},   {"session", mark.session},   {"log", mark.log},
                           {"bytes", mark.bytes}, {"row", MarkJson(mark.row)}, {"row_step", mark.row_step}};
  return object.dump() + "\n";
}

bool names_a_file(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && fs::path(name).filename() == name;
}

std::optional<WandbMark> mark_of(const std::string& line) {
  try {
    const MarkJson object = MarkJson::parse(line);
    WandbMark mark;
    object.at("step").get_to(mark.step);
    object.at("session").get_to(mark.session);
    object.at("log").get_to(mark.log);
    object.at("bytes").get_to(mark.bytes);
    object.at("row").get_to(mark.row);
    object.at("row_step").get_to(mark.row_step);
    if (names_a_file(mark.session) && names_a_file(mark.log)) return mark;
  } catch (const MarkJson::exception&) {
    return {};
  }
  return {};
}

void cut(const fs::path& log, uint64_t bytes) {
  std::error_code problem;
  const uintmax_t size = fs::file_size(log, problem);
  if (problem || size <= bytes) return;
  fs::resize_file(log, bytes, problem);
  if (!problem) return;
  throw Error({.what = "what lies behind the step where the run goes on can't be cut off",
               .where = log.string(),
               .got = problem.message()});
}

}  // namespace

void WandbMarks::clear() { fs::remove(folder_ / file_name); }

void WandbMarks::add(const WandbMark& mark) {
  AppendFile file(folder_ / file_name);
  if (file.was_torn()) file.write("\n");
  file.write(line_of(mark));
  file.flush();
}

std::vector<WandbMark> WandbMarks::read() const {
  std::vector<WandbMark> marks;
  std::ifstream file(folder_ / file_name);
  for (std::string line; std::getline(file, line);) {
    if (auto mark = mark_of(line)) marks.push_back(std::move(*mark));
  }
  return marks;
}

std::optional<WandbMark> WandbMarks::go_back_to(int64_t step) {
  std::vector<WandbMark> marks = read();
  const auto newest =
      std::find_if(marks.rbegin(), marks.rend(), [&](const WandbMark& mark) { return mark.step == step; });
  if (newest == marks.rend()) return {};
  const auto behind = newest.base();
  // The first mark of a session stands behind its head.
  std::set<std::string> cut_already = {newest->session};
  cut(folder_ / newest->session / newest->log, newest->bytes);
  for (auto mark = behind; mark != marks.end(); ++mark) {
    if (cut_already.insert(mark->session).second) cut(folder_ / mark->session / mark->log, mark->bytes);
  }
  marks.erase(behind, marks.end());
  std::string text;
  for (const WandbMark& mark : marks) text += line_of(mark);
  write_file_atomically(folder_ / file_name, text);
  return marks.back();
}

}  // namespace athanor::track
