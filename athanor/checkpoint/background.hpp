// SPDX-License-Identifier: Apache-2.0
// Writing while training goes on.
#pragma once

#include <exception>
#include <functional>
#include <future>

namespace athanor {

/// Runs one job at a time on a thread of its own. A new job waits for the one before it, so at most one snapshot is in
/// use. Not for several callers at once.
class Background {
 public:
  Background() = default;
  /// Waits; a failure that nobody asked for is lost here, so call `wait` first.
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  /// Waits for the last job, then starts this one. Throws what the last job threw.
  void start(std::function<void()> job);
  /// Waits for the last job. Throws what it threw, once.
  void wait();

 private:
  std::future<void> running_;
};

}  // namespace athanor
