// SPDX-License-Identifier: Apache-2.0
// Metrics of text for models that give token ids.
#include "athanor/metrics/decoded.hpp"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "athanor/core/error.hpp"

namespace athanor::metrics {
namespace {

void check_token_ids(const at::Tensor& ids, const char* what, const std::string& metric) {
  const bool whole = ids.defined() && at::isIntegralType(ids.scalar_type(), /*includeBool=*/false);
  if (whole && (ids.dim() == 1 || ids.dim() == 2)) return;
  throw Error(
      {.what = "token ids to be decoded are none",
       .where = metric + ", " + what,
       .got = describe(ids),
       .expected = "whole numbers (N, T), or (T) for one sample",
       .todo = ids.defined() && ids.is_floating_point() ? "take the greatest score first: scores.argmax(-1)" : ""});
}

int64_t samples_in(const at::Tensor& ids) { return ids.dim() == 1 ? 1 : ids.size(0); }

}  // namespace

Decoded::Decoded(Metric metric, Decoder decode, DecodedOptions options)
    : metric_(std::move(metric)), decode_(std::move(decode)), options_(options) {
  if (decode_) return;
  throw Error({.what = "there is no function that decodes token ids",
               .where = metric_.name(),
               .expected = "a function of (std::span<const int64_t>) that gives a text"});
}

void Decoded::update(const at::Tensor& predictions, const at::Tensor& target) {
  const at::NoGradGuard no_grad;
  check_token_ids(predictions, "predictions", name());
  check_token_ids(target, "target", name());
  if (samples_in(predictions) != samples_in(target)) {
    throw Error({.what = "predictions and targets differ in number",
                 .where = name(),
                 .got = "predictions " + describe(predictions) + ", target " + describe(target),
                 .expected = "a row of the target for each row of the predictions"});
  }
  if (predictions.is_cpu() && target.is_cpu()) {
    metric_.update(texts(predictions), texts(target), samples_in(target));
  } else {
    waiting_.add(predictions, target);
  }
}

Tree Decoded::texts(const at::Tensor& ids) const {
  const at::Tensor whole = ids.to(at::kLong).contiguous();
  const int64_t rows = samples_in(whole);
  const int64_t length = whole.size(-1);
  const auto* row = whole.const_data_ptr<int64_t>();
  Tree::List texts;
  std::vector<int64_t> kept;
  for (int64_t i = 0; i < rows; ++i, row += length) {
    kept.assign(row, row + length);
    if (options_.ignore_index) std::erase(kept, *options_.ignore_index);
    texts.emplace_back(decode_(kept));
  }
  return Tree(std::move(texts));
}

void Decoded::settle() {
  waiting_.drain([&](const at::Tensor& predictions, const at::Tensor& target) {
    metric_.update(texts(predictions), texts(target), samples_in(target));
  });
}

void Decoded::merge(const Decoded& other) {
  metric_.merge(other.metric_);
  waiting_.merge(other.waiting_);
}

Tree Decoded::compute() const {
  if (waiting_.empty()) return metric_.compute();
  Decoded copy = *this;
  copy.settle();
  return copy.metric_.compute();
}

void Decoded::reset() {
  metric_.reset();
  waiting_.clear();
}

void Decoded::state(State& state) {
  if (state.saving()) settle();
  if (state.loading()) waiting_.clear();
  metric_.state(state);
}

Decoded decoded(Metric metric, Decoder decode, DecodedOptions options) {
  return Decoded(std::move(metric), std::move(decode), options);
}

}  // namespace athanor::metrics
