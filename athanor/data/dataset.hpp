// SPDX-License-Identifier: Apache-2.0
// A data set under one type: anything that answers for a batch of indices, or for one.
//
//     struct Squares {                                    // the least that a data set can be
//       int64_t size() const { return 1000; }
//       athanor::Sample get(int64_t index) const { return {float_tensor(index), float_tensor(index * index)}; }
//     };
//     athanor::Dataset data = Squares{};
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "athanor/core/batch.hpp"
#include "athanor/core/random.hpp"

namespace athanor {

/// One sample: tensors without the batch dimension. A number becomes a tensor of its kind: float32 or int64.
struct Sample {
  Tree input;
  Tree target = {};
  /// How much the sample counts in the loss, finite and not negative; unset: 1. A batch has weights when one of its
  /// samples has one.
  std::optional<double> weight = {};
};

/// How much a batch counts in a mean, where its dimension 0 does not tell (graphs, packed tokens).
using BatchCount = std::function<int64_t(const Batch&)>;

/// Random numbers for augmentation, keyed by run seed, epoch and sample: the same for any number of threads, and after
/// a resume.
struct SampleRandom {
  uint64_t key = 0;
  [[nodiscard]] Philox of(int64_t index) const noexcept { return Philox(mix({key, static_cast<uint64_t>(index)})); }
};

namespace detail {

Sample to_sample(std::vector<at::Tensor> elements);
inline Sample to_sample(Sample sample) { return sample; }
inline Sample to_sample(at::Tensor input) { return {Tree(std::move(input))}; }
Sample to_sample(Tree::List elements);
template <std::convertible_to<Tree>... T>
Sample to_sample(std::tuple<T...> elements) {
  return std::apply([](auto&&... each) { return to_sample(Tree::List{Tree(std::move(each))...}); },
                    std::move(elements));
}
template <std::convertible_to<Tree> A, std::convertible_to<Tree> B>
Sample to_sample(std::pair<A, B> elements) {
  return {Tree(std::move(elements.first)), Tree(std::move(elements.second))};
}

inline Batch to_batch(Batch batch) { return batch; }
inline Batch to_batch(std::vector<at::Tensor> elements) { return Batch::from_list(std::move(elements)); }
Batch to_batch(std::pair<at::Tensor, at::Tensor> elements);

template <class T>
concept Sized = requires(const T& source) {
  { source.size() } -> std::convertible_to<int64_t>;
};
template <class T>
concept GivesBatches = Sized<T> &&(
    requires(T& source, std::span<const int64_t> indices) { to_batch(source.batch(indices)); } ||
    requires(T & source, std::span<const int64_t> indices, SampleRandom random) {
      to_batch(source.batch(indices, random));
    });
template <class T>
concept GivesSamples = Sized<T> &&(
    requires(T& source, int64_t index) { to_sample(source.get(index)); } ||
    requires(T & source, int64_t index, Philox& random) { to_sample(source.get(index, random)); });

}  // namespace detail

/// A class that serves as a data set: `size()`, and `batch(indices)` or `get(index)`, each with or without a random
/// generator as its last argument. `batch` returns a Batch, or a list of tensors whose last one is the target; `get`
/// returns a Sample, a tensor, a pair or tuple of tensors and numbers, or a list of tensors. With background threads it
/// is called from several threads at once and must allow that. `fit` asks for samples outside of its epochs too: for a
/// rehearsal before the first step, and for the record of a run with a folder (athanor/train/run_record.hpp); so how
/// often `get` is called says nothing, and what it returns depends on its arguments alone.
template <class T>
concept DatasetClass = detail::GivesBatches<T> || detail::GivesSamples<T>;

/// Handle to a data set; copies share it.
class Dataset {
 public:
  Dataset() = default;  ///< No data.

  /// Tensors in memory, samples along dimension 0. Throws Error when their lengths differ.
  explicit Dataset(Tree input, Tree target = {});
  /// The same with a weight for each sample, (N), kept as float32 or float64; undefined: none. Throws Error also for
  /// another shape, and names the first weight that is negative or not finite; for that it waits for the device that
  /// the weights are on.
  Dataset(Tree input, Tree target, at::Tensor weight);

  template <class T>
  requires(!std::same_as<std::remove_cvref_t<T>, Dataset> && DatasetClass<std::remove_cvref_t<T>>) Dataset(T source)
      : source_(std::make_shared<OfClass<std::remove_cvref_t<T>>>(
            std::make_shared<std::remove_cvref_t<T>>(std::move(source)))) {}
  template <DatasetClass T>
  Dataset(std::shared_ptr<T> source) : source_(std::make_shared<OfClass<T>>(std::move(source))) {}

  [[nodiscard]] bool defined() const noexcept { return source_ != nullptr; }
  /// Number of samples.
  [[nodiscard]] int64_t size() const { return source_ ? source_->size() : 0; }

  /// Fills `into` with the samples at `indices`. Tensors that `into` holds from an earlier call are written over when
  /// nobody else refers to them. Sets `indices` and `samples`: what `count` says, else what the source says, else the
  /// number of indices. Throws Error that names the sample where that is known; when the source gives fewer samples
  /// than indices (not looked at when the source or `count` counts in its own way), weights of another shape than (N),
  /// or a count below 1.
  void batch(std::span<const int64_t> indices, SampleRandom random, Batch& into, const BatchCount& count = {}) const;

  /// The samples from `first` to `last`, exclusive; nothing is copied.
  [[nodiscard]] Dataset slice(int64_t first, int64_t last) const;

  /// The whole target when the data are tensors in memory, to be checked before the first step; null otherwise.
  [[nodiscard]] const Tree* whole_target() const noexcept { return source_ ? source_->whole_target() : nullptr; }

 private:
  struct Source {
    virtual ~Source() = default;
    [[nodiscard]] virtual int64_t size() const = 0;
    virtual void batch(std::span<const int64_t> indices, SampleRandom random, Batch& into) = 0;
    [[nodiscard]] virtual std::shared_ptr<Source> slice(int64_t first, int64_t last) const;
    [[nodiscard]] virtual const Tree* whole_target() const noexcept { return nullptr; }
  };
  struct Tensors;
  struct Slice;
  template <class T>
  struct OfClass;

  explicit Dataset(std::shared_ptr<Source> source) : source_(std::move(source)) {}
  std::shared_ptr<Source> source_;
};

/// Stacks samples into a batch, leaf by leaf, along a new dimension 0; texts, and lists of texts, become a list
/// with one for each sample; weights become float32 (N). Throws Error that
/// names the first sample whose shape or structure differs, or whose weight is negative or not finite; `indices` are
/// the names.
[[nodiscard]] Batch collate(std::span<const Sample> samples, std::span<const int64_t> indices);

namespace detail {
[[nodiscard]] Batch collate_all(const std::vector<Sample>& samples, std::span<const int64_t> indices);
}

template <class T>
struct Dataset::OfClass final : Source {
  explicit OfClass(std::shared_ptr<T> held) : held(std::move(held)) {}
  int64_t size() const override { return static_cast<int64_t>(held->size()); }
  void batch(std::span<const int64_t> indices, SampleRandom random, Batch& into) override {
    if constexpr (requires { detail::to_batch(held->batch(indices, random)); }) {
      into = detail::to_batch(held->batch(indices, random));
    } else if constexpr (detail::GivesBatches<T>) {
      into = detail::to_batch(held->batch(indices));
    } else {
      std::vector<Sample> samples;
      samples.reserve(indices.size());
      for (int64_t index : indices) {
        if constexpr (requires(Philox & generator) { held->get(index, generator); }) {
          Philox generator = random.of(index);
          samples.push_back(detail::to_sample(held->get(index, generator)));
        } else {
          samples.push_back(detail::to_sample(held->get(index)));
        }
      }
      into = detail::collate_all(samples, indices);
    }
  }
  std::shared_ptr<T> held;
};

}  // namespace athanor
