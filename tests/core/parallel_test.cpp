// SPDX-License-Identifier: Apache-2.0
// Loops over several threads: every index once, in pieces that are worth it, and errors as from a plain loop.
#include "athanor/core/parallel.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "athanor/core/host.hpp"

namespace athanor::parallel_test {
namespace {

using ::testing::Each;
using ::testing::Ge;
using ::testing::SizeIs;

struct Pieces {
  std::vector<int64_t> lengths;
  std::set<std::thread::id> threads;
};

/// Runs a loop, and expects every index to be visited once.
Pieces run(int64_t size, int64_t smallest_piece) {
  std::vector<int> visits(static_cast<size_t>(size));
  std::mutex mutex;
  Pieces pieces;
  parallel_for(size, smallest_piece, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
    const std::lock_guard lock(mutex);
    pieces.lengths.push_back(end - begin);
    pieces.threads.insert(std::this_thread::get_id());
  });
  EXPECT_THAT(visits, Each(1)) << size << " in pieces of " << smallest_piece;
  return pieces;
}

TEST(ParallelFor, VisitsEveryIndexOnceInPiecesThatAreLongEnough) {
  for (const int threads : {1, 2, 3, 5}) {
    const HostGuard guard({.keep_freed_memory = false, .threads = threads});
    for (const int64_t size : {1, 2, 3, 4, 5, 7, 100, 101}) {
      for (const int64_t smallest : {1, 2, 3, 50, 1000}) {
        const Pieces pieces = run(size, smallest);
        EXPECT_THAT(pieces.lengths,
                    SizeIs(std::max<size_t>(
                        1, std::min<size_t>(static_cast<size_t>(threads), static_cast<size_t>(size / smallest)))));
        EXPECT_THAT(pieces.lengths, Each(Ge(std::min(size, smallest))));
      }
    }
  }
}

// at::parallel_for, compiled as this is, would use one.
TEST(ParallelFor, UsesAsManyThreadsAsOperatorsDo) {
  for (const int threads : {1, 2, 3}) {
    const HostGuard guard({.keep_freed_memory = false, .threads = threads});
    EXPECT_THAT(run(3000, 1).threads, SizeIs(threads));
  }
}

TEST(ParallelFor, NothingIsNoPiece) {
  for (const int64_t size : {0, -1}) {
    parallel_for(size, 1, [](int64_t, int64_t) { FAIL(); });
  }
}

TEST(ParallelFor, ALoopInsideALoopStaysInItsThread) {
  const HostGuard guard({.keep_freed_memory = false, .threads = 2});
  std::mutex mutex;
  int64_t visited = 0;
  parallel_for(2, 1, [&](int64_t, int64_t) {
    const auto thread = std::this_thread::get_id();
    parallel_for(100, 1, [&](int64_t begin, int64_t end) {
      EXPECT_EQ(std::this_thread::get_id(), thread);
      const std::lock_guard lock(mutex);
      visited += end - begin;
    });
  });
  EXPECT_EQ(visited, 200);
}

TEST(ParallelFor, TheErrorIsTheOneThatAPlainLoopWouldMeet) {
  for (const int threads : {1, 3}) {
    const HostGuard guard({.keep_freed_memory = false, .threads = threads});
    for (int round = 0; round < 50; ++round) {
      try {
        parallel_for(300, 1, [](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            if (i == 120 || i == 130 || i == 250) throw std::runtime_error(std::to_string(i));
          }
        });
        FAIL() << "no error";
      } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "120");
      }
    }
    EXPECT_THAT(run(3000, 1).threads, SizeIs(threads));
  }
}

}  // namespace
}  // namespace athanor::parallel_test
