// SPDX-License-Identifier: Apache-2.0
// How the shapes and dtypes of predictions and targets of a classification are read.
#include <algorithm>
#include <string>

#include "athanor/core/error.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/metrics/decisions.hpp"

namespace athanor::metrics::detail {
namespace {

[[noreturn]] void refuse(const at::Tensor& predictions, const at::Tensor& target, const Rules& rules, std::string what,
                         std::string expected, std::string todo) {
  throw Error({.what = std::move(what),
               .where = rules.metric,
               .got = "predictions " + describe(predictions) + ", target " + describe(target),
               .expected = std::move(expected),
               .todo = std::move(todo)});
}

/// Whether `longer` is `shorter` with one more dimension at place 1.
bool one_more_dimension(at::IntArrayRef longer, at::IntArrayRef shorter) {
  return longer.size() >= 2 && longer.size() == shorter.size() + 1 && longer[0] == shorter[0] &&
         longer.slice(2) == shorter.slice(1);
}

}  // namespace

void check(const Rules& rules) {
  const auto refuse_option = [&](const char* what, const std::string& got, const char* expected) {
    throw Error({.what = what, .where = rules.metric, .got = got, .expected = expected});
  };
  if (rules.top_k < 1) refuse_option("top_k is too small", std::to_string(rules.top_k), "1 or more");
  const int64_t fewest = rules.kind == Kind::multilabel ? 1 : 2;
  if (rules.classes && *rules.classes < fewest) {
    refuse_option("classes is too small", std::to_string(*rules.classes), fewest == 1 ? "1 or more" : "2 or more");
  }
  if (!(rules.threshold > 0 && rules.threshold < 1)) {
    refuse_option("the threshold is no probability", std::to_string(rules.threshold), "above 0 and below 1");
  }
  if ((rules.kind == Kind::binary || rules.kind == Kind::multilabel) && rules.top_k > 1) {
    refuse_option("top_k has no meaning in binary and multi-label classification", std::to_string(rules.top_k), "1");
  }
  if (rules.kind == Kind::binary && rules.classes.value_or(2) != 2) {
    refuse_option("binary classification has two classes", std::to_string(*rules.classes), "classes = 2, or unset");
  }
}

Layout understand(const at::Tensor& predictions, const at::Tensor& target, const Rules& rules) {
  const auto stop = [&](const char* what, std::string expected, std::string todo = "") {
    refuse(predictions, target, rules, what, std::move(expected), std::move(todo));
  };
  if (!predictions.defined() || !target.defined()) {
    stop("a metric needs predictions and a target", "two tensors", "use it only with batches that have a target");
  }
  if (predictions.device() != target.device()) {
    stop("predictions and target lie on different devices", "one device for both", "move the target first");
  }
  if (predictions.is_complex() || target.is_complex()) stop("complex numbers are no classes", "real tensors");

  Layout layout;
  const at::IntArrayRef shape = predictions.sizes();
  const bool same = shape == target.sizes();
  const bool with_classes = !same && one_more_dimension(shape, target.sizes());
  const bool longer_target = !same && one_more_dimension(target.sizes(), shape) && target.size(1) == 1;
  const bool each_place = same || longer_target || (with_classes && shape[1] == 1);
  if (!same && !with_classes && !longer_target) {
    stop("predictions and target do not fit together",
         "predictions (N, C) with target (N), (N, C, d1, …) with (N, d1, …), or the same shape for both",
         "reshape one of them; a target (N, 1) for C classes becomes (N) by squeeze(1)");
  }
  layout.outer = shape.empty() ? 1 : shape[0];

  if (rules.kind == Kind::multilabel) {
    if (!same || shape.size() < 2) {
      stop("a multi-label metric needs a prediction and a target for each label",
           "(N, L) or (N, L, d1, …), the same shape for both");
    }
    if (rules.classes.value_or(shape[1]) != shape[1]) {
      stop("the predictions have another number of labels than the option says",
           "predictions with " + std::to_string(*rules.classes) + " labels");
    }
    layout.predictions =
        predictions.is_floating_point() ? Layout::Predictions::decisions_by_threshold : Layout::Predictions::labels;
    layout.binary = true;
    layout.classes = 2;
    layout.labels = shape[1];
    layout.inner = layout.outer > 0 ? predictions.numel() / layout.outer : 1;
    layout.places_of_label = std::max<int64_t>(1, layout.labels > 0 ? layout.inner / layout.labels : 1);
    return layout;
  }
  if (!predictions.is_floating_point()) {
    if (!each_place) stop("classes that were decided already need the shape of the target", "the same shape for both");
    if (rules.top_k > 1) stop("top_k needs scores", "floating predictions (N, C)");
    layout.predictions = Layout::Predictions::labels;
    const bool two = rules.classes ? *rules.classes == 2 : rules.per_class && rules.kind == Kind::automatic;
    layout.binary = rules.kind == Kind::binary || (rules.kind == Kind::automatic && two);
    layout.classes = layout.binary ? 2 : rules.classes.value_or(Layout::any_class);
    if (rules.per_class && layout.classes == Layout::any_class) {
      stop("the number of classes is not known", "the option classes", "set .classes");
    }
  } else if (each_place && rules.kind != Kind::multiclass) {
    if (same && rules.kind == Kind::automatic && shape.size() > 1 && shape[1] != 1) {
      stop(
          "predictions and target of the same shape can be read in two ways", "the option kind",
          "set .kind = Kind::multilabel (counted for each label), Kind::binary (each element a decision of its own) or "
          "Kind::multiclass (one-hot targets)");
    }
    if (rules.top_k > 1) stop("top_k has no meaning in binary classification", "predictions (N, C)");
    if (rules.classes.value_or(2) != 2) {
      stop("one prediction for each target is a binary classification", "predictions (N, C), or classes = 2");
    }
    layout.predictions = Layout::Predictions::decisions_by_threshold;
    layout.binary = true;
    layout.classes = 2;
  } else {
    const int64_t classes = shape.size() > 1 ? shape[1] : 0;
    if (classes < 2) stop("a multi-class metric needs a score for each class", "predictions (N, C), C > 1");
    if (rules.classes.value_or(classes) != classes) {
      stop("the predictions have another number of classes than the option says",
           "predictions with " + std::to_string(*rules.classes) + " classes");
    }
    layout.binary = rules.kind == Kind::binary;
    if (layout.binary && classes != 2) {
      stop("binary classification has two scores at most", "predictions (N), (N, 1) or (N, 2)",
           "set .kind = Kind::multiclass");
    }
    if (layout.binary && rules.threshold != 0.5) {
      stop("a threshold has no meaning for two scores: the greater one decides", "predictions (N) or (N, 1)");
    }
    if (rules.top_k > classes) {
      stop("top_k is greater than the number of classes", "top_k up to " + std::to_string(classes));
    }
    layout.one_hot_target = same;
    layout.classes = classes;
  }
  const int64_t places = layout.predictions == Layout::Predictions::scores
                             ? (layout.classes > 0 ? predictions.numel() / layout.classes : 0)
                             : predictions.numel();
  layout.inner = layout.outer > 0 ? places / layout.outer : 1;
  return layout;
}

}  // namespace athanor::metrics::detail
