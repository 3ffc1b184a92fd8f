// SPDX-License-Identifier: Apache-2.0
// Log loss.
#include "athanor/metrics/log_loss.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "athanor/core/error.hpp"
#include "athanor/metrics/on_device.hpp"
#include "athanor/metrics/once.hpp"
#include "athanor/metrics/probabilities.hpp"

namespace athanor::metrics {
namespace {

template <class Score>
double loss_of_probability(Score probability) {
  constexpr double least = std::numeric_limits<Score>::epsilon();
  return -std::log(std::clamp(static_cast<double>(probability), least, 1 - least));
}

template <class Score>
double loss_of_place(const Score* scores, int64_t columns, bool multiclass, int64_t label, bool from_logits) {
  if (multiclass) {
    if (!from_logits) return loss_of_probability(scores[label]);
    const auto greatest = static_cast<double>(*std::max_element(scores, scores + columns));
    return detail::log_sum_exp(scores, columns, greatest) - static_cast<double>(scores[label]);
  }
  if (!from_logits) return loss_of_probability(label == 1 ? *scores : 1 - *scores);
  const auto logit = static_cast<double>(*scores);
  return detail::softplus(label == 1 ? -logit : logit);
}

template <class Score>
void add_losses(const detail::ScoreBatch& batch, const detail::ScoreRules& rules, double* sums) {
  const auto* scores = batch.scores.const_data_ptr<Score>();
  const auto* labels = batch.labels.const_data_ptr<int64_t>();
  const int64_t targets = batch.labels.numel();
  const int64_t width = batch.multiclass ? batch.columns : 1;
  const int64_t ignored = rules.ignored();
  for (int64_t i = 0; i < targets; ++i) {
    if (labels[i] == ignored) continue;
    sums[0] += loss_of_place(scores + i * width, width, batch.multiclass, labels[i], rules.from_logits);
    sums[1] += 1;
  }
}

}  // namespace

LogLoss::LogLoss(LogLossOptions options)
    : options_(options),
      rules_{.metric = "log loss",
             .kind = options.kind,
             .from_logits = options.from_logits,
             .ignore_index = options.ignore_index,
             .classes = options.classes} {
  detail::check(rules_);
}

void LogLoss::update(const at::Tensor& predictions, const at::Tensor& target) {
  const detail::ScoreBatch batch = detail::read_scores(predictions, target, rules_);
  if (batch.scores.is_cpu()) {
    double* sums = sums_.on_host(2);
    if (batch.scores.scalar_type() == at::kFloat) {
      add_losses<float>(batch, rules_, sums);
    } else {
      add_losses<double>(batch, rules_, sums);
    }
    return;
  }
  sums_.add(detail::log_losses_on_device(batch, rules_));
}

void LogLoss::merge(const LogLoss& other) {
  detail::check_alike(alike(other), name());
  sums_.merge(other.sums_, rules_.metric);
}

double LogLoss::compute() const {
  const std::vector<double> sums = sums_.read(rules_.metric);
  if (sums[1] == 0) {
    throw Error({.what = "a metric has seen only targets that it ignores, or no samples", .where = rules_.metric});
  }
  return sums[0] / sums[1];
}

LogLoss log_loss(LogLossOptions options) { return LogLoss(options); }

double log_loss(const at::Tensor& predictions, const at::Tensor& target, LogLossOptions options) {
  return once(log_loss(options), predictions, target);
}

}  // namespace athanor::metrics
