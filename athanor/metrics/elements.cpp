// SPDX-License-Identifier: Apache-2.0
// Checks of pairs of tensors for the metrics of regression.
#include "athanor/metrics/elements.hpp"

#include "athanor/core/error.hpp"
#include "athanor/core/tree.hpp"

namespace athanor::metrics::detail {

void check_pair(const at::Tensor& predictions, const at::Tensor& target, const char* metric) {
  const auto refuse = [&](const char* what, const char* expected, const char* todo) {
    throw Error({.what = what,
                 .where = metric,
                 .got = "predictions " + describe(predictions) + ", target " + describe(target),
                 .expected = expected,
                 .todo = todo});
  };
  if (!predictions.defined() || !target.defined()) {
    refuse("a metric needs predictions and a target", "two tensors", "use it only with batches that have a target");
  }
  if (predictions.is_complex() || target.is_complex()) {
    refuse("complex numbers have no order", "real tensors", "compare their real and imaginary parts");
  }
  if (predictions.device() != target.device()) {
    refuse("predictions and target lie on different devices", "one device for both", "move the target first");
  }
  const auto without_ones = [](at::IntArrayRef shape) {
    while (shape.size() > 1 && shape.back() == 1) shape = shape.slice(0, shape.size() - 1);
    return shape;
  };
  if (without_ones(predictions.sizes()) != without_ones(target.sizes())) {
    refuse("predictions and target do not fit together", "the same shape for both; nothing is broadcast",
           "reshape one of them");
  }
}

at::ScalarType widest_on(at::Device device) { return device.is_mps() ? at::kFloat : at::kDouble; }

}  // namespace athanor::metrics::detail
