// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/batch_size_finder.hpp"

#include <algorithm>

#include "athanor/callbacks/trial.hpp"
#include "athanor/core/error.hpp"
#include "athanor/train/explain.hpp"

namespace athanor {
namespace {

void check_finder(const BatchSizeFinderOptions& options) {
  const auto require = [](bool ok, const char* option, int64_t value, const char* expected) {
    if (ok) return;
    throw Error({.what = "an option of the batch-size finder is out of range",
                 .where = std::string("BatchSizeFinderOptions::") + option,
                 .got = std::to_string(value),
                 .expected = expected});
  };
  require(options.first >= 1, "first", options.first, "1 or more");
  require(options.most >= options.first, "most", options.most, "first or more");
  require(options.steps >= 1, "steps", options.steps, "1 or more");
}

bool fits(const TrainerOptions& options, Task& task, const Data& train, int64_t size, int64_t steps) {
  TrainerOptions own = options;
  own.batch_size = size;
  own.max_duration = Duration::steps(steps);
  own.min_duration.reset();
  own.max_time.reset();
  own.fast_dev_run.reset();
  own.callbacks.clear();
  own.track.clear();
  own.verbosity = Verbosity::silent;
  own.run.reset();
  own.split_when_out_of_memory = false;
  const Trial trial(task);
  try {
    Trainer(own).fit(task, train);
    return true;
  } catch (...) {
    if (!is_out_of_memory(std::current_exception())) throw;
    return false;
  }
}

}  // namespace

int64_t find_batch_size(const TrainerOptions& options, Task& task, const Data& train,
                        const BatchSizeFinderOptions& finder) {
  check_finder(finder);
  if (train.is_loader()) {
    throw Error({.what = "a loader has a batch size of its own",
                 .where = "find_batch_size",
                 .todo = "give the data set or the tensors that it is made from"});
  }
  const int64_t samples = train.dataset().size();
  const int64_t most = std::min(finder.most, samples);
  if (finder.first > samples) {
    throw Error({.what = "the data set is smaller than the first batch that is tried",
                 .where = "BatchSizeFinderOptions::first",
                 .got = std::to_string(finder.first),
                 .expected = "at most the " + std::to_string(samples) + " samples that there are"});
  }
  int64_t good = 0, bad = most + 1;
  for (int64_t size = finder.first;; size = std::min(size * 2, most)) {
    if (!fits(options, task, train, size, finder.steps)) {
      bad = size;
      break;
    }
    good = size;
    if (size == most) return most;
  }
  if (good == 0) {
    throw Error({.what = "not even the first batch fits into memory",
                 .where = "find_batch_size",
                 .got = std::to_string(finder.first) + " samples",
                 .todo = "begin with a smaller one, or take a smaller net, activation checkpoints or bf16"});
  }
  while (finder.refine && bad - good > 1) {
    const int64_t middle = good + (bad - good) / 2;
    (fits(options, task, train, middle, finder.steps) ? good : bad) = middle;
  }
  return good;
}

}  // namespace athanor
