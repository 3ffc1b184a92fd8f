// SPDX-License-Identifier: Apache-2.0
// athanor runs: a table of the runs in a folder.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "apps/output.hpp"
#include "apps/run_files.hpp"
#include "apps/subcommand.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor::command {
namespace {

namespace fs = std::filesystem;

struct RunsOptions {
  fs::path folder = "runs";
  std::string sort = "when";
  bool reverse = false;
  std::string name = "*";
  std::string status = {};
  std::vector<std::string> where = {};
  std::string values = {};
  bool json = false;
};

/// `val_acc >= 0.9`
struct Condition {
  std::string name = {};
  std::string relation = {};
  double number = 0;
};

Condition parse_condition(const std::string& text) {
  const auto refuse = [&] {
    throw Error({.what = "this is not a condition",
                 .where = "--where",
                 .got = text,
                 .expected = "a name, one of < <= > >= =, and a number: 'val_acc>=0.9'"});
  };
  const std::size_t begin = text.find_first_of("<>=");
  if (begin == std::string::npos || begin == 0) refuse();
  const std::size_t end = text.find_first_not_of("<>=", begin);
  if (end == std::string::npos) refuse();
  Condition condition{.name = text.substr(0, text.find_last_not_of(' ', begin - 1) + 1),
                      .relation = text.substr(begin, end - begin)};
  const std::string number = text.substr(end);
  std::size_t read = 0;
  try {
    condition.number = std::stod(number, &read);
  } catch (const std::exception&) {
    refuse();
  }
  const std::vector<std::string> relations{"<", "<=", ">", ">=", "="};
  if (read != number.size() || std::find(relations.begin(), relations.end(), condition.relation) == relations.end()) {
    refuse();
  }
  return condition;
}

std::optional<double> number_in(const RunFiles& run, const std::string& name) {
  if (name == "epochs") return run.epochs;
  if (name == "seconds") return run.seconds;
  const RunValue* value = run.find(name);
  return value == nullptr ? std::nullopt : value->shown();
}

bool holds(const RunFiles& run, const Condition& condition) {
  const auto number = number_in(run, condition.name);
  if (!number) return false;
  if (condition.relation == "<") return *number < condition.number;
  if (condition.relation == "<=") return *number <= condition.number;
  if (condition.relation == ">") return *number > condition.number;
  if (condition.relation == ">=") return *number >= condition.number;
  return *number == condition.number;
}

/// The best first; what has no such value comes last.
void sort_by_value(std::vector<RunFiles>& runs, const std::string& name) {
  const bool known = std::any_of(runs.begin(), runs.end(), [&](const auto& run) { return number_in(run, name); });
  if (!known && !runs.empty()) {
    std::vector<std::string> names{"name", "when", "status", "epochs", "seconds"};
    for (const RunFiles& run : runs) {
      for (const RunValue& value : run.values) {
        if (std::find(names.begin(), names.end(), value.name) == names.end()) names.push_back(value.name);
      }
    }
    throw Error({.what = "no run has this to be sorted by",
                 .where = "--sort",
                 .got = name,
                 .expected = "one of " + join(names, ", ")});
  }
  const auto key = [&](const RunFiles& run) {
    const auto number = number_in(run, name);
    if (!number || std::isnan(*number)) return std::numeric_limits<double>::infinity();
    const RunValue* value = run.find(name);
    return value != nullptr && value->better == RunValue::Better::up ? -*number : *number;
  };
  std::stable_sort(runs.begin(), runs.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
}

void sort_runs(std::vector<RunFiles>& runs, const RunsOptions& options) {
  const auto by = [&](auto key) {
    std::stable_sort(runs.begin(), runs.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
  };
  if (options.sort == "name") {
    by([](const RunFiles& run) { return run.name; });
  } else if (options.sort == "when") {
    by([](const RunFiles& run) { return run.begun; });
  } else if (options.sort == "status") {
    by([](const RunFiles& run) { return run.status; });
  } else {
    sort_by_value(runs, options.sort);
  }
  if (options.reverse) std::reverse(runs.begin(), runs.end());
}

/// The values of validation, or of training where there are none, of which it is known which way is better.
std::vector<std::string> columns_of(const std::vector<RunFiles>& runs, const std::string& pattern) {
  constexpr std::size_t most = 4;
  std::vector<std::string> named, validation, training;
  const auto add = [](std::vector<std::string>& names, const std::string& name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  for (const RunFiles& run : runs) {
    for (const RunValue& value : run.values) {
      if (!pattern.empty() && matches(pattern, value.name)) add(named, value.name);
      if (value.better == RunValue::Better::unknown) continue;
      add(value.name.starts_with("train_") ? training : validation, value.name);
    }
  }
  if (!pattern.empty()) return named;
  std::vector<std::string> chosen = validation.empty() ? training : validation;
  if (chosen.size() > most) chosen.resize(most);
  return chosen;
}

std::string value_text(const RunFiles& run, const std::string& name) {
  const RunValue* value = run.find(name);
  if (value == nullptr || !value->shown()) return "-";
  std::string text = format_number(*value->shown());
  if (value->best) text += " @" + shortest(value->best_epoch);
  return text;
}

Json json_of(const RunFiles& run) {
  Json values = Json::object();
  for (const RunValue& value : run.values) {
    Json entry = Json::object();
    if (value.best) entry.update({{"best", *value.best}, {"best_epoch", value.best_epoch}});
    if (value.last) entry["last"] = *value.last;  // null when it is not finite
    values[value.name] = entry;
  }
  return {{"name", run.name},          {"folder", run.folder.string()},  {"begun", run.begun},
          {"status", run.status},      {"stop_reason", run.stop_reason}, {"epochs", run.epochs},
          {"seconds", run.seconds},    {"starts", run.starts},           {"values", values},
          {"complaint", run.complaint}};
}

std::string table_of(const std::vector<RunFiles>& runs, const std::string& pattern) {
  const std::vector<std::string> columns = columns_of(runs, pattern);
  std::vector<std::string> titles{"run", "begun (UTC)", ">epochs", ">time"};
  for (const std::string& name : columns) titles.push_back(">" + printable(name, 40));
  titles.insert(titles.end(), {"status", "why it stopped"});
  TextTable table(std::move(titles));
  for (const RunFiles& run : runs) {
    std::vector<std::string> cells{printable(run.name), run.begun.empty() ? "-" : printable(run.begun, 40),
                                   shortest(run.epochs), format_seconds(run.seconds)};
    for (const std::string& name : columns) cells.push_back(value_text(run, name));
    cells.push_back(run.status.empty() ? "-" : run.status);
    cells.push_back(printable(run.complaint.empty() ? run.stop_reason : run.complaint, 120));
    table.add(std::move(cells));
  }
  return table.text();
}

ExitCode list_runs(const RunsOptions& options) {
  std::error_code ignored;
  if (!fs::is_directory(options.folder, ignored)) {
    throw Error({.what = "there is no such folder", .where = options.folder.string()});
  }
  std::vector<Condition> conditions;
  for (const std::string& text : options.where) conditions.push_back(parse_condition(text));
  std::vector<RunFiles> runs;
  for (const fs::path& folder : find_runs(options.folder)) {
    RunFiles run = read_run(folder);
    run.name =
        folder == options.folder ? folder.filename().string() : folder.lexically_relative(options.folder).string();
    const bool wanted =
        matches(options.name, run.name) && (options.status.empty() || run.status == options.status) &&
        std::all_of(conditions.begin(), conditions.end(), [&](const auto& each) { return holds(run, each); });
    if (wanted) runs.push_back(std::move(run));
  }
  sort_runs(runs, options);
  if (options.json) {
    Json list = Json::array();
    for (const RunFiles& run : runs) list.push_back(json_of(run));
    print(dump(list));
  } else if (runs.empty()) {
    print("no runs in " + printable(options.folder.string()) + "\n");
  } else {
    print(table_of(runs, options.values));
  }
  return done;
}

}  // namespace

Action add_runs(CLI::App& app) {
  const auto options = std::make_shared<RunsOptions>();
  app.add_option("FOLDER", options->folder, "The folder above the runs, or a run")->capture_default_str();
  app.add_option("--sort", options->sort, "name, when, status, epochs, seconds, or a value: the best first")
      ->capture_default_str();
  app.add_flag("--reverse", options->reverse, "The other way round");
  app.add_option("--name", options->name, "Only runs whose names fit this pattern: 'fashion-*'");
  app.add_option("--status", options->status, "Only runs of this status")
      ->check(CLI::IsMember({"running", "finished", "broken", "killed"}));
  app.add_option("--where", options->where, "Only runs of which this holds: 'val_acc>=0.9'; several times: all of it")
      ->allow_extra_args(false);
  app.add_option("--values", options->values, "The values that are shown: 'val_*'");
  app.add_flag("--json", options->json, "JSON instead of a table, with all values");
  return [options] { return list_runs(*options); };
}

}  // namespace athanor::command
