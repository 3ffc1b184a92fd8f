// SPDX-License-Identifier: Apache-2.0
// athanor diff: what differs between two runs.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "apps/output.hpp"
#include "apps/run_files.hpp"
#include "apps/subcommand.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor::command {
namespace {

struct DiffOptions {
  std::filesystem::path left = {};
  std::filesystem::path right = {};
  bool json = false;
};

using Facts = std::vector<std::pair<std::string, std::string>>;

void flatten(const Json& value, const std::string& path, Facts& facts) {
  if (value.is_object()) {
    for (const auto& [name, each] : value.items()) flatten(each, path.empty() ? name : path + "." + name, facts);
  } else {
    facts.emplace_back(path, text_of(value));
  }
}

/// What of a start is different in every run, or is compared under another name.
const std::set<std::string>& passed_over() {
  static const std::set<std::string> names{"begun", "ended", "id",      "process", "seconds", "options",
                                           "best",  "last",  "monitor", "values",  "epochs"};
  return names;
}

Facts facts_of(const RunFiles& run) {
  Facts facts;
  flatten(run.options, "options", facts);
  if (run.start.is_object()) {
    for (const auto& [name, value] : run.start.items()) {
      if (!passed_over().contains(name)) flatten(value, name, facts);
    }
  }
  facts.emplace_back("epochs", shortest(run.epochs));
  for (const RunValue& value : run.values) {
    if (value.best) facts.emplace_back("best " + value.name, shortest(*value.best));
    if (value.last) facts.emplace_back("last " + value.name, shortest(*value.last));
  }
  return facts;
}

struct Difference {
  std::string name;
  std::optional<std::string> left;
  std::optional<std::string> right;
};

std::vector<Difference> compare(const RunFiles& left, const RunFiles& right) {
  const Facts a = facts_of(left);
  const Facts b = facts_of(right);
  const std::map<std::string, std::string> in_a(a.begin(), a.end());
  const std::map<std::string, std::string> in_b(b.begin(), b.end());
  std::vector<Difference> found;
  for (const auto& [name, value] : a) {
    const auto other = in_b.find(name);
    if (other == in_b.end()) {
      found.push_back({.name = name, .left = value, .right = {}});
    } else if (other->second != value) {
      found.push_back({.name = name, .left = value, .right = other->second});
    }
  }
  for (const auto& [name, value] : b) {
    if (!in_a.contains(name)) found.push_back({.name = name, .left = {}, .right = value});
  }
  return found;
}

ExitCode diff(const DiffOptions& options) {
  const RunFiles left = read_run(options.left);
  const RunFiles right = read_run(options.right);
  for (const RunFiles* run : {&left, &right}) {
    if (!run->complaint.empty()) print_error(run->complaint);
  }
  const std::vector<Difference> found = compare(left, right);
  if (options.json) {
    Json list = Json::array();
    for (const Difference& each : found) {
      list.push_back({{"name", each.name},
                      {"left", each.left ? Json(*each.left) : Json()},
                      {"right", each.right ? Json(*each.right) : Json()}});
    }
    print(dump({{"left", left.name}, {"right", right.name}, {"differences", list}}));
  } else if (!found.empty()) {
    TextTable table({"what", printable(left.name, 60), printable(right.name, 60)});
    for (const Difference& each : found) {
      table.add({printable(each.name, 80), each.left ? printable(*each.left, 60) : "-",
                 each.right ? printable(*each.right, 60) : "-"});
    }
    print(table.text());
  }
  return found.empty() ? done : answer_is_no;
}

}  // namespace

Action add_diff(CLI::App& app) {
  const auto options = std::make_shared<DiffOptions>();
  app.add_option("LEFT", options->left, "A run folder")->required();
  app.add_option("RIGHT", options->right, "Another one")->required();
  app.add_flag("--json", options->json, "JSON instead of a table");
  app.footer("Exit status: 0 no difference; 1 they differ; 2 one is no run.");
  return [options] { return diff(*options); };
}

}  // namespace athanor::command
