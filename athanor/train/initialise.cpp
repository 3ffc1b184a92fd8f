// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/initialise.hpp"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>

#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/train/run_checkpoints.hpp"

namespace athanor {
namespace {

namespace fs = std::filesystem;

/// The weights file that a place stands for.
fs::path weights_at(const fs::path& source) {
  std::error_code ignored;
  if (!fs::is_directory(source, ignored)) return source;
  if (is_checkpoint(source)) return verified_weights(source);
  std::vector<RunCheckpoint> all = list_checkpoints(source);
  if (all.empty()) all = list_checkpoints_in(source);
  for (auto each = all.rbegin(); each != all.rend(); ++each) {
    if (each->facts) return verified_weights(each->path);
  }
  if (fs::is_regular_file(source / "best.safetensors", ignored)) return source / "best.safetensors";
  throw Error({.what = "there are no weights at this place",
               .where = source.string(),
               .expected = "a safetensors file, a checkpoint, or a run folder with checkpoints or best.safetensors",
               .todo = "check the path"});
}

/// `name` under the first pattern that fits.
std::string renamed(const std::string& name, const std::vector<std::pair<std::string, std::string>>& patterns) {
  for (const auto& [from, to] : patterns) {
    if (!matches(from, name)) continue;
    const size_t star = from.find('*');
    const size_t place = to.find('*');
    if (star == std::string::npos || place == std::string::npos) return to;
    const std::string text = name.substr(star, name.size() - (from.size() - 1));
    return to.substr(0, place) + text + to.substr(place + 1);
  }
  return name;
}

void check_patterns(const std::vector<std::pair<std::string, std::string>>& patterns) {
  for (const auto& [from, to] : patterns) {
    const auto stars = [](const std::string& text) { return std::count(text.begin(), text.end(), '*'); };
    if (stars(from) <= 1 && stars(from) == stars(to)) continue;
    throw Error({.what = "two names do not go together",
                 .where = "InitialiseOptions::names",
                 .got = from + " and " + to,
                 .expected = "one * in both, or in none"});
  }
}

void add_lines(std::string& text, const char* what, const std::vector<std::string>& names) {
  for (const std::string& name : names) text += std::string(what) + name + "\n";
}

void refuse_unless_allowed(const InitialiseReport& report, const InitialiseOptions& options, const fs::path& file) {
  std::string got;
  if (!options.allow_missing) add_lines(got, "            missing in the file: ", report.missing);
  if (!options.allow_unexpected) add_lines(got, "            only in the file: ", report.unexpected);
  if (!options.allow_mismatched) add_lines(got, "            of another shape: ", report.mismatched);
  if (got.empty() && !report.loaded.empty()) return;
  if (got.empty()) got = "            nothing that could be loaded\n" + report.describe();
  throw Error({.what = "weights can't be taken over; nothing was loaded",
               .where = file.string(),
               .got = got.substr(12, got.size() - 13),
               .expected = "every tensor of the nets in the file and every tensor of the file in the nets",
               .todo = "map names by prefix and names, or allow what may differ in InitialiseOptions"});
}

}  // namespace

std::string InitialiseReport::describe() const {
  std::string text;
  for (const auto& [from, to] : loaded) text += "loaded: " + to + (from == to ? "" : " from " + from) + "\n";
  add_lines(text, "missing in the file, kept: ", missing);
  add_lines(text, "only in the file, left out: ", unexpected);
  add_lines(text, "of another shape, kept: ", mismatched);
  return text;
}

InitialiseReport initialise_from(const Nets& nets, const fs::path& source, const InitialiseOptions& options) {
  check_patterns(options.names);
  const SafetensorsFile file(weights_at(source));
  std::map<std::string, std::string> offered;  // name in the nets, name in the file
  InitialiseReport report;
  for (const std::string& name : file.names()) {
    if (!name.starts_with(options.prefix)) continue;
    const std::string here = renamed(name.substr(options.prefix.size()), options.names);
    if (const auto [other, fresh] = offered.emplace(here, name); !fresh) {
      throw Error({.what = "two tensors of a file get one name",
                   .where = file.path().string(),
                   .got = other->second + " and " + name + " both become " + here,
                   .expected = "names that differ",
                   .todo = "make the patterns of InitialiseOptions::names more exact"});
    }
  }
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;
  for (const auto& [name, tensor] : named_tensors(nets)) {
    const auto found = offered.find(name);
    if (found == offered.end()) {
      report.missing.push_back(name);
      continue;
    }
    const at::Tensor saved = file.tensor(found->second);
    if (saved.sizes() != tensor.sizes() || saved.scalar_type() != tensor.scalar_type()) {
      report.mismatched.push_back(name + ": " + describe(saved) + " in the file, " + describe(tensor) + " in the nets");
    } else {
      report.loaded.emplace_back(found->second, name);
      copies.emplace_back(tensor, saved);
    }
    offered.erase(found);
  }
  for (const auto& [here, name] : offered) report.unexpected.push_back(name);
  refuse_unless_allowed(report, options, file.path());
  const at::NoGradGuard no_grad;
  for (auto& [tensor, saved] : copies) tensor.copy_(saved);
  return report;
}

}  // namespace athanor
