// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/background.hpp"

namespace athanor {

Background::~Background() {
  if (running_.valid()) running_.wait();
}

void Background::start(std::function<void()> job) {
  wait();
  running_ = std::async(std::launch::async, std::move(job));
}

void Background::wait() {
  if (running_.valid()) running_.get();
}

}  // namespace athanor
