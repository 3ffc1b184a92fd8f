// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/dashboard.hpp"

#include <stdlib.h>

#include <mutex>
#include <string>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/track/event_file.hpp"
#include "athanor/track/listener_thread.hpp"
#include "athanor/track/page_server.hpp"
#include "athanor/track/points_file.hpp"
#include "athanor/track/points_format.hpp"
#include "athanor/train/run_control.hpp"

namespace athanor::track {
namespace {

/// A folder that goes with its owner.
class TemporaryRun {
 public:
  TemporaryRun() {
    std::string place = (std::filesystem::temp_directory_path() / "athanor-XXXXXX").string();
    if (::mkdtemp(place.data()) == nullptr) {
      throw Error({.what = "a temporary folder can't be made", .where = place, .todo = "give the run a folder"});
    }
    parent_ = place;
    std::filesystem::create_directory(folder());
  }
  ~TemporaryRun() {
    std::error_code ignored;
    std::filesystem::remove_all(parent_, ignored);
  }
  TemporaryRun(const TemporaryRun&) = delete;
  TemporaryRun& operator=(const TemporaryRun&) = delete;
  [[nodiscard]] std::filesystem::path folder() const { return parent_ / "run"; }

 private:
  std::filesystem::path parent_;
};

class Dashboard : public Listener, public Steering {
 public:
  explicit Dashboard(DashboardOptions options) : options_(std::move(options)) {}
  [[nodiscard]] std::string name() const override { return "the live page"; }
  [[nodiscard]] std::string remark() const override { return thread_ == nullptr ? "" : thread_->remark(); }

  void on_run_begin(const events::RunBegin& run) override {
    release();
    if (!run.folder && temporary_ == nullptr) temporary_ = std::make_unique<TemporaryRun>();
    const std::filesystem::path folder = run.folder ? *run.folder : temporary_->folder();
    if (thread_ == nullptr || folder != folder_) {
      writer_ = std::make_shared<PointsWriter>(folder / points_file_name);
      thread_ = std::make_unique<ListenerThread>(writer_, ThreadOptions{.bytes = options_.queue_bytes});
    }
    thread_->on_run_begin(run);
    {
      const std::lock_guard lock(mutex_);
      folder_ = folder;
    }
    if (server_ == nullptr) serve();
    const std::lock_guard lock(mutex_);
    is_live_ = true;
  }

  void take_control(std::shared_ptr<RunControl> control) override {
    {
      // After a failure at the beginning nobody would say when the run ends.
      const std::lock_guard lock(mutex_);
      if (!is_live_) return;
      control_ = control;
    }
    std::string text = "live page: " + server_->url();
    if (options_.port != 0 && server_->port() != options_.port) {
      text += " (port " + std::to_string(options_.port) + " is taken)";
    }
    control->message(std::move(text));
  }

  void on_stage_begin(const events::StageBegin& begin) override { tell(begin, &Listener::on_stage_begin); }
  void on_progress(const events::Progress& progress) override { tell(progress, &Listener::on_progress); }
  void on_message(const events::Message& message) override { tell(message, &Listener::on_message); }
  void on_media(const events::Media& media) override { tell(media, &Listener::on_media); }
  void on_saving(const events::Saving& saving) override { tell(saving, &Listener::on_saving); }

  void on_step(const events::Step& step) override {
    // The thread sees steps in bundles; only here it is known when they were.
    events::Step timed = step;
    timed.values.set(points_time_name, wall_clock());
    tell(timed, &Listener::on_step);
  }
  void on_epoch_end(const events::EpochEnd& end) override {
    offer_times();
    tell(end, &Listener::on_epoch_end);
  }
  void on_run_end(const events::RunEnd& end) override {
    offer_times();
    release();
    tell(end, &Listener::on_run_end);
  }
  void on_run_broken(const events::RunBroken& broken) override {
    release();
    tell(broken, &Listener::on_run_broken);
  }

 private:
  template <class Event>
  void tell(const Event& event, void (Listener::*hook)(const Event&)) {
    if (thread_ == nullptr) return;
    try {
      (static_cast<Listener&>(*thread_).*hook)(event);
    } catch (...) {
      release();  // nobody will tell us when the run ends
      throw;
    }
  }

  void release() {
    const std::lock_guard lock(mutex_);
    control_.reset();
    is_live_ = false;
  }

  void offer_times() {
    if (control_ == nullptr) return;
    if (const StepTimes* times = control_->step_times()) writer_->offer_times(*times);
  }

  void serve() {
    PageServerOptions options{.port = options_.port,
                              .act = [this](PageAction action) { return act(action); },
                              .live = [this] { return live(); }};
    const std::filesystem::path absolute = std::filesystem::absolute(folder_).lexically_normal();
    if (options_.runs) {
      options.runs.folder = std::filesystem::absolute(*options_.runs);
    } else {
      options.runs = {.folder = absolute.parent_path(), .depth = 1};
    }
    server_ = std::make_unique<PageServer>(std::move(options));
  }

  PageAnswer act(PageAction action) {
    const std::lock_guard lock(mutex_);
    if (control_ == nullptr) return {.text = "No run is training at the moment."};
    if (action == PageAction::stop) {
      if (control_->request_stop("stopped on the live page")) return {true, "The run stops after the running step."};
      return {.text = "This loop can't be stopped from here."};
    }
    if (control_->request_save()) return {true, "The run is saved after the running step."};
    return {.text =
                "Nobody in this run saves on demand: add athanor::Checkpoints() to its callbacks, or save_now to the "
                "options of its RunLog."};
  }

  std::optional<std::filesystem::path> live() {
    const std::lock_guard lock(mutex_);
    if (!is_live_) return std::nullopt;
    return std::filesystem::absolute(folder_);
  }

  DashboardOptions options_;
  std::unique_ptr<TemporaryRun> temporary_;
  std::shared_ptr<PointsWriter> writer_;
  std::unique_ptr<ListenerThread> thread_;
  std::mutex mutex_;  // of the three that follow, which threads of the server read
  std::filesystem::path folder_;
  std::shared_ptr<RunControl> control_;
  bool is_live_ = false;
  std::unique_ptr<PageServer> server_;  // last: its threads call the others
};

}  // namespace

std::shared_ptr<Listener> dashboard(DashboardOptions options) {
  return std::make_shared<Dashboard>(std::move(options));
}

}  // namespace athanor::track
