// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/checkpoints.hpp"

#include <algorithm>
#include <chrono>
#include <future>
#include <set>
#include <utility>
#include <vector>

#include "athanor/checkpoint/background.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/folder.hpp"
#include "athanor/train/run_control.hpp"

namespace athanor {

Callback make_checkpoints() { return Checkpoints(); }

namespace {

namespace fs = std::filesystem;

/// Which of them a new, whole checkpoint makes superfluous; the newest is always kept.
std::vector<fs::path> superfluous(const std::vector<RunCheckpoint>& all, const CheckpointsOptions& options) {
  std::set<fs::path> kept;
  std::vector<const RunCheckpoint*> whole;
  for (const RunCheckpoint& each : all) {
    if (each.facts) whole.push_back(&each);
  }
  for (size_t i = 0; i < whole.size(); ++i) {
    const bool new_enough = static_cast<int64_t>(whole.size() - i) <= std::max<int64_t>(options.keep_last, 0);
    if (new_enough || whole[i]->facts->milestone) kept.insert(whole[i]->path);
  }
  std::vector<RunCheckpoint> judged = all;
  for (int64_t i = 0; i < options.keep_best; ++i) {
    const RunCheckpoint* best = best_of(judged, /*complete=*/false);
    if (best == nullptr) break;
    kept.insert(best->path);
    std::erase_if(judged, [path = best->path](const RunCheckpoint& each) { return each.path == path; });
  }
  if (kept.empty() && !whole.empty()) kept.insert(whole.back()->path);
  std::vector<fs::path> others;
  for (const RunCheckpoint* each : whole) {
    if (!kept.contains(each->path)) others.push_back(each->path);
  }
  return others;
}

/// Ready when all listeners have handed to the system what they were told.
std::future<void> flush_listeners(Trainer& trainer) {
  auto* done = new std::promise<void>;
  std::future<void> all_done = done->get_future();
  trainer.flush_listeners(std::shared_ptr<const void>(done, [](std::promise<void>* last) {
    last->set_value();
    delete last;
  }));
  return all_done;
}

}  // namespace

/// The snapshot and what becomes of it. Between `start` and `wait` of the writer it is the writer's.
struct Checkpoints::Writing {
  std::future<void> logged;  // what was told before is in the files of the listeners
  bool listeners_hang = false;
  Tree snapshot;
  Tree facts;
  fs::path path;
  bool pending = false;        // a result is to be told
  std::exception_ptr failure;  // why it was not written
  std::string retention_failure;

  /// One that hangs must not keep the run from being saved, and is not waited for again until it has caught up.
  void wait_for_listeners() {
    if (!logged.valid()) return;
    const auto patience = std::chrono::milliseconds(listeners_hang ? 100 : 10'000);
    listeners_hang = logged.wait_for(patience) != std::future_status::ready;
  }

  void write(const CheckpointsOptions& options) {
    try {
      wait_for_listeners();
      const fs::path folder = path.parent_path();
      if (options.weights_only) {
        write_weights_checkpoint(path, snapshot, facts);
      } else {
        write_checkpoint(path, snapshot, facts, trainer_tensor_files());
      }
      try {
        for (const fs::path& old : superfluous(list_checkpoints_in(folder), options)) {
          if (old != path) remove_folder(old);
        }
      } catch (const std::exception& error) {
        retention_failure = error.what();
      }
    } catch (...) {
      failure = std::current_exception();
    }
  }
};

Checkpoints::Checkpoints(CheckpointsOptions options)
    : options_(std::move(options)),
      monitor_(options_.monitor),
      writing_(std::make_shared<Writing>()),
      writer_(std::make_shared<Background>()),
      requested_(std::make_shared<std::atomic<bool>>(false)) {
  const auto refuse = [](const char* what, const std::string& where, std::string got, std::string expected) {
    throw Error({.what = what,
                 .where = "CheckpointsOptions::" + where,
                 .got = std::move(got),
                 .expected = std::move(expected)});
  };
  if (options_.keep_last < 0) refuse("a number below 0", "keep_last", std::to_string(options_.keep_last), "0 or more");
  if (options_.keep_best < 0) refuse("a number below 0", "keep_best", std::to_string(options_.keep_best), "0 or more");
  for (const auto& interval : {options_.every, options_.keep_every}) {
    if (interval && interval->count() <= 0) refuse("an interval of nothing", "every", interval->describe(), "more");
  }
  if (options_.keep_last == 0 && options_.keep_best == 0 && !options_.keep_every) {
    refuse("no checkpoint would be kept", "keep_last, keep_best, keep_every", "0, 0 and nothing", "one of them");
  }
  if (options_.folder.empty()) refuse("a folder without a name", "folder", "an empty path", "such as checkpoints");
}

const std::optional<fs::path>& Checkpoints::newest() {
  writer_->wait();
  if (writing_->pending && writing_->failure == nullptr) newest_ = writing_->path;
  return newest_;
}

void Checkpoints::on_fit_begin(Trainer& trainer) {
  folder_.reset();
  if (options_.keep_best > 0) monitor_.bind(trainer);
  if (options_.folder.is_absolute()) {
    folder_ = options_.folder;
  } else if (trainer.folder()) {
    folder_ = *trainer.folder() / options_.folder;
  }
  if (!folder_) return;
  require_writable_directory(*folder_);
  if (!options_.weights_only) offer_saving(trainer);
  judged_.reset();
  is_new_best_ = due_at_epoch_end_ = false;
  if (trainer.position().step == 0) last_ = {0, true};
}

bool Checkpoints::is_due(const Trainer& trainer) const {
  return options_.every && options_.every->passed(trainer.elapsed_before_update(), trainer.position().elapsed());
}

void Checkpoints::on_step_end(Trainer& trainer) {
  judged_.reset();
  const bool told = requested_->load(std::memory_order_relaxed) && requested_->exchange(false);
  const bool asked = (!options_.weights_only && folder_ && take_save_request(trainer)) || told;
  if (!is_due(trainer) && !asked) return;
  const Position& position = trainer.position();
  if (position.batches > 0 && position.batch >= position.batches) {
    due_at_epoch_end_ = true;  // with the values of the epoch
  } else {
    save(trainer);
  }
}

void Checkpoints::on_check(Trainer& trainer) {
  if (options_.keep_best == 0) return;
  judged_ = trainer.values().find(monitor_.name());
  // The best of several are found on the disk, so every value counts there; this is about the very best.
  is_new_best_ = monitor_.improved(trainer) || (options_.keep_best > 1 && judged_.has_value());
  if (is_new_best_ && options_.weights_only) save(trainer);
}

void Checkpoints::on_check_end(Trainer& trainer) {
  // At the end of an epoch the state is complete when the epoch is.
  const Position& position = trainer.position();
  if (is_new_best_ && !options_.weights_only && !position.epoch_done && position.batch < position.batches) {
    save(trainer);
  }
}

void Checkpoints::on_epoch_end(Trainer& trainer) {
  const bool best = is_new_best_ && !options_.weights_only;
  if (best || std::exchange(due_at_epoch_end_, false)) save_once(trainer);
  is_new_best_ = false;
  judged_.reset();
}

void Checkpoints::on_fit_closing(Trainer& trainer) {
  if (options_.at_end) save_once(trainer);
}

void Checkpoints::on_fit_end(Trainer& trainer) {
  withdraw_saving(trainer);
  finish(trainer);
  if (trainer.interrupted() == 0 || !folder_) return;
  if (!newest_) return trainer.message("nothing was saved", events::Message::Level::warning);
  trainer.message("saved in " + newest_->string() +
                  (options_.weights_only
                       ? ""
                       : "; to go on, start the program again with resume = auto, or resume = " + newest_->string()));
}

void Checkpoints::on_exception(Trainer& trainer) {
  withdraw_saving(trainer);
  finish(trainer);
}

void Checkpoints::save_once(Trainer& trainer) {
  const Position& position = trainer.position();
  if (last_ != std::pair{position.step, position.epoch_done}) save(trainer);
}

void Checkpoints::save(Trainer& trainer) {
  if (!folder_) return;
  const StepTimes::Scope time(trainer.step_times(), StepPhase::saving, StepPhase::callbacks);
  finish(trainer);
  const Position& position = trainer.position();
  CheckpointFacts facts = facts_of(trainer);
  facts.complete = !options_.weights_only;
  facts.milestone = options_.keep_every && options_.keep_every->passed(saved_, position.elapsed());
  saved_ = position.elapsed();
  last_ = {position.step, position.epoch_done};
  due_at_epoch_end_ = false;
  if (judged_) {
    facts.monitor = monitor_.name();
    facts.higher_is_better = monitor_.mode() == Mode::max;
    facts.value = *judged_;
  }
  facts.sequence = next_sequence(*folder_, trainer.folder());
  writing_->logged = options_.weights_only ? std::future<void>() : flush_listeners(trainer);
  if (options_.weights_only) {
    NetsState nets(trainer.task().nets());
    save_state(nets, writing_->snapshot);
  } else {
    trainer.save_state(writing_->snapshot);
  }
  writing_->facts = save_state(facts);
  writing_->path = *folder_ / facts.folder_name();
  writing_->pending = true;
  const auto job = [writing = writing_, options = options_] { writing->write(options); };
  if (options_.in_background) {
    writer_->start(job);
  } else {
    job();
    finish(trainer);
  }
}

void Checkpoints::finish(Trainer& trainer) {
  writer_->wait();
  if (!std::exchange(writing_->pending, false)) return;
  const std::string late = std::exchange(writing_->retention_failure, {});
  if (!late.empty()) {
    trainer.message("an old checkpoint could not be removed: " + late, events::Message::Level::warning);
  }
  const std::exception_ptr failure = std::exchange(writing_->failure, nullptr);
  if (failure == nullptr) {
    newest_ = writing_->path;
    return;
  }
  last_ = {-1, false};
  if (options_.stop_on_failure) std::rethrow_exception(failure);
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    trainer.message("a checkpoint could not be written, training goes on without it: " + std::string(error.what()) +
                        (newest_ ? "\n  the last good one: " + newest_->string() : ""),
                    events::Message::Level::warning);
  }
}

void Checkpoints::state(State& state) {
  state.child("monitor", monitor_);
  state.child("saved", saved_);
  state.value("last_step", last_.first);
  state.value("last_epoch_done", last_.second);
}

}  // namespace athanor
