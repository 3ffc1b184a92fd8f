// SPDX-License-Identifier: Apache-2.0
// Whole-number accumulators that live where the batches come from.
#include "athanor/metrics/counts.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <string>

#include "athanor/core/error.hpp"

namespace athanor::metrics {
namespace {

[[noreturn]] void refuse_size(const char* metric, int64_t before, int64_t now) {
  throw Error({.what = "the number of classes changed under a metric",
               .where = metric,
               .got = std::to_string(now) + " counters",
               .expected = std::to_string(before) + " counters, as at the first batch",
               .todo = "reset() it, or use one metric for each number of classes"});
}

}  // namespace

// Counters made inside inference mode could not be added to outside of it.
Counts::Counts(const Counts& other) {
  const c10::InferenceMode normal(false);
  if (!other.empty()) counts_ = other.counts_.detach().clone();
}

int64_t* Counts::on_host(int64_t size) {
  if (empty()) {
    const c10::InferenceMode normal(false);
    counts_ = at::zeros({size + 1}, at::kLong);
  } else {
    if (counts_.numel() != size + 1) refuse_size("update", counts_.numel() - 1, size);
    if (!counts_.is_cpu()) counts_ = counts_.cpu();
  }
  return counts_.mutable_data_ptr<int64_t>();
}

void Counts::add(const at::Tensor& counts) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  if (empty()) {
    counts_ = counts.clone();
    return;
  }
  if (counts_.numel() != counts.numel()) refuse_size("update", counts_.numel() - 1, counts.numel() - 1);
  if (counts_.device() != counts.device()) counts_ = counts_.to(counts.device());
  counts_.add_(counts);
}

void Counts::merge(const Counts& other, const char* metric) {
  if (other.empty()) return;
  if (!empty() && size() != other.size()) refuse_size(metric, size(), other.size());
  add(empty() ? other.counts_ : other.counts_.to(counts_.device()));
}

void detail::check_refused(int64_t refused, const char* metric) {
  if (refused == 0) return;
  throw Error({.what = "labels or scores are of no use",
               .where = metric,
               .got = std::to_string(refused) + " such places since reset()",
               .expected = "labels from 0 to the number of classes - 1, or ignore_index; scores that are not NaN; with "
                           ".from_logits = false scores from 0 to 1",
               .todo = "call update() with tensors on the CPU once: it names the first such place and its value"});
}

std::vector<int64_t> Counts::read(const char* metric) const {
  if (empty()) {
    throw Error({.what = "a metric was asked for its value before anything was seen",
                 .where = metric,
                 .expected = "at least one sample",
                 .todo = "call update() first"});
  }
  const at::Tensor host = counts_.cpu();
  const auto* first = host.const_data_ptr<int64_t>();
  const int64_t size = host.numel() - 1;
  detail::check_refused(first[size], metric);
  return {first, first + size};
}

}  // namespace athanor::metrics
