// SPDX-License-Identifier: Apache-2.0
// Batches out of a data set, in an order that is a pure function of seed and epoch.
//
//     athanor::Loader loader(dataset, {.batch_size = 64, .shuffle = true, .workers = 2});
//     for (const athanor::Batch& batch : loader.epoch(1)) train_on(batch);
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "athanor/core/owned.hpp"
#include "athanor/data/dataset.hpp"

namespace athanor {

struct LoaderOptions {
  int64_t batch_size = 32;
  /// A new order in every epoch: a keyed permutation of (seed, epoch).
  bool shuffle = false;
  /// Leaves out the last batch when it is not full.
  bool drop_last = false;
  /// Background threads that prepare batches; 0: the calling thread does. Worth it when a sample costs more than a few
  /// microseconds (decoding, augmentation); for tensors in memory 0 is faster. The batches are the same for any number.
  int workers = 0;
  /// Batches that each background thread may be ahead.
  int64_t prefetch = 2;
  /// Unset: the seed of the run, or 0 outside of a run.
  std::optional<uint64_t> seed = {};
  /// How much a batch counts in a mean, for data whose dimension 0 does not tell (graphs, packed tokens): it becomes
  /// Batch::samples and must be 1 or more. It sees the finished batch; with workers it is called from several threads
  /// at once. Unset: what the data set says, or else the number of samples.
  BatchCount count = {};
};

/// One pass over the batches of an epoch. Not copyable; one thread may use it. Leaving early is fine: the background
/// threads are stopped and joined at the end of its life.
class Pass {
 public:
  ~Pass();
  Pass(Pass&&) noexcept;
  Pass& operator=(Pass&&) = delete;

  /// The next batch, or null at the end. It is valid until the next call; a copy of it shares the tensors and keeps
  /// them (they are written over only when nobody else refers to them). Throws what the data set threw, as Error with
  /// the indices of the samples; the call after that goes on with the next batch.
  const Batch* next();

  struct End {};
  class Iterator {
   public:
    explicit Iterator(Pass* pass) : pass_(pass), batch_(pass->next()) {}
    const Batch& operator*() const { return *batch_; }
    const Batch* operator->() const { return batch_; }
    Iterator& operator++() {
      batch_ = pass_->next();
      return *this;
    }
    bool operator==(End) const { return batch_ == nullptr; }

   private:
    Pass* pass_;
    const Batch* batch_;
  };
  Iterator begin() { return Iterator(this); }
  static End end() { return {}; }

  struct Implementation;

 private:
  friend class Loader;
  explicit Pass(std::unique_ptr<Implementation> implementation);
  Owned<Implementation> implementation_;
};

struct NamedLoader;

/// A value that describes how batches are made; it holds no position. What a run has to remember is an epoch and the
/// number of the next batch, and any batch is found in O(1). Copies share the data.
class Loader {
 public:
  /// Throws Error for an empty data set, a batch size below 1, fewer samples than one batch with `drop_last`, or a
  /// negative number of workers. The data set may not shrink afterwards: a pass then throws Error with the batch and
  /// both sizes. Samples that are added later are not seen.
  explicit Loader(Dataset dataset, LoaderOptions options = {});

  [[nodiscard]] int64_t batches() const noexcept;
  /// Samples of one epoch, those that `drop_last` leaves out not counted. A part of a combination counts as often as it
  /// begins again; with `Combine::weighted` it is the expected number.
  [[nodiscard]] int64_t samples() const;
  /// The data set and options that were given. Throw Error for a combination, whose parts() have them.
  [[nodiscard]] const Dataset& dataset() const;
  [[nodiscard]] const LoaderOptions& options() const;

  /// The loaders under a combination (combine.hpp) in their order; for every other loader itself, with an empty name.
  [[nodiscard]] std::vector<NamedLoader> parts() const;

  /// A pass over epoch `epoch`, from batch `first_batch` on, up to `last_batch` (unset: all). `seed` is used when the
  /// options have none. Throws Error for a negative `first_batch`; beyond the end there are no batches.
  [[nodiscard]] Pass epoch(int64_t epoch, int64_t first_batch = 0, std::optional<int64_t> last_batch = {},
                           uint64_t seed = 0) const;

  struct Source;

 private:
  explicit Loader(std::shared_ptr<const Source> source) : source_(std::move(source)) {}
  std::shared_ptr<const Source> source_;
};

/// A loader under a name, as a part of a combination.
struct NamedLoader {
  std::string name;
  Loader loader;
};

}  // namespace athanor
