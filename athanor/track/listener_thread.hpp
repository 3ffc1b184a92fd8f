// SPDX-License-Identifier: Apache-2.0
// A listener on a thread of its own, behind a queue whose memory is bounded.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "athanor/train/events.hpp"

namespace athanor::track {

/// What happens to events that the listener has not seen yet.
enum class Keep {
  everything,  ///< Nothing is lost: when the queue is full, training waits, which is counted.
  newest,      ///< What is overtaken is dropped: a progress by the next one; when the queue is full, the oldest lines.
};

struct ThreadOptions {
  Keep keep = Keep::everything;
  /// The memory of events that wait, in bytes. One event that is larger is let in alone.
  size_t bytes = size_t{16} << 20;
  /// How long events may wait before the thread looks at them all at once. Rarer is cheaper: each time wakes a thread.
  std::chrono::milliseconds delay{100};
  /// How long training waits for a line (begin and end of the run, epoch, message) to be shown, so that it comes before
  /// what the host prints next. A listener that takes longer is not waited for again until it has caught up.
  std::chrono::milliseconds settle{0};
  /// Runs without a folder are not told, nor passes outside of a run.
  bool only_with_folder = false;
};

/// Copies each event into a queue and tells it to a listener on another thread, in order. The thread starts with the
/// first event, takes no signals, and ends with the run; `on_run_end` waits for it. The history that the listener sees
/// is a copy that belongs to its thread.
///
/// What the listener throws comes out of the next call, once; from then on it is told nothing until a run begins. Meant
/// for one training thread.
class ListenerThread : public Listener {
 public:
  /// Throws Error for a null listener.
  ListenerThread(std::shared_ptr<Listener> listener, ThreadOptions options);
  /// Waits until everything is told.
  ~ListenerThread() override;
  ListenerThread(const ListenerThread&) = delete;
  ListenerThread& operator=(const ListenerThread&) = delete;

  void on_run_begin(const events::RunBegin& event) override;
  void on_stage_begin(const events::StageBegin& event) override;
  void on_progress(const events::Progress& event) override;
  void on_step(const events::Step& event) override;
  void on_epoch_end(const events::EpochEnd& event) override;
  void on_message(const events::Message& event) override;
  void on_run_end(const events::RunEnd& event) override;
  void on_media(const events::Media& event) override;
  /// Waits as `on_run_end` does.
  void on_run_broken(const events::RunBroken& event) override;
  /// Outside of a run it waits as `on_run_end` does.
  void on_evaluation(const events::Evaluation& event) override;
  /// Does not wait; the listener is told without delay.
  void on_saving(const events::Saving& event) override;
  [[nodiscard]] std::string name() const override { return listener_->name(); }
  /// How long training waited for a full queue, and how many lines were dropped.
  [[nodiscard]] std::string remark() const override;

  /// Waits until everything is told. Throws what the listener threw.
  void flush();

  struct Waits {
    int64_t count = 0;  ///< Events that met a full queue.
    double seconds = 0;
    int64_t dropped = 0;  ///< Events that were dropped because the queue was full.
  };
  [[nodiscard]] Waits waits() const;

 private:
  struct Item;

  void push(Item item, bool is_line);
  void make_room(std::unique_lock<std::mutex>& lock, const Item& item);
  void start();
  void finish() noexcept;
  void rethrow(std::unique_lock<std::mutex>& lock);
  void work();
  void tell(Item& item);

  std::shared_ptr<Listener> listener_;
  ThreadOptions options_;
  bool active_;
  const History* source_ = nullptr;  // the trainer's, for the training thread only
  History history_;                  // of the listener's thread

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable done_;
  std::list<Item> queue_;
  size_t bytes_ = 0;      // of what waits, and of what is being told
  int64_t pushed_ = 0;    // events
  int64_t finished_ = 0;  // of them told or dropped
  bool sleeping_ = false;
  bool urgent_ = false;
  bool stopping_ = false;
  bool hung_ = false;  // a line was not shown in time
  bool failed_ = false;
  std::exception_ptr failure_;
  Waits waits_;
  std::thread thread_;
};

/// The listener on a thread of its own.
[[nodiscard]] std::shared_ptr<Listener> on_thread(std::shared_ptr<Listener> listener, ThreadOptions options = {});

}  // namespace athanor::track
