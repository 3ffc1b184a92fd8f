// SPDX-License-Identifier: Apache-2.0
// Any metric under one type: merging, reporting and the weighted mean.
#include "athanor/metrics/metric.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Type.h>

#include <typeinfo>

#include "athanor/core/error.hpp"
#include "athanor/metrics/elements.hpp"

namespace athanor {
namespace {

/// `athanor::Metric::OfClass<Accuracy>` is the holder's name; a reader knows `Accuracy`.
std::string kind_name(const std::type_info& holder) {
  const std::string name = c10::demangle(holder.name());
  const size_t open = name.find('<');
  const size_t close = name.rfind('>');
  return open == std::string::npos || close < open ? name : name.substr(open + 1, close - open - 1);
}

void report_tree(Values& values, const std::string& name, const Tree& tree) {
  switch (tree.kind()) {
    case Tree::Kind::boolean:
      values.set(name, tree.boolean() ? 1 : 0);
      break;
    case Tree::Kind::integer:
    case Tree::Kind::real:
      values.set(name, tree.real());
      break;
    case Tree::Kind::tensor:
      if (tree.tensor().defined() && tree.tensor().dim() == 0) values.set(name, tree.tensor().item().toDouble());
      break;
    case Tree::Kind::dictionary:
      for (const auto& [entry, item] : tree.entries()) report_tree(values, name + "_" + entry, item);
      break;
    default:
      break;
  }
}

double read_scalar(const at::Tensor& value) {
  switch (value.scalar_type()) {
    case at::kFloat:
      return *value.const_data_ptr<float>();
    case at::kDouble:
      return *value.const_data_ptr<double>();
    case at::kHalf:
      return *value.const_data_ptr<at::Half>();
    case at::kBFloat16:
      return *value.const_data_ptr<at::BFloat16>();
    default:
      return value.item().toDouble();
  }
}

}  // namespace

void Metric::merge(const Metric& other) {
  if (held_->merge(*other.held_)) return;
  const Held& mine = *held_;
  const Held& theirs = *other.held_;
  throw Error({.what = "two metrics of different kinds can't be merged",
               .got = "'" + other.name_ + "', of type " + kind_name(typeid(theirs)),
               .expected = "the kind of '" + name_ + "', of type " + kind_name(typeid(mine)),
               .todo = "merge only copies of one metric, each with a part of the data"});
}

void Metric::report(Values& values, std::string_view prefix) const {
  report_tree(values, std::string(prefix) + name_, compute());
}

WeightedMean::WeightedMean(const WeightedMean& other)
    : sum_(other.sum_),
      weight_(other.weight_),
      device_sum_(other.device_sum_.defined() ? other.device_sum_.clone() : at::Tensor()) {}

void WeightedMean::update(double value, double weight) {
  if (!(weight >= 0)) {
    throw Error({.what = "the weight of a value in a mean is not a number from 0 on", .got = std::to_string(weight)});
  }
  // The mean of nothing is NaN, and weighs nothing.
  if (weight == 0) return;
  sum_ += value * weight;
  weight_ += weight;
}

void WeightedMean::update(const at::Tensor& value, double weight) {
  if (!value.defined() || value.numel() != 1 || value.is_complex()) {
    throw Error({.what = "a value to be averaged is not a single number",
                 .got = describe(value),
                 .expected = "a scalar tensor",
                 .todo = "reduce it first, for example by .mean()"});
  }
  if (value.is_cpu()) {
    update(read_scalar(value), weight);
    return;
  }
  update(0.0, weight);
  if (weight == 0) return;
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  const at::Tensor term = value.detach().reshape({}).to(metrics::detail::widest_on(value.device())).mul(weight);
  if (!device_sum_.defined()) {
    device_sum_ = term;
  } else {
    if (device_sum_.device() != term.device()) device_sum_ = device_sum_.to(term.options());
    device_sum_.add_(term);
  }
}

void WeightedMean::merge(const WeightedMean& other) {
  sum_ += other.sum_;
  weight_ += other.weight_;
  if (!other.device_sum_.defined()) return;
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  device_sum_ =
      device_sum_.defined() ? device_sum_ + other.device_sum_.to(device_sum_.options()) : other.device_sum_.clone();
}

double WeightedMean::compute() const {
  if (empty()) {
    throw Error({.what = "a mean was asked for before anything was seen",
                 .expected = "at least one update with a weight above 0"});
  }
  return ((device_sum_.defined() ? device_sum_.item().toDouble() : 0.0) + sum_) / weight_;
}

void WeightedMean::reset() { *this = WeightedMean(); }

void WeightedMean::state(State& state) {
  state.value("sum", sum_);
  state.value("weight", weight_);
  state.tensor("device_sum", device_sum_, State::Shape::free);
}

}  // namespace athanor
