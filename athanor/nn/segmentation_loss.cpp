// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/segmentation_loss.hpp"

#include <ATen/TensorOperators.h>

#include <cmath>
#include <limits>

#include "athanor/core/error.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/nn/loss_input.hpp"

namespace athanor::loss {
namespace {

using namespace detail;

/// Probabilities and targets, (N, C, places), 0 in both where a place does not count.
struct Masks {
  at::Tensor predicted;
  at::Tensor target;
};

at::Tensor by_place(const at::Tensor& tensor) { return tensor.reshape({tensor.size(0), tensor.size(1), -1}); }

at::Tensor logits_of_channels(const char* loss, const at::Tensor& logits) {
  at::Tensor x = in_full(logits, loss);
  if (x.dim() >= 2) return x;
  throw Error({.what = "a loss of overlap needs a channel for each class",
               .where = loss,
               .got = describe(logits),
               .expected = "logits (N, C, …); for a single mask (N, 1, …)"});
}

/// 1 at the class of each place; nowhere where the place does not count.
at::Tensor one_hot(const at::Tensor& numbers, const at::Tensor& counts, const at::Tensor& like) {
  const at::Tensor zeros = like.detach().new_zeros(like.sizes());
  return zeros.scatter(1, numbers.where(counts, 0).unsqueeze(1), counts.unsqueeze(1).to(like.scalar_type()));
}

Masks masks_of(const char* loss, const at::Tensor& logits, const at::Tensor& target, const TverskyOptions& options) {
  const at::Tensor x = logits_of_channels(loss, logits);
  const bool independent = options.classes == Classes::independent;
  if (independent || (target.defined() && target.is_floating_point())) {
    require_same_shape(loss, x, target);
    if (!independent) require_choice(loss, x);
    const at::Tensor y = target.to(x.scalar_type());
    require_range(loss, "target", y, 0, 1);
    return {by_place(independent ? x.sigmoid() : x.softmax(1)), by_place(y)};
  }
  const at::Tensor numbers = class_numbers(loss, x, target, options.ignore_index);
  const at::Tensor counts = numbers != options.ignore_index;
  return {by_place(x.softmax(1).where(counts.unsqueeze(1), 0)), by_place(one_hot(numbers, counts, x))};
}

at::Tensor tversky(const char* loss, const at::Tensor& logits, const at::Tensor& target,
                   const TverskyOptions& options) {
  const FullPrecision full;
  const auto [p, y] = masks_of(loss, logits, target, options);
  const std::vector<int64_t> places = options.per_sample ? std::vector<int64_t>{2} : std::vector<int64_t>{0, 2};
  const at::Tensor both = (p * y).sum(places);
  const at::Tensor in_target = y.sum(places);
  const at::Tensor positives = p.sum(places) - both;
  const at::Tensor negatives = in_target - both;
  at::Tensor below = both + options.false_positives * positives + options.false_negatives * negatives + options.smooth;
  const at::Tensor present = in_target > 0;
  const bool left_out = options.absent == Absent::left_out;
  if (left_out) below = below.where(present, 1);
  const at::Tensor each = power(1 - (both + options.smooth) / below, options.focus);
  return left_out ? mean_where(each, present) : each.mean();
}

void check_smooth(double smooth, const char* option) {
  require_option(smooth >= 0 && std::isfinite(smooth), option, smooth, "0 or more");
}

/// How much each error counts: the steps of the Jaccard loss as the errors, largest first, become mistakes. `positive`
/// (rows, places), int64, in that order.
at::Tensor jaccard_steps(const at::Tensor& positive, at::ScalarType dtype) {
  const at::Tensor all = positive.sum(1, /*keepdim=*/true);
  const at::Tensor both = all - positive.cumsum(1);
  const at::Tensor either = all + (1 - positive).cumsum(1);
  const at::Tensor jaccard = 1 - both.to(dtype) / either.to(dtype);
  at::Tensor steps = jaccard.clone();
  const int64_t places = jaccard.size(1);
  if (places > 1) steps.slice(1, 1, places).sub_(jaccard.slice(1, 0, places - 1));
  return steps;
}

/// (C, N x places), or (N x C, places).
at::Tensor rows_of(const at::Tensor& by_class, bool per_sample) {
  return per_sample ? by_class.flatten(0, 1) : by_class.transpose(0, 1).flatten(1);
}

at::Tensor lovasz_of_rows(const at::Tensor& errors, const at::Tensor& positive) {
  const auto [sorted, order] = errors.sort(/*stable=*/true, 1, /*descending=*/true);
  return (sorted * jaccard_steps(positive.gather(1, order), errors.scalar_type())).sum(1);
}

}  // namespace

Dice::Dice(DiceOptions options) : options_(options) { check_smooth(options_.smooth, "DiceOptions::smooth"); }

at::Tensor Dice::operator()(const at::Tensor& logits, const at::Tensor& target) const {
  return tversky("loss::Dice", logits, target,
                 {.classes = options_.classes,
                  .absent = options_.absent,
                  .per_sample = options_.per_sample,
                  .smooth = options_.smooth / 2,
                  .ignore_index = options_.ignore_index});
}

Tversky::Tversky(TverskyOptions options) : options_(options) {
  require_option(options_.false_positives >= 0 && std::isfinite(options_.false_positives),
                 "TverskyOptions::false_positives", options_.false_positives, "0 or more");
  require_option(options_.false_negatives >= 0 && std::isfinite(options_.false_negatives),
                 "TverskyOptions::false_negatives", options_.false_negatives, "0 or more");
  require_option(options_.focus > 0 && std::isfinite(options_.focus), "TverskyOptions::focus", options_.focus,
                 "above 0");
  check_smooth(options_.smooth, "TverskyOptions::smooth");
}

at::Tensor Tversky::operator()(const at::Tensor& logits, const at::Tensor& target) const {
  return tversky("loss::Tversky", logits, target, options_);
}

at::Tensor Lovasz::operator()(const at::Tensor& logits, const at::Tensor& target) const {
  const FullPrecision full;
  constexpr const char* name = "loss::Lovasz";
  const at::Tensor x = logits_of_channels(name, logits);
  if (options_.classes == Classes::exclusive) {
    const at::Tensor numbers = class_numbers(name, x, target, options_.ignore_index);
    const at::Tensor counts = numbers != options_.ignore_index;
    const at::Tensor positive = rows_of(by_place(one_hot(numbers, counts, x)), options_.per_sample);
    // What does not count has no error: it stands behind all others and adds nothing.
    const at::Tensor p = x.softmax(1).where(counts.unsqueeze(1), 0);
    const at::Tensor errors = (positive - rows_of(by_place(p), options_.per_sample)).abs();
    const at::Tensor each = lovasz_of_rows(errors, positive.to(at::kLong));
    return options_.absent == Absent::left_out ? mean_where(each, positive.sum(1) > 0) : each.mean();
  }
  require_same_shape(name, x, target);
  const at::Tensor counts = target != options_.ignore_index;
  const at::Tensor y = target.where(counts, 0).to(x.scalar_type());
  require_binary(name, "target", y);
  const at::Tensor margins = 1 - x * (2 * y - 1);
  const at::Tensor errors = margins.masked_fill(counts.logical_not(), -std::numeric_limits<double>::infinity()).relu();
  return lovasz_of_rows(rows_of(by_place(errors), options_.per_sample),
                        rows_of(by_place(y), options_.per_sample).to(at::kLong))
      .mean();
}

}  // namespace athanor::loss
