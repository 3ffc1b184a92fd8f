// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/spool_sender.hpp"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace athanor::track {
namespace {

constexpr size_t most_records = 2000;
constexpr size_t most_bytes = size_t{1} << 20;
constexpr std::chrono::seconds break_off{2};

}  // namespace

Delivery::~Delivery() = default;

// The thread has its part of it, so that it may live on after the sender.
struct SpoolSender::Shared {
  std::shared_ptr<Spool> spool = {};
  std::shared_ptr<Delivery> delivery = {};
  SenderOptions options = {};

  std::mutex mutex = {};
  std::condition_variable wake = {};
  std::condition_variable done = {};
  bool finishing = false;
  bool stopping = false;
  bool ended = false;
  int64_t refused = 0;
  std::string problem = {};
  std::string refusal = {};
  std::chrono::milliseconds pause{0};  // after the last failure
  bool closed = false;
  std::minstd_rand random{std::random_device{}()};
  std::thread thread = {};
};

SpoolSender::SpoolSender(std::shared_ptr<Spool> spool, std::shared_ptr<Delivery> delivery, SenderOptions options)
    : shared_(std::make_shared<Shared>()) {
  shared_->spool = std::move(spool);
  shared_->delivery = std::move(delivery);
  shared_->options = options;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  shared_->thread = std::thread([shared = shared_] { work(shared); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

SpoolSender::~SpoolSender() { stop(break_off); }

/// One call of the service. False: there is nothing to send, or it is to be tried later.
bool SpoolSender::send_some(Shared& shared) {
  const std::vector<Spool::Record> records = shared.spool->oldest(most_records, most_bytes);
  if (records.empty()) return false;
  const auto failed = [&](const std::string& text, std::optional<std::chrono::milliseconds> pause) {
    const std::lock_guard lock(shared.mutex);
    // What breaks off a call is not why it did not come to its end.
    if (!shared.stopping || shared.problem.empty()) shared.problem = text;
    auto next = std::clamp(2 * shared.pause, shared.options.first_pause, shared.options.longest_pause);
    shared.pause = next;
    if (pause)
      next = std::min(std::max(next, *pause), std::max(shared.options.longest_pause, shared.options.first_pause));
    std::uniform_int_distribution<int64_t> spread(0, next.count() / 4);
    shared.pause = next - std::chrono::milliseconds(spread(shared.random));
  };
  try {
    const size_t count = std::clamp<size_t>(shared.delivery->deliver(records), 1, records.size());
    shared.spool->acknowledge(records[count - 1]);
    const std::lock_guard lock(shared.mutex);
    shared.problem.clear();
    shared.pause = std::chrono::milliseconds(0);
    return true;
  } catch (const DeliveryProblem& problem) {
    if (problem.kind == DeliveryProblem::Kind::refused) {
      shared.spool->acknowledge(records.front());
      const std::lock_guard lock(shared.mutex);
      if (shared.refused++ == 0) shared.refusal = problem.what();
      return true;
    }
    failed(problem.what(), problem.pause);
    if (problem.kind == DeliveryProblem::Kind::closed) {
      const std::lock_guard lock(shared.mutex);
      shared.closed = true;
    }
  } catch (const std::exception& problem) {
    failed(problem.what(), {});
  }
  return false;
}

void SpoolSender::work(const std::shared_ptr<Shared>& shared) {
  Shared& s = *shared;
  std::unique_lock lock(s.mutex);
  while (!s.stopping) {
    const bool hurried = s.finishing;
    if (s.pause.count() > 0) {
      // Whoever waits for the end is not kept waiting by a long pause; one more attempt is made at once.
      const auto pause = hurried ? std::min(s.pause, std::chrono::milliseconds(1000)) : s.pause;
      s.wake.wait_for(lock, pause, [&] { return s.stopping || s.finishing != hurried; });
    } else if (!hurried) {
      s.wake.wait_for(lock, s.options.every, [&] { return s.stopping || s.finishing; });
    }
    bool more = true;
    while (more && !s.stopping && !s.closed) {
      lock.unlock();
      try {
        more = send_some(s);
      } catch (const std::exception& error) {  // the disk, when it is acknowledged
        more = false;
        lock.lock();
        s.problem = error.what();
        s.pause = s.options.longest_pause;
        continue;
      }
      lock.lock();
    }
    if (s.closed || (s.finishing && s.pause.count() == 0)) break;
  }
  s.ended = true;
  s.done.notify_all();
}

void SpoolSender::finish(std::chrono::milliseconds limit) {
  {
    std::unique_lock lock(shared_->mutex);
    shared_->finishing = true;
    shared_->wake.notify_all();
    shared_->done.wait_for(lock, limit, [&] { return shared_->ended; });
  }
  stop(break_off);
}

void SpoolSender::stop(std::chrono::milliseconds patience) {
  if (!shared_->thread.joinable()) return;
  bool ended = false;
  {
    std::unique_lock lock(shared_->mutex);
    shared_->stopping = true;
    shared_->wake.notify_all();
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!shared_->ended && std::chrono::steady_clock::now() < until) {
      lock.unlock();
      shared_->delivery->cancel();
      lock.lock();
      shared_->done.wait_for(lock, std::chrono::milliseconds(50), [&] { return shared_->ended; });
    }
    ended = shared_->ended;
  }
  if (ended) {
    shared_->thread.join();
  } else {
    shared_->thread.detach();
  }
}

SpoolSender::Standing SpoolSender::standing() const {
  const std::lock_guard lock(shared_->mutex);
  return {.waiting = shared_->spool->waiting(),
          .refused = shared_->refused,
          .dropped = shared_->spool->dropped(),
          .problem = shared_->problem,
          .refusal = shared_->refusal};
}

}  // namespace athanor::track
