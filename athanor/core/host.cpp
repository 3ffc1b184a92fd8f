// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/host.hpp"

#include <ATen/Parallel.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <memory>

#include "athanor/core/denormals.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/kernels.hpp"
#include "athanor/core/random.hpp"

namespace athanor {
namespace {

/// True when it had an effect.
bool keep_freed_memory() {
#if defined(__GLIBC__)
  static const bool done = [] {
    constexpr int threshold_bytes = 1 << 30;
    constexpr int pad_bytes = 64 << 20;
    return mallopt(M_MMAP_THRESHOLD, threshold_bytes) == 1 && mallopt(M_TRIM_THRESHOLD, threshold_bytes) == 1 &&
           mallopt(M_TOP_PAD, pad_bytes) == 1;
  }();
  return done;
#else
  return false;
#endif
}

}  // namespace

HostGuard::HostGuard(const HostOptions& options) {
  if (options.threads && *options.threads < 1) {
    throw Error({.what = "training needs at least one thread",
                 .where = "HostOptions::threads",
                 .got = std::to_string(*options.threads),
                 .expected = "1 or more, or unset"});
  }
  if (options.keep_freed_memory && keep_freed_memory()) {
    notes_.push_back("malloc keeps freed memory (mallopt), for the life of this process");
  }
  if (options.faster_kernels) {
    kernels_ = std::make_unique<FastKernels>();
    if (kernels_->in_use()) notes_.push_back("faster max pooling on the CPU, same results, until the end of the call");
  }
  if (options.threads && *options.threads != at::get_num_threads()) {
    threads_before_ = at::get_num_threads();
    at::set_num_threads(*options.threads);
    notes_.push_back(std::to_string(*options.threads) + " threads inside operators, put back at the end");
  }
  if (options.flush_denormals) {
    denormals_ = std::make_unique<FlushDenormals>();
    if (denormals_->in_use()) notes_.push_back("numbers below 1e-38 count as zero, until the end of the call");
  }
  if (options.restore_generator) generator_ = std::make_unique<HostGeneratorGuard>();
}

HostGuard::~HostGuard() {
  denormals_.reset();  // in all the threads that it was set in
  if (threads_before_) at::set_num_threads(*threads_before_);
}

}  // namespace athanor
