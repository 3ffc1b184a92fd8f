// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/parameters.hpp"

#include <algorithm>
#include <span>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

constexpr size_t shown_names = 4;

/// The names that hold the piece which is nearest to the pattern; the first ones when none is near.
std::vector<std::string> near(const std::string& pattern, const std::vector<std::string>& names) {
  std::vector<std::string> pieces;
  for (const std::string& name : names) {
    for (size_t begin = 0; begin < name.size();) {
      for (size_t end = name.find('.', begin); end != std::string::npos; end = name.find('.', end + 1))
        pieces.push_back(name.substr(begin, end - begin));
      pieces.push_back(name.substr(begin));
      const size_t dot = name.find('.', begin);
      begin = dot == std::string::npos ? name.size() : dot + 1;
    }
  }
  std::string word = pattern;
  std::erase(word, '*');
  const size_t first = std::min(word.find_first_not_of('.'), word.size());
  word = word.substr(first, word.find_last_not_of('.') + 1 - first);
  const std::string piece = nearest(word, pieces);
  std::vector<std::string> found;
  for (const std::string& name : names) {
    if (found.size() < shown_names && name.find(piece) != std::string::npos) found.push_back(name);
  }
  return found;
}

[[noreturn]] void refuse_pattern(const std::string& pattern, const std::vector<std::string>& names) {
  const bool taken = std::any_of(names.begin(), names.end(), [&](const auto& name) { return matches(pattern, name); });
  if (taken) {
    throw Error({.what = "every parameter that a pattern fits belongs to an earlier pattern",
                 .where = "group_parameters",
                 .got = pattern,
                 .todo = "put the narrower pattern first"});
  }
  throw Error({.what = "a pattern fits no parameter",
               .where = "group_parameters",
               .got = pattern,
               .expected = names.empty() ? "no pattern: there are no parameters"
                                         : "such as " + join(near(pattern, names), ", "),
               .todo = "* stands for any run of characters, dots too, and the whole name has to fit"});
}

}  // namespace

Parameters parameters_of(const std::vector<at::Tensor>& tensors) {
  Parameters parameters;
  for (size_t i = 0; i < tensors.size(); ++i) parameters.push_back({std::to_string(i), tensors[i]});
  return parameters;
}

ParameterGroups group_parameters(Parameters parameters, const std::vector<GroupPattern>& patterns) {
  std::vector<std::string> names;
  for (const Parameter& parameter : parameters) names.push_back(parameter.name);

  ParameterGroup rest;
  ParameterGroups groups;
  for (const GroupPattern& each : patterns) groups.push_back({.parameters = {}, .options = each.options});
  for (Parameter& parameter : parameters) {
    const auto fitting = std::find_if(patterns.begin(), patterns.end(),
                                      [&](const GroupPattern& each) { return matches(each.pattern, parameter.name); });
    ParameterGroup& group = fitting == patterns.end() ? rest : groups[static_cast<size_t>(fitting - patterns.begin())];
    group.parameters.push_back(std::move(parameter));
  }
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].parameters.empty()) refuse_pattern(patterns[i].pattern, names);
  }
  if (!rest.parameters.empty()) groups.insert(groups.begin(), std::move(rest));
  return groups;
}

}  // namespace athanor
