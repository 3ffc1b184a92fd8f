// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/listener_thread.hpp"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor::track {
namespace {

constexpr size_t most_at_once = 256;

size_t size_of_text(const std::string& text) { return text.capacity() > 15 ? text.capacity() + 1 : 0; }

size_t size_of_values(const Values& values) {
  size_t bytes = values.size() * sizeof(Values::Entry);
  for (const auto& [name, value] : values) bytes += size_of_text(name);
  return bytes;
}

size_t size_of_media(const events::Media& media) {
  size_t bytes = sizeof media + size_of_text(media.name);
  if (const auto* histogram = std::get_if<events::Histogram>(&media.content)) {
    bytes += (histogram->edges.size() + histogram->counts.size()) * sizeof(double);
  } else if (const auto* image = std::get_if<events::Image>(&media.content)) {
    if (image->pixels.defined()) bytes += image->pixels.nbytes();
  } else if (const auto* text = std::get_if<events::Text>(&media.content)) {
    bytes += text->markdown.size();
  } else if (const auto* table = std::get_if<events::Table>(&media.content)) {
    for (const auto& row : table->rows) {
      for (const events::Table::Cell& cell : row) {
        bytes += sizeof cell;
        if (const auto* words = std::get_if<std::string>(&cell)) bytes += size_of_text(*words);
        if (const auto* picture = std::get_if<events::Image>(&cell); picture && picture->pixels.defined()) {
          bytes += picture->pixels.nbytes();
        }
      }
    }
  } else if (const auto* curve = std::get_if<events::PrecisionRecall>(&media.content)) {
    bytes += curve->points.size() * sizeof curve->points[0];
  } else if (const auto* embedding = std::get_if<events::Embedding>(&media.content)) {
    if (embedding->vectors.defined()) bytes += embedding->vectors.nbytes();
    if (embedding->pictures.defined()) bytes += embedding->pictures.nbytes();
    for (const auto& labels : embedding->labels) {
      for (const std::string& label : labels) bytes += sizeof(std::string) + size_of_text(label);
    }
  } else {
    for (const auto& node : std::get<events::Graph>(media.content).nodes) bytes += sizeof node + node.name.size();
  }
  return bytes;
}

// The thread must not take signals that are meant for the host's own threads.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

struct ListenerThread::Item {
  struct OwnedRunBegin {
    events::RunBegin event;
    History history;
  };

  struct OwnedEpochEnd {
    History::Epoch epoch;
    std::optional<int64_t> epochs;
    double run_seconds = 0;
    bool best = false;
    std::optional<History::Best> best_so_far;
  };

  struct OwnedRunEnd {
    History history;
    double seconds = 0;
    std::optional<std::filesystem::path> folder;
    std::string time_verdict;
    std::vector<std::pair<std::string, Direction>> directions;
  };

  // What is rare is kept apart, so that a slot of the queue stays small.
  using OwnedEvent =
      std::variant<events::StageBegin, events::Progress, events::Step, events::Message, events::RunBroken,
                   events::Saving, std::unique_ptr<events::Media>, std::unique_ptr<OwnedRunBegin>,
                   std::unique_ptr<OwnedEpochEnd>, std::unique_ptr<OwnedRunEnd>, std::unique_ptr<events::Evaluation>>;

  OwnedEvent event;
  size_t bytes = 0;  // beyond the slot itself

  [[nodiscard]] size_t size() const { return sizeof(Item) + bytes; }
  [[nodiscard]] bool passing() const {
    return std::holds_alternative<events::Progress>(event) || std::holds_alternative<events::Step>(event);
  }
};

ListenerThread::ListenerThread(std::shared_ptr<Listener> listener, ThreadOptions options)
    : listener_(std::move(listener)), options_(options), active_(!options.only_with_folder) {
  if (listener_ == nullptr) throw Error({.what = "there is no listener to put on a thread", .where = "on_thread"});
}

ListenerThread::~ListenerThread() { finish(); }

void ListenerThread::start() {
  if (thread_.joinable()) return;
  const SignalsBlocked blocked;
  thread_ = std::thread([this] { work(); });
}

void ListenerThread::finish() noexcept {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_one();
  thread_.join();
  stopping_ = false;
}

void ListenerThread::rethrow(std::unique_lock<std::mutex>& lock) {
  if (failure_ == nullptr) return;
  const std::exception_ptr failure = std::exchange(failure_, nullptr);
  lock.unlock();
  std::rethrow_exception(failure);
}

void ListenerThread::make_room(std::unique_lock<std::mutex>& lock, const Item& item) {
  const auto fits = [&] { return failed_ || bytes_ == 0 || bytes_ + item.size() <= options_.bytes; };
  if (options_.keep == Keep::newest) {
    if (item.passing()) {
      // Only what lies behind the last line is overtaken: the bar belongs to its place among the lines.
      for (auto each = queue_.end(); each != queue_.begin() && (--each)->passing();) {
        if (each->event.index() != item.event.index()) continue;
        bytes_ -= each->size();
        finished_ += 1;
        queue_.erase(each);
        break;
      }
    }
    while (!fits() && !queue_.empty()) {
      bytes_ -= queue_.front().size();
      finished_ += 1;
      waits_.dropped += queue_.front().passing() ? 0 : 1;
      queue_.pop_front();
    }
    return;
  }
  if (fits()) return;
  const auto begin = std::chrono::steady_clock::now();
  urgent_ = true;
  work_.notify_one();
  done_.wait(lock, fits);
  waits_.count += 1;
  waits_.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void ListenerThread::push(Item item, bool is_line) {
  if (!active_) return;
  std::unique_lock lock(mutex_);
  rethrow(lock);
  if (failed_) return;
  start();
  make_room(lock, item);
  bytes_ += item.size();
  const bool is_saving = std::holds_alternative<events::Saving>(item.event);
  queue_.push_back(std::move(item));
  const int64_t ticket = ++pushed_;
  const bool settles = is_line && options_.settle.count() > 0 && !hung_;
  if (settles || is_saving) urgent_ = true;
  if (sleeping_ || urgent_) work_.notify_one();
  if (settles && !done_.wait_for(lock, options_.settle, [&] { return failed_ || finished_ >= ticket; })) hung_ = true;
}

void ListenerThread::work() {
  std::unique_lock lock(mutex_);
  std::list<Item> taken;
  for (;;) {
    sleeping_ = true;
    work_.wait(lock, [&] { return stopping_ || urgent_ || !queue_.empty(); });
    sleeping_ = false;
    if (options_.delay.count() > 0 && !queue_.empty()) {
      work_.wait_for(lock, options_.delay, [&] { return stopping_ || urgent_; });
    }
    while (!queue_.empty()) {
      const size_t count = std::min(queue_.size(), most_at_once);
      const auto end = std::next(queue_.begin(), static_cast<std::ptrdiff_t>(count));
      taken.splice(taken.end(), queue_, queue_.begin(), end);
      const bool dead = failed_;
      lock.unlock();
      size_t bytes = 0;
      std::exception_ptr failure;
      for (Item& item : taken) {
        bytes += item.size();
        if (dead || failure != nullptr) continue;
        try {
          tell(item);
        } catch (...) {
          failure = std::current_exception();
        }
      }
      taken.clear();
      lock.lock();
      bytes_ -= bytes;
      finished_ += static_cast<int64_t>(count);
      if (failure != nullptr) {
        failed_ = true;
        failure_ = failure;
      }
      done_.notify_all();
    }
    urgent_ = false;
    hung_ = false;
    if (stopping_) return;
  }
}

void ListenerThread::tell(Item& item) {
  std::visit(
      [&](auto& event) {
        using Event = std::decay_t<decltype(event)>;
        if constexpr (std::is_same_v<Event, events::StageBegin>) {
          listener_->on_stage_begin(event);
        } else if constexpr (std::is_same_v<Event, events::Progress>) {
          listener_->on_progress(event);
        } else if constexpr (std::is_same_v<Event, events::Step>) {
          listener_->on_step(event);
        } else if constexpr (std::is_same_v<Event, events::Message>) {
          listener_->on_message(event);
        } else if constexpr (std::is_same_v<Event, events::RunBroken>) {
          listener_->on_run_broken(event);
        } else if constexpr (std::is_same_v<Event, events::Saving>) {
          listener_->on_saving(event);
          event.hold.reset();
        } else if constexpr (std::is_same_v<Event, std::unique_ptr<events::Media>>) {
          listener_->on_media(*event);
        } else if constexpr (std::is_same_v<Event, std::unique_ptr<events::Evaluation>>) {
          listener_->on_evaluation(*event);
        } else if constexpr (std::is_same_v<Event, std::unique_ptr<Item::OwnedRunBegin>>) {
          history_ = std::move(event->history);
          event->event.history = &history_;
          listener_->on_run_begin(event->event);
        } else if constexpr (std::is_same_v<Event, std::unique_ptr<Item::OwnedEpochEnd>>) {
          history_.add(std::move(event->epoch));
          if (event->best_so_far) history_.set_best(*event->best_so_far);
          listener_->on_epoch_end({.epoch = history_.last(),
                                   .epochs = event->epochs,
                                   .run_seconds = event->run_seconds,
                                   .best = event->best});
        } else {
          history_ = std::move(event->history);
          listener_->on_run_end({.history = history_,
                                 .seconds = event->seconds,
                                 .folder = std::move(event->folder),
                                 .time_verdict = std::move(event->time_verdict),
                                 .directions = std::move(event->directions)});
        }
      },
      item.event);
}

void ListenerThread::on_run_begin(const events::RunBegin& event) {
  active_ = !options_.only_with_folder || event.folder.has_value();
  source_ = event.history;
  if (std::unique_lock lock(mutex_); failed_) {
    lock.unlock();
    finish();
    failed_ = false;
    failure_ = nullptr;
  }
  auto owned =
      std::make_unique<Item::OwnedRunBegin>(Item::OwnedRunBegin{event, event.history ? *event.history : History()});
  push({.event = std::move(owned), .bytes = sizeof(Item::OwnedRunBegin)}, /*is_line=*/true);
}

void ListenerThread::on_stage_begin(const events::StageBegin& event) { push({.event = event}, /*is_line=*/false); }

void ListenerThread::on_progress(const events::Progress& event) {
  push({.event = event, .bytes = size_of_values(event.values)}, /*is_line=*/false);
}

void ListenerThread::on_step(const events::Step& event) {
  push({.event = event, .bytes = size_of_values(event.values)}, /*is_line=*/false);
}

void ListenerThread::on_message(const events::Message& event) {
  push({.event = event, .bytes = size_of_text(event.text)}, /*is_line=*/true);
}

void ListenerThread::on_media(const events::Media& event) {
  const size_t bytes = size_of_media(event);
  push({.event = std::make_unique<events::Media>(event), .bytes = bytes}, /*is_line=*/false);
}

void ListenerThread::on_epoch_end(const events::EpochEnd& event) {
  auto owned = std::make_unique<Item::OwnedEpochEnd>(
      Item::OwnedEpochEnd{event.epoch, event.epochs, event.run_seconds, event.best, {}});
  if (source_ != nullptr) owned->best_so_far = source_->best();
  const size_t bytes =
      sizeof(Item::OwnedEpochEnd) + size_of_values(event.epoch.values) + size_of_values(event.epoch.settings);
  push({.event = std::move(owned), .bytes = bytes}, /*is_line=*/true);
}

void ListenerThread::on_saving(const events::Saving& event) { push({.event = event}, /*is_line=*/false); }

void ListenerThread::on_run_end(const events::RunEnd& event) {
  auto owned = std::make_unique<Item::OwnedRunEnd>(
      Item::OwnedRunEnd{event.history, event.seconds, event.folder, event.time_verdict, event.directions});
  push({.event = std::move(owned), .bytes = sizeof(Item::OwnedRunEnd)}, /*is_line=*/false);
  source_ = nullptr;
  flush();
}

void ListenerThread::on_run_broken(const events::RunBroken& event) {
  push({.event = event, .bytes = size_of_text(event.reason)}, /*is_line=*/false);
  source_ = nullptr;
  flush();
}

void ListenerThread::on_evaluation(const events::Evaluation& event) {
  const bool in_run = source_ != nullptr;
  if (!in_run) {
    active_ = !options_.only_with_folder || event.folder.has_value();
    if (std::unique_lock lock(mutex_); failed_) {
      lock.unlock();
      finish();
      failed_ = false;
      failure_ = nullptr;
    }
  }
  const size_t bytes = sizeof event + size_of_values(event.values);
  push({.event = std::make_unique<events::Evaluation>(event), .bytes = bytes}, /*is_line=*/false);
  if (!in_run) flush();
}

void ListenerThread::flush() {
  finish();
  std::unique_lock lock(mutex_);
  rethrow(lock);
}

ListenerThread::Waits ListenerThread::waits() const {
  const std::lock_guard lock(mutex_);
  return waits_;
}

std::string ListenerThread::remark() const {
  const Waits so_far = waits();
  std::string text;
  if (so_far.count > 0) {
    text = "training waited " + format_number(so_far.seconds, 2) + " s for " + name() + ", " +
           std::to_string(so_far.count) + (so_far.count == 1 ? " time" : " times");
  }
  if (so_far.dropped > 0) {
    text += (text.empty() ? "" : "; ") + name() + " did not show " + std::to_string(so_far.dropped) +
            (so_far.dropped == 1 ? " line" : " lines");
  }
  return text;
}

std::shared_ptr<Listener> on_thread(std::shared_ptr<Listener> listener, ThreadOptions options) {
  return std::make_shared<ListenerThread>(std::move(listener), options);
}

}  // namespace athanor::track
