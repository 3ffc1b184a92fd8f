// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/weighted_mean.hpp"

#include <algorithm>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

void check_weight(double weight) {
  if (weight >= 0) return;
  throw Error({.what = "the weight of a value in a mean is not a number from 0 on", .got = std::to_string(weight)});
}

}  // namespace

void WeightedMean::update(double value, double weight) {
  check_weight(weight);
  // The mean of nothing is NaN, and weighs nothing.
  if (weight == 0) return;
  sum_.add(value * weight);
  weight_ += weight;
}

void WeightedMean::update(const at::Tensor& value, double weight) {
  metrics::detail::check_scalar(value);
  check_weight(weight);
  if (weight == 0) return;
  sum_.add(value, weight);
  weight_ += weight;
}

void WeightedMean::merge(const WeightedMean& other) {
  sum_.merge(other.sum_);
  weight_ += other.weight_;
}

double WeightedMean::compute() const {
  if (empty()) {
    throw Error({.what = "a mean was asked for before anything was seen",
                 .expected = "at least one update with a weight above 0"});
  }
  return sum_.read() / weight_;
}

void WeightedMean::reset() { *this = WeightedMean(); }

void WeightedMean::state(State& state) {
  sum_.state(state);
  state.value("weight", weight_);
}

namespace metrics::detail {
namespace {

void check_number(const std::string& name, const Tree& value) {
  switch (value.kind()) {
    case Tree::Kind::boolean:
    case Tree::Kind::integer:
    case Tree::Kind::real:
      return;
    case Tree::Kind::tensor:
      check_scalar(value.tensor());
      return;
    default:
      throw Error({.what = "a metric function gave something that has no mean",
                   .where = name.empty() ? "" : "entry '" + name + "'",
                   .got = value.empty() ? "nothing" : value.describe(),
                   .expected = "a number, a scalar tensor, or a dictionary of these"});
  }
}

void add(WeightedMean& mean, const Tree& value, double weight) {
  if (value.is_tensor()) {
    mean.update(value.tensor(), weight);
  } else {
    mean.update(value.kind() == Tree::Kind::boolean ? static_cast<double>(value.boolean()) : value.real(), weight);
  }
}

}  // namespace

WeightedMean& NamedMeans::mean(const std::string& name) {
  const auto found = std::find_if(means_.begin(), means_.end(), [&](const auto& each) { return each.first == name; });
  return found != means_.end() ? found->second : means_.emplace_back(name, WeightedMean()).second;
}

std::vector<std::string> NamedMeans::names() const {
  std::vector<std::string> names;
  for (const auto& [name, mean] : means_) names.push_back(name);
  return names;
}

void NamedMeans::check_names(const std::vector<std::string>& given) const {
  const std::vector<std::string> before = names();
  if (before.empty() || std::is_permutation(given.begin(), given.end(), before.begin(), before.end())) return;
  const auto told = [](const std::vector<std::string>& names) {
    return names == std::vector<std::string>{""} ? "a single number" : join(names, ", ");
  };
  throw Error({.what = "a metric function gave other values than at the first batch",
               .got = told(given),
               .expected = told(before),
               .todo = "give the same names at every batch, or use accumulate::keep_all, which calls it once"});
}

void NamedMeans::update(const Tree& value, double weight) {
  check_weight(weight);
  if (weight == 0) return;
  if (!value.is_dictionary()) {
    check_number({}, value);
    if (means_.size() != 1 || !means_.front().first.empty()) check_names({""});
    add(mean({}), value, weight);
    return;
  }
  std::vector<std::string> given;
  for (const auto& [name, item] : value.entries()) {
    check_number(name, item);
    given.push_back(name);
  }
  check_names(given);
  for (const auto& [name, item] : value.entries()) add(mean(name), item, weight);
}

void NamedMeans::merge(const NamedMeans& other) {
  if (other.empty()) return;
  check_names(other.names());
  for (const auto& [name, theirs] : other.means_) mean(name).merge(theirs);
}

Tree NamedMeans::compute() const {
  if (means_.empty()) return WeightedMean().compute();
  if (means_.size() == 1 && means_.front().first.empty()) return means_.front().second.compute();
  Tree::Dictionary each;
  for (const auto& [name, mean] : means_) each.emplace_back(name, mean.compute());
  return each;
}

void NamedMeans::state(State& state) {
  // Which values a function returns is known only once it has run, so the names are part of the state.
  Tree saved_names = Tree::List{};
  for (const auto& [name, mean] : means_) saved_names.items().emplace_back(name);
  state.value("names", saved_names);
  if (state.loading()) {
    means_.clear();
    for (const Tree& name : saved_names.items()) means_.emplace_back(name.text(), WeightedMean());
  }
  struct Means {
    std::vector<std::pair<std::string, WeightedMean>>& means;
    void state(State& state) {
      for (auto& [name, mean] : means) state.child(name.empty() ? "value" : name, mean);
    }
  };
  Means means{means_};
  state.child("means", means, State::Shape::free);
}

}  // namespace metrics::detail
}  // namespace athanor
