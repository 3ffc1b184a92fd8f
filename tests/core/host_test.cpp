// SPDX-License-Identifier: Apache-2.0
// What training changes in the host process, and that it is put back.
#include "athanor/core/host.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/rand.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "athanor/core/random.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::host_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

HostOptions only_threads(int threads) {
  HostOptions options = HostOptions::untouched();
  options.threads = threads;
  return options;
}

TEST(HostTest, FewerThanOneThreadIsRefusedAndChangesNothing) {
  const int before = at::get_num_threads();
  for (int threads : {0, -4}) {
    const auto parts = error_of([&] { HostGuard(only_threads(threads)); });
    EXPECT_EQ(parts.what, "training needs at least one thread");
    EXPECT_EQ(parts.where, "HostOptions::threads");
    EXPECT_EQ(parts.got, std::to_string(threads));
  }
  EXPECT_EQ(at::get_num_threads(), before);
}

TEST(HostTest, ThreadsAndGeneratorArePutBack) {
  const int before = at::get_num_threads();
  const HostGeneratorGuard outer;
  seed_libtorch(1);
  const at::Tensor expected = at::rand({4});
  seed_libtorch(1);
  {
    const HostGuard guard(only_threads(before + 2));
    EXPECT_EQ(at::get_num_threads(), before + 2);
    EXPECT_THAT(guard.notes(), ElementsAre(HasSubstr(std::to_string(before + 2) + " threads")));
    seed_libtorch(2);
    at::rand({9});
  }
  EXPECT_EQ(at::get_num_threads(), before);
  EXPECT_TRUE(at::equal(at::rand({4}), expected));
}

TEST(HostTest, GuardsInsideEachOtherPutBackStepByStep) {
  const int before = at::get_num_threads();
  {
    const HostGuard outer(only_threads(before + 1));
    {
      const HostGuard inner(only_threads(before + 3));
      EXPECT_EQ(at::get_num_threads(), before + 3);
    }
    EXPECT_EQ(at::get_num_threads(), before + 1);
  }
  EXPECT_EQ(at::get_num_threads(), before);
}

TEST(HostTest, ArePutBackAlsoAfterAnError) {
  const int before = at::get_num_threads();
  error_of([&] {
    const HostGuard guard(only_threads(before + 1));
    throw Error({.what = "in training"});
  });
  EXPECT_EQ(at::get_num_threads(), before);
}

TEST(HostTest, UntouchedChangesNothingAndSaysSo) {
  const HostGuard guard(HostOptions::untouched());
  EXPECT_THAT(guard.notes(), IsEmpty());
  const HostGuard same(only_threads(at::get_num_threads()));
  EXPECT_THAT(same.notes(), IsEmpty());
}

TEST(HostTest, TheGeneratorIsLeftAloneWhenNotAskedFor) {
  const HostGeneratorGuard outer;
  seed_libtorch(1);
  {
    const HostGuard guard({.keep_freed_memory = false, .restore_generator = false});
    seed_libtorch(2);
  }
  const at::Tensor drawn = at::rand({4});
  seed_libtorch(2);
  EXPECT_TRUE(at::equal(drawn, at::rand({4})));
}

#if defined(__x86_64__) || defined(__aarch64__)
TEST(HostTest, DenormalsCountAsZeroInEveryThreadOfTheCallAndNowhereElse) {
  const at::Tensor small = at::full({1 << 20}, 1e-30F);
  const auto zeros = [&] { return at::mul(small, 1e-10F).eq(0).sum().item<int64_t>(); };
  HostOptions options = only_threads(3);
  const HostGuard threads(options);
  EXPECT_EQ(zeros(), 0);
  options.flush_denormals = true;
  {
    const HostGuard guard(options);
    EXPECT_THAT(guard.notes(), ElementsAre(HasSubstr("below 1e-38 count as zero")));
    EXPECT_EQ(zeros(), small.numel());
    EXPECT_EQ(at::mul(at::full({}, 1e-40, at::kDouble), 1.0).item<double>(), 1e-40)
        << "a float64 of that size is not denormal";
    std::thread([&] { EXPECT_EQ(at::mul(small.narrow(0, 0, 8), 1e-10F).eq(0).sum().item<int64_t>(), 8); }).join();
    {
      const HostGuard inner(options);
      EXPECT_THAT(inner.notes(), IsEmpty());
    }
    EXPECT_EQ(zeros(), small.numel()) << "the inner guard has changed nothing";
  }
  EXPECT_EQ(zeros(), 0);
}
#endif

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)  // which brings an allocator of its own
TEST(HostTest, TheAllocatorIsChangedOnRequestAndSaidInEveryRun) {
  for (int run = 0; run < 2; ++run) {
    const HostGuard guard({.keep_freed_memory = true, .faster_kernels = false, .flush_denormals = false});
    EXPECT_THAT(guard.notes(), ElementsAre(HasSubstr("mallopt")));
  }
}
#endif

}  // namespace
}  // namespace athanor::host_test
