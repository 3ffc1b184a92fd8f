// SPDX-License-Identifier: Apache-2.0
#include "athanor/data/loader.hpp"

#include <algorithm>
#include <string>

#include "athanor/core/error.hpp"
#include "athanor/data/pass.hpp"

namespace athanor {

Loader::Loader(Dataset dataset, LoaderOptions options) : dataset_(std::move(dataset)), options_(options) {
  if (!dataset_.defined() || dataset_.size() <= 0) {
    throw Error({.what = "a loader over an empty data set",
                 .got = std::to_string(dataset_.size()) + " samples",
                 .expected = "at least one sample",
                 .todo = "look at the filter or path that the data set is made from"});
  }
  if (options_.batch_size < 1) {
    throw Error({.what = "the batch size is too small",
                 .where = "LoaderOptions::batch_size",
                 .got = std::to_string(options_.batch_size),
                 .expected = "1 or more"});
  }
  if (options_.workers < 0 || options_.prefetch < 1) {
    throw Error(
        {.what = "impossible background threads",
         .where = "LoaderOptions",
         .got = std::to_string(options_.workers) + " workers, " + std::to_string(options_.prefetch) + " batches ahead",
         .expected = "0 or more workers, 1 or more batches ahead"});
  }
  const int64_t size = dataset_.size();
  batches_ = options_.drop_last ? size / options_.batch_size : (size - 1) / options_.batch_size + 1;
  if (batches_ == 0) {
    throw Error({.what = "a loader without a single full batch",
                 .where = "LoaderOptions::drop_last",
                 .got = std::to_string(size) + " samples for batches of " + std::to_string(options_.batch_size),
                 .expected = "at least one full batch",
                 .todo = "make the batch smaller, or keep the last batch"});
  }
}

int64_t Loader::samples() const noexcept { return std::min(dataset_.size(), batches_ * options_.batch_size); }

Pass Loader::epoch(int64_t epoch, int64_t first_batch, std::optional<int64_t> last_batch, uint64_t seed) const {
  if (first_batch < 0) {
    throw Error({.what = "a pass can't begin before the first batch",
                 .where = "Loader::epoch",
                 .got = "batch " + std::to_string(first_batch),
                 .expected = "0 or more"});
  }
  const uint64_t key = mix({options_.seed.value_or(seed), static_cast<uint64_t>(epoch)});
  return Pass(Pass::Implementation::make(dataset_, options_, key, first_batch,
                                         std::min(last_batch.value_or(batches_), batches_)));
}

}  // namespace athanor
