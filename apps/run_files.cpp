// SPDX-License-Identifier: Apache-2.0
#include "apps/run_files.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fstream>

#include "apps/output.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"

namespace athanor::command {
namespace {

namespace fs = std::filesystem;

using Row = std::vector<std::string>;

/// The rows of a CSV file, quoted fields included.
std::vector<Row> parse_csv(std::string_view text) {
  std::vector<Row> rows;
  Row row;
  std::string field;
  bool quoted = false;
  const auto end_row = [&] {
    row.push_back(std::exchange(field, {}));
    rows.push_back(std::exchange(row, {}));
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
      field += text[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      row.push_back(std::exchange(field, {}));
    } else if (c == '\n' && !quoted) {
      end_row();
    } else if (c != '\r' || quoted) {
      field += c;
    }
  }
  if (!row.empty() || !field.empty()) end_row();
  return rows;
}

std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

RunValue::Better better_of(const Json& start, const std::string& name) {
  const std::string way = text_of(member(member(start, "values"), name));
  return way == "up" ? RunValue::Better::up : way == "down" ? RunValue::Better::down : RunValue::Better::unknown;
}

void add(RunValue& value, double epoch, double number) {
  value.last = number;
  if (value.better == RunValue::Better::unknown || !std::isfinite(number)) return;
  const bool better =
      !value.best || (value.better == RunValue::Better::up ? number > *value.best : number < *value.best);
  if (!better) return;
  value.best = number;
  value.best_epoch = epoch;
}

void read_history(RunFiles& run) {
  const fs::path path = run.folder / "history.csv";
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return;
  const MappedFile file(path);
  const auto rows = parse_csv({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
  if (rows.empty()) return;
  const Row& names = rows.front();
  if (names.size() < 3 || names[0] != "epoch" || names[1] != "steps" || names[2] != "seconds") {
    throw Error({.what = "this is not the history of a run",
                 .where = path.string(),
                 .expected = "columns that begin with epoch,steps,seconds"});
  }
  for (std::size_t column = 3; column < names.size(); ++column) {
    run.values.push_back({.name = names[column], .better = better_of(run.start, names[column])});
  }
  for (std::size_t i = 1; i < rows.size(); ++i) {
    if (rows[i].size() != names.size()) {
      throw Error({.what = "a row of a history has another length than its head",
                   .where = path.string() + ", row " + std::to_string(i + 1),
                   .got = counted(rows[i].size(), "field"),
                   .expected = std::to_string(names.size())});
    }
    run.epochs = number_of(rows[i][0]).value_or(run.epochs);
    run.seconds += number_of(rows[i][2]).value_or(0);
    for (std::size_t column = 3; column < names.size(); ++column) {
      if (const auto number = number_of(rows[i][column])) add(run.values[column - 3], run.epochs, *number);
    }
  }
}

/// Whether a process holds the lock of the folder. Asked of the system, because trying the lock would be in the way of
/// a run that begins at this moment.
bool is_locked(const fs::path& folder) {
  struct stat status {};
  if (::stat((folder / ".lock").c_str(), &status) != 0) return false;
  char place[64];
  std::snprintf(place, sizeof place, "%02x:%02x:%llu", major(status.st_dev), minor(status.st_dev),
                static_cast<unsigned long long>(status.st_ino));
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    if (line.find("FLOCK") != std::string::npos && line.find(std::string(place) + " ") != std::string::npos)
      return true;
  }
  return false;
}

void read_record(RunFiles& run) {
  std::error_code ignored;
  if (!fs::exists(run.folder / "run.json", ignored)) return;
  const Json record = read_json(run.folder / "run.json");
  const Json& starts = member(record, "starts");
  if (!starts.is_array() || starts.empty()) {
    throw Error({.what = "a run record has no starts", .where = (run.folder / "run.json").string()});
  }
  run.starts = starts.size();
  run.start = starts.back();
  run.begun = text_of(member(starts.front(), "begun"));
  if (run.begun.size() == 20 && run.begun[10] == 'T') run.begun = run.begun.replace(10, 1, " ").substr(0, 19);
  run.stop_reason = text_of(member(run.start, "stop_reason"));
  if (member(run.start, "ended").is_null()) {
    run.status = is_locked(run.folder) ? "running" : "killed";
  } else {
    run.status = member(run.start, "finished") == true ? "finished" : "broken";
  }
}

template <class Read>
void attempt(RunFiles& run, Read read) {
  try {
    read();
  } catch (const Error& error) {
    if (run.complaint.empty()) run.complaint = one_line(error);
  }
}

void search(const fs::path& folder, int levels, std::vector<fs::path>& found) {
  if (is_run(folder)) {
    found.push_back(folder);
    return;
  }
  if (levels == 0) return;
  std::error_code ignored;
  for (fs::directory_iterator entry(folder, ignored), end; entry != end; entry.increment(ignored)) {
    if (entry->is_symlink(ignored) || !entry->is_directory(ignored)) continue;
    if (!entry->path().filename().string().starts_with('.')) search(entry->path(), levels - 1, found);
  }
}

}  // namespace

const RunValue* RunFiles::find(std::string_view value) const noexcept {
  const auto found =
      std::find_if(values.begin(), values.end(), [&](const RunValue& each) { return each.name == value; });
  return found == values.end() ? nullptr : &*found;
}

bool is_run(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / "run.json", ignored) || fs::exists(folder / "options.json", ignored) ||
         fs::exists(folder / "history.csv", ignored);
}

std::vector<fs::path> find_runs(const fs::path& folder) {
  constexpr int levels = 4;
  std::vector<fs::path> found;
  search(folder, levels, found);
  std::sort(found.begin(), found.end());
  return found;
}

RunFiles read_run(const fs::path& folder) {
  if (!is_run(folder)) {
    throw Error({.what = "this is not the folder of a run",
                 .where = folder.string(),
                 .expected = "run.json, options.json or history.csv in it"});
  }
  RunFiles run{.folder = folder, .name = folder.string()};
  attempt(run, [&] { read_record(run); });
  attempt(run, [&] { read_history(run); });
  std::error_code ignored;
  attempt(run, [&] {
    if (!member(run.start, "options").is_null()) {
      run.options = member(run.start, "options");
    } else if (fs::exists(folder / "options.json", ignored)) {
      run.options = read_json(folder / "options.json");
    }
  });
  return run;
}

}  // namespace athanor::command
