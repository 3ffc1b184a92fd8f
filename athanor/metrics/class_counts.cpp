// SPDX-License-Identifier: Apache-2.0
// How often each class was right, predicted and true.
#include "athanor/metrics/class_counts.hpp"

#include "athanor/core/error.hpp"
#include "athanor/metrics/on_device.hpp"

namespace athanor::metrics::detail {

ClassCounts::ClassCounts(const Rules& rules) : rules_(rules) { check(rules_); }

void ClassCounts::update(const at::Tensor& predictions, const at::Tensor& target) {
  const Layout layout = understand(predictions, target, rules_);
  const int64_t classes = layout.classes;
  if (predictions.is_cpu()) {
    const Decisions decisions(predictions, target, layout, rules_);
    if (multilabel()) {
      int64_t* counts = counts_.on_host(4 * layout.labels);
      decisions.each_place([&](int64_t place, int64_t predicted, int64_t label) {
        ++counts[4 * layout.label_of(place) + 2 * label + predicted];
      });
    } else {
      int64_t* right = counts_.on_host(3 * classes);
      int64_t* predicted_as = right + classes;
      int64_t* targets = predicted_as + classes;
      decisions.each([&](int64_t predicted, int64_t label) {
        right[label] += predicted == label;
        ++predicted_as[predicted];
        ++targets[label];
      });
    }
  } else {
    counts_.add(class_counts_on_device(decide_on_device(predictions, target, layout, rules_), layout));
  }
  binary_ = layout.binary && !multilabel();
}

void ClassCounts::merge(const ClassCounts& other) {
  counts_.merge(other.counts_, rules_.metric);
  binary_ = binary_ || other.binary_;
}

std::vector<Tally> ClassCounts::read() const {
  const std::vector<int64_t> counts = counts_.read(rules_.metric);
  std::vector<Tally> tallies(counts.size() / (multilabel() ? 4 : 3));
  const size_t classes = tallies.size();
  const auto count = [&](size_t i) { return static_cast<double>(counts[i]); };
  double total = 0;
  for (size_t c = 0; c < classes; ++c) {
    if (multilabel()) {
      const double false_positives = count(4 * c + 1), false_negatives = count(4 * c + 2), right = count(4 * c + 3);
      tallies[c] = {right, right + false_positives, right + false_negatives,
                    count(4 * c) + false_positives + false_negatives + right};
      total += tallies[c].all;
    } else {
      tallies[c] = {count(c), count(classes + c), count(2 * classes + c), 0};
      total += tallies[c].targets;
    }
  }
  if (total == 0) {
    throw Error({.what = "a metric has seen only targets that it ignores, or no samples",
                 .where = rules_.metric,
                 .expected = "at least one target that counts"});
  }
  if (!multilabel()) {
    for (Tally& tally : tallies) tally.all = total;
  }
  return tallies;
}

void ClassCounts::reset() {
  counts_.reset();
  binary_ = false;
}

void ClassCounts::state(State& state) {
  state.child("counts", counts_);
  state.value("binary", binary_);
}

}  // namespace athanor::metrics::detail
