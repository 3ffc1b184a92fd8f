// SPDX-License-Identifier: Apache-2.0
// Calibration error.
#include "athanor/metrics/calibration_error.hpp"

#include <c10/util/SmallVector.h>

#include <algorithm>
#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/metrics/exponentials.hpp"
#include "athanor/metrics/on_device.hpp"
#include "athanor/metrics/once.hpp"
#include "athanor/metrics/probabilities.hpp"

namespace athanor::metrics {
namespace {

template <class Score>
Score greatest_of(const Score* scores, int64_t count) noexcept {
  Score greatest = scores[0];
  for (int64_t i = 1; i < count; ++i) greatest = scores[i] > greatest ? scores[i] : greatest;
  return greatest;
}

/// The greatest probability of each row of logits: 1 / the sum of exp(logit - the greatest).
template <class Score>
void greatest_probabilities(const Score* logits, int64_t rows, int64_t columns, double* confidences) {
  // So many rows at once that vector registers are full and the stack is not.
  constexpr int64_t most = 512;
  c10::SmallVector<double, most> terms(static_cast<size_t>(std::max(columns, std::min(most, rows * columns))));
  const int64_t at_once = std::max<int64_t>(1, most / columns);
  for (int64_t begin = 0; begin < rows; begin += at_once) {
    const int64_t some = std::min(at_once, rows - begin);
    for (int64_t row = 0; row < some; ++row) {
      const Score* own = logits + (begin + row) * columns;
      const auto greatest = static_cast<double>(greatest_of(own, columns));
      for (int64_t c = 0; c < columns; ++c) terms[row * columns + c] = static_cast<double>(own[c]) - greatest;
    }
    detail::exponentials_below_zero(terms.data(), some * columns);
    for (int64_t row = 0; row < some; ++row) {
      double sum = 0;
      for (int64_t c = 0; c < columns; ++c) sum += terms[row * columns + c];
      confidences[begin + row] = 1 / sum;
    }
  }
}

template <class Score>
void add_confidences(const detail::ScoreBatch& batch, const detail::ScoreRules& rules, int64_t cells, double* sums) {
  const auto* scores = batch.scores.const_data_ptr<Score>();
  const auto* labels = batch.labels.const_data_ptr<int64_t>();
  const int64_t targets = batch.labels.numel();
  const int64_t ignored = rules.ignored();
  const auto add = [&](double confidence, bool right) {
    const int64_t bin = detail::threshold_below(static_cast<Score>(confidence), cells);
    sums[bin] += 1;
    sums[cells + bin] += confidence;
    sums[2 * cells + bin] += right ? 1 : 0;
  };
  if (!batch.multiclass) {
    for (int64_t i = 0; i < targets; ++i) {
      if (labels[i] == ignored) continue;
      const auto score = static_cast<double>(scores[i]);
      add(rules.from_logits ? detail::sigmoid(score) : score, labels[i] == 1);
    }
    return;
  }
  const int64_t columns = batch.columns;
  c10::SmallVector<double, 64> confidences(static_cast<size_t>(rules.from_logits ? targets : 0));
  if (rules.from_logits) greatest_probabilities(scores, targets, columns, confidences.data());
  for (int64_t i = 0; i < targets; ++i) {
    if (labels[i] == ignored) continue;
    const Score* own = scores + i * columns;
    const Score best = greatest_of(own, columns);
    // Of equal ones the first is the class that is predicted.
    const bool right = own[labels[i]] == best && std::find(own, own + labels[i], best) == own + labels[i];
    double confidence = rules.from_logits ? confidences[i] : static_cast<double>(best);
    // The limit of the softmax, which itself would be NaN.
    if (std::isinf(best)) confidence = 1 / static_cast<double>(std::count(own, own + columns, best));
    add(confidence, right);
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
