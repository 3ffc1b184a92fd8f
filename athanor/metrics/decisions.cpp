// SPDX-License-Identifier: Apache-2.0
// From predictions and targets to pairs of classes, on the CPU.
#include "athanor/metrics/decisions.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "athanor/core/error.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/metrics/refusals.hpp"

namespace athanor::metrics::detail {
namespace {

using Labels = c10::SmallVectorImpl<int64_t>;

[[noreturn]] void refuse_label(const Layout& layout, const Rules& rules, int64_t place, const char* whose,
                               const std::string& label) {
  const std::string where = std::string(rules.metric) + ", " + place_in_batch(place, layout.inner);
  const std::string last = layout.classes == Layout::any_class ? "on" : "to " + std::to_string(layout.classes - 1);
  throw Error({.what = std::string("a ") + whose + " is out of range",
               .where = where,
               .got = label,
               .expected = "a class, a whole number from 0 " + last,
               .todo = "correct the label, set .classes, or set .ignore_index to the label that means 'none'"});
}

template <class T>
void copy_labels(const at::Tensor& tensor, Labels& labels) {
  const T* from = tensor.const_data_ptr<T>();
  for (int64_t i = 0; i < tensor.numel(); ++i) labels[i] = static_cast<int64_t>(from[i]);
}

/// Labels that carry a fraction, or none, as floating targets may.
template <class T>
void copy_whole_labels(const at::Tensor& tensor, Labels& labels, const Layout& layout, const Rules& rules,
                       const char* whose) {
  const T* from = tensor.const_data_ptr<T>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    if (!(std::abs(from[i]) < static_cast<T>(1e15)) || from[i] != std::trunc(from[i])) {
      refuse_label(layout, rules, i, whose, std::to_string(from[i]));
    }
    labels[i] = static_cast<int64_t>(from[i]);
  }
}

/// The labels as int64: where they lie, when they are int64 already, else in `storage`.
const int64_t* read_labels(const at::Tensor& tensor, Labels& storage, const Layout& layout, const Rules& rules,
                           const char* whose) {
  if (tensor.scalar_type() == at::kLong && tensor.is_contiguous()) return tensor.const_data_ptr<int64_t>();
  storage.resize_for_overwrite(tensor.numel());
  const auto dense = tensor.expect_contiguous();
  switch (dense->scalar_type()) {
    case at::kLong:
      copy_labels<int64_t>(*dense, storage);
      break;
    case at::kInt:
      copy_labels<int32_t>(*dense, storage);
      break;
    case at::kByte:
      copy_labels<uint8_t>(*dense, storage);
      break;
    case at::kBool:
      copy_labels<bool>(*dense, storage);
      break;
    case at::kFloat:
      copy_whole_labels<float>(*dense, storage, layout, rules, whose);
      break;
    default:
      if (dense->is_floating_point()) {
        copy_whole_labels<double>(dense->to(at::kDouble), storage, layout, rules, whose);
      } else {
        copy_labels<int64_t>(dense->to(at::kLong), storage);
      }
  }
  return storage.data();
}

/// The first greatest of a row without NaN. A row with NaN, which only an ignored place may have, gives any class.
template <class Score>
int64_t argmax(const Score* row, int64_t classes, int64_t stride) {
  Score best = row[0];
  for (int64_t c = 1; c < classes; ++c) best = row[c * stride] > best ? row[c * stride] : best;
  int64_t c = 0;
  while (c < classes - 1 && row[c * stride] != best) ++c;
  return c;
}

/// The same for all places of a row at once, class by class, as they lie in memory.
template <class Score>
void argmax_places(const Score* row, int64_t classes, int64_t inner, Score* best, int64_t* predicted) {
  for (int64_t i = 0; i < inner; ++i) {
    best[i] = row[i];
    predicted[i] = 0;
  }
  for (int64_t c = 1; c < classes; ++c) {
    const Score* scores = row + c * inner;
    for (int64_t i = 0; i < inner; ++i) {
      const bool take = scores[i] > best[i];
      best[i] = take ? scores[i] : best[i];
      predicted[i] = take ? c : predicted[i];
    }
  }
}

template <class Score>
bool among_best(const Score* scores, int64_t classes, int64_t stride, int64_t label, int64_t k) {
  const Score own = scores[label * stride];
  int64_t ahead = 0;
  for (int64_t c = 0; c < classes; ++c) {
    const Score score = scores[c * stride];
    // Bitwise, because branches on random scores cost more than the comparisons.
    ahead += (score > own) | ((score == own) & (c < label));
  }
  return ahead < k;
}

/// Refuses the first place that is not ignored and has a score that is no use. A first look over all scores at once
/// costs least, and finds nothing nearly always.
template <class Score>
void check_scores(const Score* scores, const Layout& layout, const Rules& rules, const int64_t* target,
                  int64_t ignored) {
  const bool by_threshold = layout.predictions == Layout::Predictions::decisions_by_threshold;
  const bool probabilities = by_threshold && !rules.from_logits;
  const int64_t places = layout.outer * layout.inner;
  const int64_t size = by_threshold ? places : places * layout.classes;
  int64_t broken = 0;
  if (probabilities) {
    for (int64_t i = 0; i < size; ++i) broken += !((scores[i] >= 0) & (scores[i] <= 1));
  } else {
    for (int64_t i = 0; i < size; ++i) broken += scores[i] != scores[i];
  }
  for (int64_t place = 0; broken > 0 && place < places; ++place) {
    if (target[place] == ignored) continue;
    if (by_threshold) {
      refuse_score(scores + place, 1, 1, probabilities, place, layout.inner, rules.metric);
    } else {
      const Score* row = scores + place / layout.inner * layout.classes * layout.inner + place % layout.inner;
      refuse_score(row, layout.classes, layout.inner, false, place, layout.inner, rules.metric);
    }
  }
}

template <class Score>
void decide(const Score* scores, const Layout& layout, const Rules& rules, const int64_t* target, int64_t ignored,
            int64_t* predicted) {
  check_scores(scores, layout, rules, target, ignored);
  const int64_t places = layout.outer * layout.inner;
  if (layout.predictions == Layout::Predictions::decisions_by_threshold) {
    const auto cut =
        static_cast<Score>(rules.from_logits ? std::log(rules.threshold / (1 - rules.threshold)) : rules.threshold);
    for (int64_t i = 0; i < places; ++i) predicted[i] = scores[i] > cut ? 1 : 0;
    return;
  }
  const int64_t row = layout.classes * layout.inner;
  if (rules.top_k > 1) {
    for (int64_t i = 0; i < places; ++i) {
      const Score* place = scores + i / layout.inner * row + i % layout.inner;
      const bool hit = target[i] != ignored && among_best(place, layout.classes, layout.inner, target[i], rules.top_k);
      predicted[i] = hit ? target[i] : argmax(place, layout.classes, layout.inner);
    }
  } else if (layout.inner == 1) {
    for (int64_t n = 0; n < layout.outer; ++n) predicted[n] = argmax(scores + n * row, row, 1);
  } else {
    std::vector<Score> best(static_cast<size_t>(layout.inner));
    for (int64_t n = 0; n < layout.outer; ++n) {
      argmax_places(scores + n * row, layout.classes, layout.inner, best.data(), predicted + n * layout.inner);
    }
  }
}

}  // namespace

Decisions::Decisions(const at::Tensor& predictions, const at::Tensor& target, const Layout& layout, const Rules& rules)
    : size_(layout.outer * layout.inner), ignored_(rules.ignore_index.value_or(std::numeric_limits<int64_t>::min())) {
  const auto check_range = [&](const int64_t* labels, const char* whose) {
    const auto classes = static_cast<uint64_t>(layout.classes);
    for (int64_t i = 0; i < size_; ++i) {
      if (static_cast<uint64_t>(labels[i]) >= classes && target_[i] != ignored_) {
        refuse_label(layout, rules, i, whose, std::to_string(labels[i]));
      }
    }
  };
  if (layout.one_hot_target) {
    const at::Tensor labels = target.argmax(1);
    target_storage_.append(labels.const_data_ptr<int64_t>(), labels.const_data_ptr<int64_t>() + size_);
    target_ = target_storage_.data();
  } else {
    target_ = read_labels(target, target_storage_, layout, rules, "target");
  }
  const bool known = layout.classes != Layout::any_class;
  if (known) check_range(target_, "target");
  if (layout.predictions == Layout::Predictions::labels) {
    predicted_ = read_labels(predictions, predicted_storage_, layout, rules, "predicted class");
    if (known) check_range(predicted_, "predicted class");
    return;
  }
  predicted_storage_.resize_for_overwrite(size_);
  predicted_ = predicted_storage_.data();
  const auto dense = predictions.expect_contiguous();
  if (dense->scalar_type() == at::kFloat) {
    decide(dense->const_data_ptr<float>(), layout, rules, target_, ignored_, predicted_storage_.data());
  } else if (dense->scalar_type() == at::kDouble) {
    decide(dense->const_data_ptr<double>(), layout, rules, target_, ignored_, predicted_storage_.data());
  } else {
    const at::Tensor wide = dense->to(at::kFloat);
    decide(wide.const_data_ptr<float>(), layout, rules, target_, ignored_, predicted_storage_.data());
  }
}

}  // namespace athanor::metrics::detail
