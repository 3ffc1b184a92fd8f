// SPDX-License-Identifier: Apache-2.0
#include "athanor/data/loader.hpp"

#include <algorithm>
#include <string>

#include "athanor/core/error.hpp"
#include "athanor/data/source.hpp"

namespace athanor {
namespace {

void check(const Dataset& dataset, const LoaderOptions& options) {
  if (!dataset.defined() || dataset.size() <= 0) {
    throw Error({.what = "a loader over an empty data set",
                 .got = std::to_string(dataset.size()) + " samples",
                 .expected = "at least one sample",
                 .todo = "look at the filter or path that the data set is made from"});
  }
  if (options.batch_size < 1) {
    throw Error({.what = "the batch size is too small",
                 .where = "LoaderOptions::batch_size",
                 .got = std::to_string(options.batch_size),
                 .expected = "1 or more"});
  }
  if (options.workers < 0 || options.prefetch < 1) {
    throw Error(
        {.what = "impossible background threads",
         .where = "LoaderOptions",
         .got = std::to_string(options.workers) + " workers, " + std::to_string(options.prefetch) + " batches ahead",
         .expected = "0 or more workers, 1 or more batches ahead"});
  }
  if (options.drop_last && dataset.size() < options.batch_size) {
    throw Error(
        {.what = "a loader without a single full batch",
         .where = "LoaderOptions::drop_last",
         .got = std::to_string(dataset.size()) + " samples for batches of " + std::to_string(options.batch_size),
         .expected = "at least one full batch",
         .todo = "make the batch smaller, or keep the last batch"});
  }
}

[[noreturn]] void refuse_combination(const char* asked_for) {
  throw Error({.what = std::string("a combined loader has no ") + asked_for + " of its own",
               .where = std::string("Loader::") + asked_for,
               .todo = "ask the loaders in parts()"});
}

class OverDataset final : public Loader::Source {
 public:
  OverDataset(Dataset dataset, LoaderOptions options)
      : dataset_(std::move(dataset)), options_(std::move(options)), size_(dataset_.size()) {}

  int64_t batches() const noexcept override {
    return options_.drop_last ? size_ / options_.batch_size : (size_ - 1) / options_.batch_size + 1;
  }
  int64_t samples(int64_t batches) const override {
    return batches > size_ / options_.batch_size ? size_ : batches * options_.batch_size;
  }
  std::unique_ptr<Pass::Implementation> pass(const Request& request) const override {
    const uint64_t seed = options_.seed.value_or(request.seed);
    const auto epoch = static_cast<uint64_t>(request.epoch);
    const uint64_t key = request.salt == 0 ? mix({seed, epoch}) : mix({seed, epoch, request.salt});
    return Pass::Implementation::make({dataset_, options_, size_, key, request.part.value_or(0)}, request.first,
                                      request.last);
  }
  const Dataset* dataset() const noexcept override { return &dataset_; }
  const LoaderOptions* options() const noexcept override { return &options_; }

 private:
  Dataset dataset_;
  LoaderOptions options_;
  int64_t size_;
};

}  // namespace

Loader::Loader(Dataset dataset, LoaderOptions options) {
  check(dataset, options);
  source_ = std::make_shared<OverDataset>(std::move(dataset), std::move(options));
}

int64_t Loader::batches() const noexcept { return source_->batches(); }
int64_t Loader::samples() const { return source_->samples(batches()); }

const Dataset& Loader::dataset() const {
  if (const Dataset* dataset = source_->dataset()) return *dataset;
  refuse_combination("dataset");
}

const LoaderOptions& Loader::options() const {
  if (const LoaderOptions* options = source_->options()) return *options;
  refuse_combination("options");
}

std::vector<NamedLoader> Loader::parts() const {
  std::vector<NamedLoader> parts = source_->parts();
  if (parts.empty()) parts.push_back({"", *this});
  return parts;
}

Pass Loader::epoch(int64_t epoch, int64_t first_batch, std::optional<int64_t> last_batch, uint64_t seed) const {
  if (first_batch < 0) {
    throw Error({.what = "a pass can't begin before the first batch",
                 .where = "Loader::epoch",
                 .got = "batch " + std::to_string(first_batch),
                 .expected = "0 or more"});
  }
  const int64_t last = std::clamp<int64_t>(last_batch.value_or(batches()), 0, batches());
  return Pass(source_->pass({.epoch = epoch, .first = std::min(first_batch, last), .last = last, .seed = seed}));
}

}  // namespace athanor
