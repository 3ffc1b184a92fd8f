// SPDX-License-Identifier: Apache-2.0
// Perplexity: among how many equally likely tokens a language model hesitates.
#pragma once

#include <optional>
#include <string>

#include "athanor/metrics/metric.hpp"
#include "athanor/metrics/sums.hpp"

namespace athanor::metrics {

struct PerplexityOptions {
  /// The predictions are logarithms of probabilities, as log_softmax gives them, and are read as they are: a value
  /// above 0 (by more than rounding) is refused. False: logits, of any scale; log-probabilities then give the same
  /// value, but are normalised once more.
  bool log_probabilities = false;
  /// Targets with this value are left out: padding. Unset: none.
  std::optional<int64_t> ignore_index = -100;

  friend bool operator==(const PerplexityOptions&, const PerplexityOptions&) = default;
};

/// exp of the mean of -log(probability of the true token) over all targets, so long sequences weigh more. Called
/// "perplexity".
///
/// Predictions: floating (N, T, V), or (N, V), or more dimensions before the vocabulary, which is the last; targets:
/// whole numbers of the same shape without the last, (N, T). (Losses of LibTorch want (N, V, T): that is refused
/// unless T equals V by chance.) float16 and bfloat16 are read as float32; the sum is float64.
class Perplexity {
 public:
  explicit Perplexity(PerplexityOptions options = {}) : options_(options) {}

  [[nodiscard]] std::string name() const { return "perplexity"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::down; }
  [[nodiscard]] bool alike(const Perplexity& other) const noexcept { return options_ == other.options_; }
  /// Adds a batch. Does not wait for a device. Throws Error, and adds nothing, for shapes that do not fit and (on the
  /// CPU) tokens out of range and NaN, infinite logits and log-probabilities above 0 where the target is not ignored.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// Throws Error when the options differ.
  void merge(const Perplexity& other);
  /// Infinite where a true token had probability 0. Waits for the device. Throws Error when nothing was seen, or
  /// nothing but ignored targets.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return sums_.empty(); }
  void reset() { sums_.reset(); }
  void state(State& state) { state.child("sums", sums_); }

 private:
  PerplexityOptions options_;
  detail::Sums sums_;  // of losses, of targets
};

/// For `.metrics = {athanor::metrics::perplexity()}`.
[[nodiscard]] Perplexity perplexity(PerplexityOptions options = {});
/// The value of these tensors alone. Waits for the device.
[[nodiscard]] double perplexity(const at::Tensor& predictions, const at::Tensor& target,
                                PerplexityOptions options = {});

}  // namespace athanor::metrics
