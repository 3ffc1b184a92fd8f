// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/formula.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/metrics/once.hpp"

namespace athanor {
namespace {

using Operator = Formula::Operator;

/// A number, or one for each name.
struct FormulaValue {
  bool single = true;
  std::vector<std::pair<std::string, double>> numbers;

  FormulaValue() = default;
  explicit FormulaValue(double number) : numbers{{"", number}} {}
};

double number_of(const std::string& name, const Tree& value) {
  if (value.is_tensor() && value.tensor().defined() && value.tensor().numel() == 1) {
    return value.tensor().item().toDouble();
  }
  switch (value.kind()) {
    case Tree::Kind::boolean:
      return value.boolean() ? 1 : 0;
    case Tree::Kind::integer:
    case Tree::Kind::real:
      return value.real();
    default:
      throw Error({.what = "a metric in a formula gave something that has no arithmetic",
                   .where = name.empty() ? "" : "entry '" + name + "'",
                   .got = value.empty() ? "nothing" : value.describe(),
                   .expected = "a number, a scalar tensor, or a dictionary of these"});
  }
}

FormulaValue value_of(const Tree& result) {
  if (!result.is_dictionary()) return FormulaValue(number_of("", result));
  FormulaValue value;
  value.single = false;
  for (const auto& [name, item] : result.entries()) value.numbers.emplace_back(name, number_of(name, item));
  return value;
}

double apply(Operator op, double a, double b) {
  switch (op) {
    case Operator::add:
      return a + b;
    case Operator::subtract:
      return a - b;
    case Operator::multiply:
      return a * b;
    case Operator::divide:
      return a / b;
    case Operator::power:
      return std::pow(a, b);
    case Operator::minimum:
      return std::isnan(a) || a < b ? a : b;
    case Operator::maximum:
      return std::isnan(a) || a > b ? a : b;
    case Operator::negate:
      return -a;
    case Operator::absolute:
      return std::abs(a);
    case Operator::square_root:
      return std::sqrt(a);
    case Operator::logarithm:
      return std::log(a);
    case Operator::exponential:
      return std::exp(a);
    default:
      return a;
  }
}

bool takes_one(Operator op) { return op >= Operator::negate; }

FormulaValue combine(Operator op, const FormulaValue& left, const FormulaValue& right) {
  FormulaValue result = left.single ? right : left;
  for (size_t i = 0; i < result.numbers.size(); ++i) {
    const auto& a = left.numbers[left.single ? 0 : i];
    const auto& b = right.numbers[right.single ? 0 : std::min(i, right.numbers.size() - 1)];
    if (!left.single && !right.single && (left.numbers.size() != right.numbers.size() || a.first != b.first)) {
      const auto names = [](const FormulaValue& value) {
        std::vector<std::string> names;
        for (const auto& [name, number] : value.numbers) names.push_back(name);
        return join(names, ", ");
      };
      throw Error({.what = "the metrics of a formula give values of different names",
                   .got = names(left) + " and " + names(right),
                   .expected = "the same classes on both sides"});
    }
    result.numbers[i].second = apply(op, a.second, b.second);
  }
  return result;
}

}  // namespace

Formula::Formula(double number) : steps_{{.op = Operator::number, .number = number}} {}

Formula::Formula(Operator op, Metric metric) : steps_{{.op = op}} {
  static std::atomic<uint64_t> made = 0;
  parts_.push_back({++made, std::move(metric)});
}

Formula::Formula(Operator op, const Formula& operand)
    : parts_(operand.parts_), steps_(operand.steps_), uneven_(operand.uneven_) {
  steps_.push_back({.op = op});
}

Formula::Formula(Operator op, const Formula& left, const Formula& right)
    : parts_(left.parts_), steps_(left.steps_), uneven_(left.uneven_ || right.uneven_) {
  std::vector<size_t> place;
  for (const Part& part : right.parts_) {
    const auto found = std::find_if(parts_.begin(), parts_.end(), [&](const Part& mine) {
      return mine.identity == part.identity || mine.metric.alike(part.metric);
    });
    place.push_back(static_cast<size_t>(found - parts_.begin()));
    if (found == parts_.end()) parts_.push_back(part);
  }
  for (Step step : right.steps_) {
    if (step.op == Operator::part) step.part = place[step.part];
    steps_.push_back(step);
  }
  steps_.push_back({.op = op});
}

void Formula::update(const Tree& predictions, const Tree& target, int64_t samples) {
  size_t added = 0;
  try {
    for (Part& part : parts_) {
      part.metric.update(predictions, target, samples);
      ++added;
    }
  } catch (...) {
    uneven_ = uneven_ || added > 0;
    throw;
  }
}

void Formula::merge(const Formula& other) {
  const bool same = steps_ == other.steps_ && parts_.size() == other.parts_.size();
  metrics::detail::check_alike(same, "a formula of " + std::to_string(parts_.size()) + " metrics");
  for (size_t i = 0; i < parts_.size(); ++i) parts_[i].metric.merge(other.parts_[i].metric);
  uneven_ = uneven_ || other.uneven_;
}

Tree Formula::compute() const {
  if (uneven_) {
    throw Error({.what = "the parts of a formula have seen different data",
                 .got = "a batch that one part refused and another had added",
                 .todo = "call reset(), and give it only batches that all parts accept"});
  }
  std::vector<FormulaValue> values;
  for (const Part& part : parts_) values.push_back(value_of(part.metric.compute()));
  std::vector<FormulaValue> stack;
  for (const Step& step : steps_) {
    if (step.op == Operator::part) {
      stack.push_back(values[step.part]);
    } else if (step.op == Operator::number) {
      stack.emplace_back(step.number);
    } else if (takes_one(step.op)) {
      for (auto& [name, number] : stack.back().numbers) number = apply(step.op, number, 0);
    } else {
      const FormulaValue right = std::move(stack.back());
      stack.pop_back();
      stack.back() = combine(step.op, stack.back(), right);
    }
  }
  const FormulaValue& result = stack.back();
  if (result.single) return result.numbers.front().second;
  Tree::Dictionary each;
  for (const auto& [name, number] : result.numbers) each.emplace_back(name, number);
  return each;
}

bool Formula::empty() const {
  return std::any_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.metric.empty(); });
}

bool Formula::live() const {
  return std::all_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.metric.live(); });
}

bool Formula::alike(const Formula& other) const {
  return steps_ == other.steps_ && std::equal(parts_.begin(), parts_.end(), other.parts_.begin(), other.parts_.end(),
                                              [](const Part& a, const Part& b) { return a.metric.alike(b.metric); });
}

void Formula::reset() {
  for (Part& part : parts_) part.metric.reset();
  uneven_ = false;
}

void Formula::state(State& state) {
  state.value("uneven", uneven_);
  for (size_t i = 0; i < parts_.size(); ++i) state.child("part" + std::to_string(i), parts_[i].metric);
}

}  // namespace athanor
