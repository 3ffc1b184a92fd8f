// SPDX-License-Identifier: Apache-2.0
// Arithmetic with metrics: a metric that is computed from others.
//
//     const auto p = athanor::metrics::precision();
//     const auto r = athanor::metrics::recall();
//     athanor::Metrics metrics = {athanor::Metric("my_f1", 2 * p * r / (p + r)).higher_is_better(),
//                                 {"nrmse", athanor::metrics::rmse() / athanor::metrics::maximum()}};
//
// The formula is applied to the values over all data, not to those of batches. Here p and r are written twice and
// updated once for each batch, whatever is made of them.
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "athanor/metrics/metric.hpp"

namespace athanor {

/// A metric out of others and numbers by + - * / and pow, min, max, abs, sqrt, log, exp. It has no name and no
/// direction of its own: Metric("name", formula).higher_is_better().
///
/// Two operands are one part, which is updated once, when they are copies of one Formula, or unused metrics of the same
/// class and options (`alike`). A function is a part of its own each time: make a Formula of it first.
///
/// Values for each class (Average::per_class) are combined class by class, and with numbers each; the names must be the
/// same. A division by zero gives NaN or infinity, as numbers do.
class Formula {
 public:
  Formula(double number);
  /// A metric alone. It is copied, with what it has seen.
  template <std::same_as<Metric> M>  // and nothing that would have to be made a Metric first
  Formula(M metric) : Formula(Operator::part, std::move(metric)) {}
  template <class T>
  requires(!std::same_as<T, Formula> && !std::same_as<T, Metric> && MetricClass<T>) Formula(T metric)
      : Formula(Metric("part", std::move(metric))) {}
  /// A function, as in Metric.
  template <MetricFunction F>
  requires(!MetricClass<F>) explicit Formula(F function) : Formula(Metric("function", std::move(function))) {}

  /// Adds a batch to every part. Throws what a part throws.
  void update(const Tree& predictions, const Tree& target, int64_t samples);
  /// Throws Error when the formulas differ.
  void merge(const Formula& other);
  /// A number, or a dictionary of numbers. Throws Error when a part has seen nothing, gives a tensor of more than one
  /// number, or has refused a batch that others have added: then the parts have seen different data, until reset().
  [[nodiscard]] Tree compute() const;
  /// Whether one of the parts has seen nothing.
  [[nodiscard]] bool empty() const;
  [[nodiscard]] bool live() const;
  /// Whether the two are the same formula of parts that are alike.
  [[nodiscard]] bool alike(const Formula& other) const;
  void reset();
  void state(State& state);
  /// How many metrics are updated for each batch.
  [[nodiscard]] size_t parts() const noexcept { return parts_.size(); }

  friend Formula pow(const Formula& base, const Formula& exponent) { return {Operator::power, base, exponent}; }
  friend Formula min(const Formula& a, const Formula& b) { return {Operator::minimum, a, b}; }
  friend Formula max(const Formula& a, const Formula& b) { return {Operator::maximum, a, b}; }
  friend Formula abs(const Formula& a) { return {Operator::absolute, a}; }
  friend Formula sqrt(const Formula& a) { return {Operator::square_root, a}; }
  friend Formula log(const Formula& a) { return {Operator::logarithm, a}; }
  friend Formula exp(const Formula& a) { return {Operator::exponential, a}; }

  enum class Operator {
    part,
    number,
    add,
    subtract,
    multiply,
    divide,
    power,
    minimum,
    maximum,
    negate,
    absolute,
    square_root,
    logarithm,
    exponential,
  };
  /// What the operators make.
  Formula(Operator op, const Formula& left, const Formula& right);
  Formula(Operator op, const Formula& operand);

 private:
  Formula(Operator op, Metric metric);
  struct Part {
    uint64_t identity;
    Metric metric;
  };
  /// In postfix order: the operands of an operator stand before it.
  struct Step {
    Operator op;
    size_t part = 0;
    double number = 0;
    friend bool operator==(const Step&, const Step&) = default;
  };

  std::vector<Part> parts_;
  std::vector<Step> steps_;
  bool uneven_ = false;  // a part refused a batch that another had added
};

namespace metrics::detail {

template <class T>
concept FormulaPart = std::same_as<T, Formula> || std::same_as<T, Metric> || MetricClass<T>;
template <class T>
concept FormulaOperand = FormulaPart<T> || std::is_arithmetic_v<T>;
template <class A, class B>
concept FormulaOperands = (FormulaPart<A> && FormulaOperand<B>) || (std::is_arithmetic_v<A> && FormulaPart<B>);

template <class T>
[[nodiscard]] Formula formula_of(const T& operand) {
  if constexpr (std::is_arithmetic_v<T>) {
    return Formula(static_cast<double>(operand));
  } else {
    return Formula(operand);
  }
}

}  // namespace metrics::detail

template <class A, class B>
requires metrics::detail::FormulaOperands<A, B>
[[nodiscard]] Formula operator+(const A& a, const B& b) {
  return {Formula::Operator::add, metrics::detail::formula_of(a), metrics::detail::formula_of(b)};
}
template <class A, class B>
requires metrics::detail::FormulaOperands<A, B>
[[nodiscard]] Formula operator-(const A& a, const B& b) {
  return {Formula::Operator::subtract, metrics::detail::formula_of(a), metrics::detail::formula_of(b)};
}
template <class A, class B>
requires metrics::detail::FormulaOperands<A, B>
[[nodiscard]] Formula operator*(const A& a, const B& b) {
  return {Formula::Operator::multiply, metrics::detail::formula_of(a), metrics::detail::formula_of(b)};
}
template <class A, class B>
requires metrics::detail::FormulaOperands<A, B>
[[nodiscard]] Formula operator/(const A& a, const B& b) {
  return {Formula::Operator::divide, metrics::detail::formula_of(a), metrics::detail::formula_of(b)};
}
template <class A>
requires metrics::detail::FormulaPart<A>
[[nodiscard]] Formula operator-(const A& a) { return {Formula::Operator::negate, metrics::detail::formula_of(a)}; }

namespace metrics {

// Where the operators are looked for when both operands are metrics of this namespace.
using athanor::operator+;
using athanor::operator-;
using athanor::operator*;
using athanor::operator/;

}  // namespace metrics
}  // namespace athanor
