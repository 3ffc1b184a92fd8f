// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/values.hpp"

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {

Values::Values(std::initializer_list<Entry> entries) : entries_(entries) {}

double Values::operator[](std::string_view name) const {
  if (const auto found = find(name)) return *found;
  throw Error({.what = "there is no value '" + std::string(name) + "'",
               .got = std::string(name),
               .expected = "one of " + join(names(), ", ")});
}

std::optional<double> Values::find(std::string_view name) const noexcept {
  for (const Entry& entry : entries_) {
    if (entry.first == name) return entry.second;
  }
  return std::nullopt;
}

void Values::set(std::string_view name, double value) {
  for (Entry& entry : entries_) {
    if (entry.first == name) {
      entry.second = value;
      return;
    }
  }
  entries_.emplace_back(std::string(name), value);
}

void Values::merge(const Values& other, std::string_view prefix) {
  for (const Entry& entry : other) set(std::string(prefix) + entry.first, entry.second);
}

std::vector<std::string> Values::names() const {
  std::vector<std::string> names;
  names.reserve(entries_.size());
  for (const Entry& entry : entries_) names.push_back(entry.first);
  return names;
}

}  // namespace athanor
