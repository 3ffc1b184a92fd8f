// SPDX-License-Identifier: Apache-2.0
// Scores and labels of a batch in one form.
#include "athanor/metrics/score_batch.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <string>

#include "athanor/core/error.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/metrics/decisions.hpp"
#include "athanor/metrics/refusals.hpp"

namespace athanor::metrics::detail {
namespace {

Rules decision_rules(const ScoreRules& rules) {
  return {.metric = rules.metric,
          .kind = rules.kind,
          .from_logits = rules.from_logits,
          .ignore_index = rules.ignore_index,
          .classes = rules.classes};
}

/// (N, C, d1, …) as (N * d1 …, C).
at::Tensor classes_last(const at::Tensor& tensor) {
  return tensor.dim() == 2 ? tensor : tensor.movedim(1, -1).reshape({-1, tensor.size(1)});
}

at::Tensor as_scores(const at::Tensor& tensor) {
  const bool exact = tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble;
  return (exact ? tensor : tensor.to(at::kFloat)).contiguous();
}

at::Tensor as_labels(const at::Tensor& target, const char* metric) {
  if (target.scalar_type() == at::kLong) return target.contiguous();
  at::Tensor labels = target.to(at::kLong).contiguous();
  if (target.is_cpu() && target.is_floating_point() && !labels.equal(target)) {
    const at::Tensor broken = (target != labels.to(target.scalar_type())).reshape(-1).nonzero();
    const int64_t place = broken.const_data_ptr<int64_t>()[0];
    throw Error({.what = "a target is no whole number",
                 .where = std::string(metric) + ", element " + std::to_string(place) + " of the target",
                 .got = std::to_string(target.reshape(-1)[place].item().toDouble()),
                 .expected = "a class, a whole number",
                 .todo = "round the targets, or set .kind = Kind::multiclass for targets that are probabilities"});
  }
  return labels;
}

template <class Score>
void check_on_cpu(const ScoreBatch& batch, const ScoreRules& rules, int64_t classes) {
  const auto* scores = batch.scores.const_data_ptr<Score>();
  const auto* labels = batch.labels.const_data_ptr<int64_t>();
  const int64_t size = batch.size();
  const int64_t label_count = batch.labels.numel();
  int64_t broken = 0;
  if (rules.from_logits) {
    for (int64_t i = 0; i < size; ++i) broken += scores[i] != scores[i];
  } else {
    for (int64_t i = 0; i < size; ++i) broken += !((scores[i] >= 0) & (scores[i] <= 1));
  }
  const auto limit = static_cast<uint64_t>(classes);
  for (int64_t i = 0; i < label_count; ++i) broken += static_cast<uint64_t>(labels[i]) >= limit;
  if (broken == 0) return;
  const int64_t ignored = rules.ignored();
  const int64_t width = batch.multiclass ? batch.columns : 1;
  for (int64_t i = 0; i < label_count; ++i) {
    if (labels[i] == ignored) continue;
    const int64_t row_places = batch.multiclass ? 1 : batch.columns;
    if (static_cast<uint64_t>(labels[i]) >= limit) {
      throw Error({.what = "a target is out of range",
                   .where = std::string(rules.metric) + ", " + place_in_batch(i, row_places),
                   .got = std::to_string(labels[i]),
                   .expected = "a class, a whole number from 0 to " + std::to_string(classes - 1),
                   .todo = "correct the label, or set .ignore_index to the label that means 'none'"});
    }
    refuse_score(scores + i * width, width, 1, !rules.from_logits, i, row_places, rules.metric);
  }
}

}  // namespace

void check(const ScoreRules& rules) { check(decision_rules(rules)); }

ScoreBatch read_scores(const at::Tensor& predictions, const at::Tensor& target, const ScoreRules& rules) {
  const at::NoGradGuard no_grad;
  if (predictions.defined() && !predictions.is_floating_point()) {
    throw Error({.what = "classes that were decided already have no scores",
                 .where = rules.metric,
                 .got = "predictions " + describe(predictions),
                 .expected = "floating scores",
                 .todo = "give it the logits or the probabilities"});
  }
  const Layout layout = understand(predictions, target, decision_rules(rules));
  ScoreBatch batch;
  if (layout.predictions == Layout::Predictions::decisions_by_threshold) {
    batch.columns = layout.labels > 0 ? layout.labels : 1;
    const bool places = layout.labels > 0 && predictions.dim() > 2;
    batch.scores = as_scores(places ? classes_last(predictions) : predictions);
    batch.labels = as_labels(places ? classes_last(target) : target, rules.metric);
  } else {
    const at::Tensor rows = classes_last(predictions);
    if (layout.binary) {
      batch.scores = as_scores(rules.from_logits ? rows.select(1, 1) - rows.select(1, 0) : rows.select(1, 1));
    } else {
      batch.scores = as_scores(rows);
      batch.columns = layout.classes;
      batch.multiclass = true;
    }
    batch.labels = layout.one_hot_target ? target.argmax(1).contiguous() : as_labels(target, rules.metric);
  }
  batch.places = batch.scores.numel() / std::max<int64_t>(1, batch.columns);
  if (!batch.scores.is_cpu()) return batch;
  const int64_t classes = batch.multiclass ? batch.columns : 2;
  if (batch.scores.scalar_type() == at::kFloat) {
    check_on_cpu<float>(batch, rules, classes);
  } else {
    check_on_cpu<double>(batch, rules, classes);
  }
  return batch;
}

UsableScores usable_on_device(const ScoreBatch& batch, const ScoreRules& rules) {
  const at::Tensor labels = batch.labels.reshape(-1);
  at::Tensor good = (labels >= 0) & (labels < (batch.multiclass ? batch.columns : 2));
  const at::Tensor scores = batch.scores.reshape({batch.places, batch.columns});
  const at::Tensor sound = rules.from_logits ? scores == scores : (scores >= 0) & (scores <= 1);
  good = good & (batch.multiclass ? sound.all(1) : sound.reshape(-1));
  if (!rules.ignore_index) return {good, good.bitwise_not().sum().reshape(1)};
  const at::Tensor kept = labels != *rules.ignore_index;
  return {good & kept, (good.bitwise_not() & kept).sum().reshape(1)};
}

}  // namespace athanor::metrics::detail
