// SPDX-License-Identifier: Apache-2.0
// Named numbers in a fixed order: what an epoch or an evaluation came to.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace athanor {

/// A small ordered map from name to number. `values["val_acc"]` throws Error with the names that are there.
class Values {
 public:
  using Entry = std::pair<std::string, double>;

  Values() = default;
  Values(std::initializer_list<Entry> entries);

  [[nodiscard]] double operator[](std::string_view name) const;
  [[nodiscard]] std::optional<double> find(std::string_view name) const noexcept;
  /// Writes over the value of that name, or adds it at the end.
  void set(std::string_view name, double value);
  /// Adds all entries of `other`, each under `prefix` + its name.
  void merge(const Values& other, std::string_view prefix = {});

  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
  [[nodiscard]] size_t size() const noexcept { return entries_.size(); }
  [[nodiscard]] auto begin() const noexcept { return entries_.begin(); }
  [[nodiscard]] auto end() const noexcept { return entries_.end(); }
  friend bool operator==(const Values&, const Values&) = default;

 private:
  std::vector<Entry> entries_;
};

}  // namespace athanor
