// SPDX-License-Identifier: Apache-2.0
// Calibration error.
#include "athanor/metrics/calibration_error.hpp"

#include <algorithm>
#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/metrics/on_device.hpp"
#include "athanor/metrics/once.hpp"
#include "athanor/metrics/probabilities.hpp"

namespace athanor::metrics {
namespace {

struct Confidence {
  double value;
  bool right;
};

template <class Score>
Confidence confidence_of(const Score* scores, int64_t columns, bool multiclass, int64_t label, bool from_logits) {
  if (!multiclass) {
    return {from_logits ? detail::sigmoid(static_cast<double>(*scores)) : static_cast<double>(*scores), label == 1};
  }
  const Score* best = std::max_element(scores, scores + columns);
  const auto greatest = static_cast<double>(*best);
  return {from_logits ? std::exp(greatest - detail::log_sum_exp(scores, columns, greatest)) : greatest,
          best - scores == label};
}

template <class Score>
void add_confidences(const detail::ScoreBatch& batch, const detail::ScoreRules& rules, int64_t cells, double* sums) {
  const auto* scores = batch.scores.const_data_ptr<Score>();
  const auto* labels = batch.labels.const_data_ptr<int64_t>();
  const int64_t targets = batch.labels.numel();
  const int64_t width = batch.multiclass ? batch.columns : 1;
  const int64_t ignored = rules.ignored();
  for (int64_t i = 0; i < targets; ++i) {
    if (labels[i] == ignored) continue;
    const Confidence confidence =
        confidence_of(scores + i * width, width, batch.multiclass, labels[i], rules.from_logits);
    const int64_t bin = detail::threshold_below(static_cast<Score>(confidence.value), cells);
    sums[bin] += 1;
    sums[cells + bin] += confidence.value;
    sums[2 * cells + bin] += confidence.right ? 1 : 0;
  }
}

}  // namespace

CalibrationError::CalibrationError(CalibrationErrorOptions options)
    : options_(options),
      rules_{.metric = "calibration error",
             .kind = options.kind,
             .from_logits = options.from_logits,
             .ignore_index = options.ignore_index,
             .classes = options.classes} {
  detail::check(rules_);
  if (options.bins < 1) {
    throw Error({.what = "bins is too small",
                 .where = rules_.metric,
                 .got = std::to_string(options.bins),
                 .expected = "1 or more"});
  }
}

void CalibrationError::update(const at::Tensor& predictions, const at::Tensor& target) {
  const detail::ScoreBatch batch = detail::read_scores(predictions, target, rules_);
  const int64_t cells = options_.bins + 1;
  if (batch.scores.is_cpu()) {
    double* sums = sums_.on_host(3 * cells);
    if (batch.scores.scalar_type() == at::kFloat) {
      add_confidences<float>(batch, rules_, cells, sums);
    } else {
      add_confidences<double>(batch, rules_, cells, sums);
    }
    return;
  }
  sums_.add(detail::calibration_on_device(batch, rules_, options_.bins));
}

void CalibrationError::merge(const CalibrationError& other) {
  detail::check_alike(alike(other), name());
  sums_.merge(other.sums_, rules_.metric);
}

double CalibrationError::compute() const {
  const std::vector<double> sums = sums_.read(rules_.metric);
  const size_t cells = sums.size() / 3;
  double all = 0, mean = 0, squares = 0, greatest = 0;
  for (size_t bin = 0; bin < cells; ++bin) {
    const double samples = sums[bin];
    if (samples == 0) continue;
    const double gap = std::abs(sums[cells + bin] - sums[2 * cells + bin]) / samples;
    all += samples;
    mean += gap * samples;
    squares += gap * gap * samples;
    greatest = std::max(greatest, gap);
  }
  if (all == 0) {
    throw Error({.what = "a metric has seen only targets that it ignores, or no samples", .where = rules_.metric});
  }
  switch (options_.norm) {
    case CalibrationNorm::mean:
      return mean / all;
    case CalibrationNorm::root_square:
      return std::sqrt(squares / all);
    case CalibrationNorm::maximum:
      break;
  }
  return greatest;
}

CalibrationError calibration_error(CalibrationErrorOptions options) { return CalibrationError(options); }

double calibration_error(const at::Tensor& predictions, const at::Tensor& target, CalibrationErrorOptions options) {
  return once(calibration_error(options), predictions, target);
}

}  // namespace athanor::metrics
