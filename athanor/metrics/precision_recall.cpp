// SPDX-License-Identifier: Apache-2.0
// Precision, recall, specificity and F-beta.
#include "athanor/metrics/precision_recall.hpp"

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor::metrics {
namespace {

using detail::Fraction;
using detail::Tally;

constexpr detail::ClassRatio::Definition precision_definition = {"precision", Direction::up,
                                                                 [](const Tally& tally, double) {
                                                                   return Fraction{tally.right, tally.predicted};
                                                                 }};
constexpr detail::ClassRatio::Definition recall_definition = {"recall", Direction::up, [](const Tally& tally, double) {
                                                                return Fraction{tally.right, tally.targets};
                                                              }};
constexpr detail::ClassRatio::Definition specificity_definition = {
    "specificity", Direction::up, [](const Tally& tally, double) {
      return Fraction{tally.true_negatives(), tally.all - tally.targets};
    }};

Fraction f_beta_of(const Tally& tally, double beta) {
  return {(1 + beta * beta) * tally.right, tally.predicted + beta * beta * tally.targets};
}
constexpr detail::ClassRatio::Definition f_beta_definition = {"f-beta", Direction::up, f_beta_of};
constexpr detail::ClassRatio::Definition f1_definition = {"f1", Direction::up, f_beta_of};

double checked_beta(double beta) {
  if (beta > 0) return beta;
  throw Error({.what = "beta is out of range", .where = "f-beta", .got = shortest(beta), .expected = "above 0"});
}

}  // namespace

Precision::Precision(ClassificationOptions options) : ClassRatio(precision_definition, options) {}
Recall::Recall(ClassificationOptions options) : ClassRatio(recall_definition, options) {}
Specificity::Specificity(ClassificationOptions options) : ClassRatio(specificity_definition, options) {}
FBeta::FBeta(double beta, ClassificationOptions options)
    : ClassRatio(beta == 1 ? f1_definition : f_beta_definition, options, checked_beta(beta), "f" + shortest(beta)) {}

Precision precision(ClassificationOptions options) { return Precision(options); }
Recall recall(ClassificationOptions options) { return Recall(options); }
Specificity specificity(ClassificationOptions options) { return Specificity(options); }
FBeta f_beta(double beta, ClassificationOptions options) { return FBeta(beta, options); }
F1 f1(ClassificationOptions options) { return F1(options); }

double precision(const at::Tensor& predictions, const at::Tensor& target, ClassificationOptions options) {
  return detail::number_once(precision(options), predictions, target);
}
double recall(const at::Tensor& predictions, const at::Tensor& target, ClassificationOptions options) {
  return detail::number_once(recall(options), predictions, target);
}
double specificity(const at::Tensor& predictions, const at::Tensor& target, ClassificationOptions options) {
  return detail::number_once(specificity(options), predictions, target);
}
double f_beta(double beta, const at::Tensor& predictions, const at::Tensor& target, ClassificationOptions options) {
  return detail::number_once(f_beta(beta, options), predictions, target);
}
double f1(const at::Tensor& predictions, const at::Tensor& target, ClassificationOptions options) {
  return detail::number_once(f1(options), predictions, target);
}

}  // namespace athanor::metrics
