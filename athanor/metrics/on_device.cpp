// SPDX-License-Identifier: Apache-2.0
// What a batch adds to the counters and sums of metrics, by operators.
#include "athanor/metrics/on_device.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "athanor/metrics/elements.hpp"
#include "athanor/metrics/probabilities.hpp"

namespace athanor::metrics::detail {
namespace {

at::Tensor rows_of(const ScoreBatch& batch) { return batch.scores.reshape({batch.places, batch.columns}); }

at::Tensor probabilities_on_device(const ScoreBatch& batch, bool from_logits) {
  at::Tensor rows = rows_of(batch);
  if (!from_logits) return rows;
  return batch.multiclass ? rows.softmax(1) : rows.sigmoid();
}

at::Tensor losses_of_targets(const ScoreBatch& batch, bool from_logits) {
  const double least = batch.scores.scalar_type() == at::kDouble ? std::numeric_limits<double>::epsilon()
                                                                 : std::numeric_limits<float>::epsilon();
  const auto of_probability = [&](const at::Tensor& p) { return p.clamp(least, 1 - least).log().neg(); };
  const at::Tensor scores = rows_of(batch).to(widest_on(batch.scores.device()));
  if (batch.multiclass) {
    const at::Tensor label = batch.labels.reshape({-1, 1}).clamp(0, batch.columns - 1);
    const at::Tensor all = from_logits ? at::log_softmax(scores, 1).neg() : of_probability(scores);
    return all.gather(1, label).reshape(-1);
  }
  const at::Tensor negative = batch.labels.reshape(-1) != 1;
  const at::Tensor flat = scores.reshape(-1);
  if (from_logits) return at::softplus(flat * (negative.to(flat.scalar_type()) * 2 - 1));
  return of_probability(flat.masked_fill(negative, 0) + (flat.neg() + 1) * negative);
}

}  // namespace

at::Tensor class_counts_on_device(const DeviceDecisions& decided, const Layout& layout) {
  const at::NoGradGuard no_grad;
  if (layout.labels > 0) {
    const at::Tensor cell = labels_on_device(layout, decided.target) * 4 + decided.target * 2 + decided.predicted;
    return at::cat({count_on_device(cell, decided.valid, 4 * layout.labels), decided.refused});
  }
  const int64_t classes = layout.classes;
  const at::Tensor hits = (decided.predicted == decided.target) & decided.valid;
  return at::cat({count_on_device(decided.target, hits, classes),
                  count_on_device(decided.predicted, decided.valid, classes),
                  count_on_device(decided.target, decided.valid, classes), decided.refused});
}

at::Tensor image_counts_on_device(const DeviceDecisions& decided, const Layout& layout) {
  const at::NoGradGuard no_grad;
  const int64_t images = layout.outer;
  const int64_t classes = layout.classes;
  const at::Tensor image =
      at::arange(images, decided.target.options()).reshape({images, 1}).expand({images, layout.inner}).reshape(-1);
  const at::Tensor hits = (decided.predicted == decided.target) & decided.valid;
  const auto count = [&](const at::Tensor& classes_of, const at::Tensor& valid) {
    return count_on_device(image * classes + classes_of, valid, images * classes).reshape({images, classes});
  };
  return at::stack(
      {count(decided.target, hits), count(decided.predicted, decided.valid), count(decided.target, decided.valid)}, 1);
}

at::Tensor bin_counts_on_device(const ScoreBatch& batch, const ScoreRules& rules, int64_t bins) {
  const at::NoGradGuard no_grad;
  const UsableScores usable = usable_on_device(batch, rules);
  const at::Tensor bin = threshold_below_on_device(probabilities_on_device(batch, rules.from_logits), bins);
  const at::Tensor column = at::arange(batch.columns, batch.labels.options()).reshape({1, batch.columns});
  const int64_t width = batch.multiclass ? 1 : batch.columns;
  const at::Tensor labels = batch.labels.reshape({batch.places, width});
  const at::Tensor positive = batch.multiclass ? (labels == column).to(at::kLong) : labels;
  const at::Tensor valid = usable.valid.reshape({batch.places, width}).expand({batch.places, batch.columns});
  const at::Tensor cell = ((column * 2 + positive) * bins + bin).reshape(-1);
  return at::cat({count_on_device(cell, valid.reshape(-1), batch.columns * 2 * bins), usable.refused});
}

at::Tensor log_losses_on_device(const ScoreBatch& batch, const ScoreRules& rules) {
  const at::NoGradGuard no_grad;
  const UsableScores usable = usable_on_device(batch, rules);
  const at::Tensor losses = losses_of_targets(batch, rules.from_logits);
  const at::Tensor sum = losses.masked_fill(usable.valid.bitwise_not(), 0).sum().reshape(1);
  return at::cat({sum, usable.valid.sum().reshape(1).to(sum.options()), usable.refused.to(sum.options())});
}

at::Tensor calibration_on_device(const ScoreBatch& batch, const ScoreRules& rules, int64_t bins) {
  const at::NoGradGuard no_grad;
  const UsableScores usable = usable_on_device(batch, rules);
  const at::Tensor probabilities = probabilities_on_device(batch, rules.from_logits);
  const at::Tensor labels = batch.labels.reshape(-1);
  const at::Tensor confidence = batch.multiclass ? probabilities.amax(1) : probabilities.reshape(-1);
  const at::Tensor right = batch.multiclass ? rows_of(batch).argmax(1) == labels : labels == 1;
  const at::Tensor bin = threshold_below_on_device(confidence, bins + 1);
  const auto wide = confidence.options().dtype(widest_on(confidence.device()));
  const at::Tensor left_out = usable.valid.bitwise_not();
  const auto add_up = [&](const at::Tensor& values) {
    return at::zeros({bins + 1}, wide).scatter_add(0, bin, values.to(wide).masked_fill(left_out, 0));
  };
  return at::cat({add_up(usable.valid), add_up(confidence), add_up(right), usable.refused.to(wide)});
}

}  // namespace athanor::metrics::detail
