// SPDX-License-Identifier: Apache-2.0
// Metrics of text for models that give token ids.
//
//     const auto decode = [&](std::span<const int64_t> ids) { return tokenizer.decode(ids); };
//     athanor::Metrics metrics = {athanor::metrics::decoded(athanor::metrics::bleu(), decode)};
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "athanor/metrics/device_batches.hpp"
#include "athanor/metrics/metric.hpp"

namespace athanor::metrics {

/// Makes a text, UTF-8, of the ids of one sample. Called on the training thread.
using Decoder = std::function<std::string(std::span<const int64_t> ids)>;

struct DecodedOptions {
  /// Ids with this value are left out, of predictions and of targets, before they are decoded: padding. Unset: none.
  std::optional<int64_t> ignore_index = -100;
};

/// A metric of text that is given whole numbers (N, T), or (T) for one sample, as predictions and as targets, of any
/// two lengths T. It has the name and the direction of the metric. On the CPU ids are decoded at once; on another
/// device they are kept there, and decoded when somebody asks, so `update` does not wait.
class Decoded {
 public:
  Decoded(Metric metric, Decoder decode, DecodedOptions options = {});

  [[nodiscard]] std::string name() const { return metric_.name(); }
  [[nodiscard]] Direction direction() const { return metric_.direction(); }
  /// Throws Error, and adds nothing, for shapes and dtypes that do not fit, and what the metric throws.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// Both must decode in the same way. Throws what the metric throws.
  void merge(const Decoded& other);
  /// What the metric gives. Waits for the device.
  [[nodiscard]] Tree compute() const;
  [[nodiscard]] bool empty() const { return waiting_.empty() && metric_.empty(); }
  [[nodiscard]] bool live() const { return waiting_.empty() && metric_.live(); }
  void reset();
  void state(State& state);

 private:
  [[nodiscard]] Tree texts(const at::Tensor& ids) const;
  void settle();

  Metric metric_;
  Decoder decode_;
  DecodedOptions options_;
  detail::DeviceBatches waiting_;
};

/// For `.metrics = {athanor::metrics::decoded(athanor::metrics::bleu(), decode)}`.
[[nodiscard]] Decoded decoded(Metric metric, Decoder decode, DecodedOptions options = {});

}  // namespace athanor::metrics
