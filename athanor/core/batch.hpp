// SPDX-License-Identifier: Apache-2.0
// What a loader hands out and a step receives.
#pragma once

#include <optional>

#include "athanor/core/tree.hpp"

namespace athanor {

/// A few samples. `input` and `target` hold tensors with the samples along dimension 0, and texts as lists with one for
/// each sample; the target may be empty.
struct Batch {
  Tree input = {};
  Tree target = {};
  /// Weight of each sample, float (N); unset: every sample counts 1.
  std::optional<at::Tensor> weight = {};
  /// Position of each sample in its data set, int64 (N), on the CPU; undefined when the source does not number them.
  at::Tensor indices = {};
  /// How much the batch counts in a mean. The loader sets it to N; a source that counts otherwise (tokens, nodes)
  /// says so itself.
  int64_t samples = 0;
  /// Which part of a combined loader the batch comes from; 0 for every other loader.
  int32_t part = 0;

  /// The convention for sources that give a list of tensors: the last element is the target, the ones before it are
  /// the input (a single one is not wrapped in a list). A list of one is an input without a target.
  static Batch from_list(std::vector<at::Tensor> elements);

  /// Inputs, targets and weights on that device. Indices stay on the CPU.
  [[nodiscard]] Batch to(at::Device device) const;

  /// The samples from `first` to `last`, exclusive; no tensor is copied. Every tensor whose dimension 0 is the number
  /// of rows, and every list of texts as long, is cut, the others are shared whole. The number of rows is that of
  /// `indices`, else of `weight`, else what count_samples() says. `samples` is shared out in proportion, so that the
  /// slices of a batch add up to it; a slice of a batch that counts less than its rows may count 0. Throws Error for a
  /// range outside of the batch.
  [[nodiscard]] Batch slice(int64_t first, int64_t last) const;
};

/// Whether a tree is what texts of samples are in a batch: a list, not empty, with a text, or a list of texts, for
/// each.
[[nodiscard]] bool is_list_of_texts(const Tree& tree) noexcept;

/// The size of dimension 0 of the first tensor of `input`, or of `target`; 0 when there is none.
[[nodiscard]] int64_t count_samples(const Batch& batch);

}  // namespace athanor
