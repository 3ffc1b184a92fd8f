// SPDX-License-Identifier: Apache-2.0
#include "athanor/data/pass.hpp"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

/// Makes batch n of an epoch: a pure function of (key, n). Several threads may use it.
class BatchMaker {
 public:
  explicit BatchMaker(BatchRecipe recipe)
      : recipe_(std::move(recipe)),
        order_(static_cast<uint64_t>(recipe_.size), mix({recipe_.key, 1})),
        random_{mix({recipe_.key, 2})} {}

  void make(int64_t number, Batch& into) const {
    const int64_t first = number * recipe_.options.batch_size;
    const int64_t count = std::min(recipe_.options.batch_size, recipe_.size - first);
    at::NoGradGuard no_grad;
    if (!into.indices.defined() || into.indices.use_count() > 1 || into.indices.storage().use_count() > 1 ||
        into.indices.size(0) != count) {
      into.indices = at::empty({count}, at::TensorOptions().dtype(at::kLong));
    }
    const at::Tensor indices = into.indices;  // alive whatever the data set does with `into`
    auto* index = static_cast<int64_t*>(indices.mutable_data_ptr());
    for (int64_t i = 0; i < count; ++i) {
      index[i] = recipe_.options.shuffle ? static_cast<int64_t>(order_(static_cast<uint64_t>(first + i))) : first + i;
    }
    const std::span<const int64_t> chosen(index, static_cast<size_t>(count));
    try {
      check_size();
      recipe_.dataset.batch(chosen, random_, into, recipe_.options.count);
    } catch (const Error& error) {
      if (!error.parts().where.empty()) refuse(number, chosen, error.what());
      Error::Parts parts = error.parts();
      parts.where = place(number, chosen);
      throw Error(std::move(parts));
    } catch (const c10::Error& error) {
      refuse(number, chosen, error.what_without_backtrace());
    } catch (const std::exception& error) {
      refuse(number, chosen, error.what());
    }
    into.part = recipe_.part;
  }

 private:
  void check_size() const {
    const int64_t size = recipe_.dataset.size();
    if (size >= recipe_.size) return;
    throw Error({.what = "the data set has become smaller since its loader was made",
                 .got = std::to_string(size) + " samples",
                 .expected = std::to_string(recipe_.size) + " samples",
                 .todo = "make a new loader when the data change"});
  }

  static std::string place(int64_t number, std::span<const int64_t> chosen) {
    constexpr size_t shown = 8;
    std::vector<std::string> names;
    for (size_t i = 0; i < std::min(shown, chosen.size()); ++i) names.push_back(std::to_string(chosen[i]));
    if (chosen.size() > shown) names.push_back("…");
    return "batch " + std::to_string(number + 1) + ", samples " + join(names, ", ");
  }

  [[noreturn]] static void refuse(int64_t number, std::span<const int64_t> chosen, const std::string& reason) {
    throw Error({.what = "the data set failed to make a batch", .where = place(number, chosen), .got = reason});
  }

  BatchRecipe recipe_;
  Permutation order_;
  SampleRandom random_;
};

struct InPlace final : Pass::Implementation {
  InPlace(BatchRecipe recipe, int64_t first, int64_t last) : maker(std::move(recipe)), number(first), last(last) {}
  const Batch* next() override {
    if (number >= last) return nullptr;
    maker.make(number++, batch);
    return &batch;
  }
  BatchMaker maker;
  int64_t number;
  int64_t last;
  Batch batch;
};

/// A ring of slots. Batch n belongs into slot n mod size; threads take the next number when its slot is free, and the
/// consumer takes the slots in order, so the order of the batches does not depend on the threads.
class InBackground final : public Pass::Implementation {
 public:
  InBackground(BatchRecipe recipe, int64_t first, int64_t last)
      : workers_(recipe.options.workers),
        last_(last),
        next_to_make_(first),
        next_to_give_(first),
        slots_(static_cast<size_t>(std::min(recipe.options.prefetch, std::max<int64_t>(last - first, 0)) * workers_) +
               1),
        maker_(std::move(recipe)) {
    threads_.reserve(static_cast<size_t>(workers_));
    const int operator_threads = at::get_num_threads();
    try {
      for (int i = 0; i < workers_; ++i) threads_.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {
      wait_for_start();
      stop();
      at::set_num_threads(operator_threads);
      throw Error({.what = "the system refused a background thread",
                   .where = "LoaderOptions::workers",
                   .got = std::string(error.what()) + ", after " + std::to_string(threads_.size()) + " of " +
                          std::to_string(workers_),
                   .todo = "use fewer workers"});
    }
    wait_for_start();
    // Each worker has limited itself to one thread inside operators; that call also moves the number that new
    // threads start with, so the host's own is put back here.
    at::set_num_threads(operator_threads);
  }

  ~InBackground() override { stop(); }

  const Batch* next() override {
    std::unique_lock lock(mutex_);
    if (given_) {
      slot(next_to_give_ - 1).state = Slot::State::free;
      given_ = false;
      changed_.notify_all();
    }
    if (next_to_give_ >= last_) return nullptr;
    Slot& wanted = slot(next_to_give_);
    changed_.wait(lock, [&] { return wanted.state == Slot::State::full; });
    ++next_to_give_;
    given_ = true;
    if (wanted.error) std::rethrow_exception(wanted.error);
    return &wanted.batch;
  }

 private:
  struct Slot {
    enum class State { free, taken, full };
    State state = State::free;
    Batch batch;
    std::exception_ptr error;
  };

  Slot& slot(int64_t number) { return slots_[static_cast<size_t>(number) % slots_.size()]; }

  void wait_for_start() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return started_ == threads_.size(); });
  }

  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void work() {
    at::internal::lazy_init_num_threads();  // else the first operator would do it and undo the next line
    at::get_num_threads();
    at::set_num_threads(1);
    std::unique_lock lock(mutex_);
    ++started_;
    changed_.notify_all();
    for (;;) {
      changed_.wait(
          lock, [&] { return stopping_ || next_to_make_ >= last_ || slot(next_to_make_).state == Slot::State::free; });
      if (stopping_ || next_to_make_ >= last_) return;
      const int64_t number = next_to_make_++;
      Slot& mine = slot(number);
      mine.state = Slot::State::taken;
      lock.unlock();
      std::exception_ptr error;
      try {
        maker_.make(number, mine.batch);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      mine.error = std::move(error);
      mine.state = Slot::State::full;
      changed_.notify_all();
    }
  }

  int workers_;
  int64_t last_;
  int64_t next_to_make_;
  int64_t next_to_give_;
  std::vector<Slot> slots_;
  BatchMaker maker_;
  bool given_ = false;
  bool stopping_ = false;
  size_t started_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<Pass::Implementation> Pass::Implementation::make(BatchRecipe recipe, int64_t first, int64_t last) {
  if (recipe.options.workers == 0) return std::make_unique<InPlace>(std::move(recipe), first, last);
  return std::make_unique<InBackground>(std::move(recipe), first, last);
}

Pass::Pass(std::unique_ptr<Implementation> implementation) : implementation_(std::move(implementation)) {}
Pass::Pass(Pass&&) noexcept = default;
Pass::~Pass() = default;
const Batch* Pass::next() { return implementation_->next(); }

}  // namespace athanor
