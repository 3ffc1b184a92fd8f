// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/profile.hpp"

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {

Profile::Profile(ProfileOptions options) : options_(std::move(options)) {
  if (options_.steps < 1 || options_.skip < 0) {
    throw Error({.what = "so many steps can't be profiled",
                 .where = "ProfileOptions",
                 .got = ".steps = " + std::to_string(options_.steps) + ", .skip = " + std::to_string(options_.skip),
                 .expected = "1 step or more, after 0 or more"});
  }
}

Callback make_profile(const ProfileSteps& steps) { return Profile({.steps = steps.count()}); }

Profile::~Profile() = default;
Profile::Profile(Profile&&) noexcept = default;
Profile& Profile::operator=(Profile&&) noexcept = default;

const ProfileReport& Profile::report() const {
  if (!has_report()) {
    throw Error({.what = "no steps were profiled yet",
                 .where = "Profile::report",
                 .expected = "a run of more than " + std::to_string(options_.skip) + " steps",
                 .todo = "train longer, or make ProfileOptions::skip smaller"});
  }
  return report_;
}

void Profile::on_fit_begin(Trainer& trainer) {
  recorder_.reset();
  seen_ = recorded_ = 0;
  in_step_ = done_ = false;
  folder_ = options_.folder;
  if (!folder_ && trainer.folder()) folder_ = *trainer.folder() / "profile";
  if (folder_) require_writable_directory(*folder_);
}

void Profile::wait_for_data(Trainer& trainer) {
  if (done_ || seen_ < options_.skip) return;
  if (recorder_ == nullptr) {
    recorder_ = std::make_unique<SpanRecorder>(
        SpanRecorder::Options{.source = options_.source, .shapes = options_.shapes, .device = trainer.device()});
  }
  recorder_->open(ProfileSpan::Kind::phase, "data");
}

void Profile::on_train_begin(Trainer& trainer) { wait_for_data(trainer); }

void Profile::on_train_batch_begin(Trainer& trainer) {
  if (recorder_ == nullptr || in_step_) return;  // a further micro-batch
  recorder_->close();
  recorder_->open(ProfileSpan::Kind::step, "step " + std::to_string(trainer.position().step + 1));
  in_step_ = true;
}

void Profile::begin_phase(const char* name) {
  if (recorder_ == nullptr || !in_step_) return;
  end_phase();  // it ran out of memory and begins again
  recorder_->open(ProfileSpan::Kind::phase, name);
}

void Profile::end_phase() {
  if (recorder_ != nullptr && in_step_ && recorder_->depth() > 1) recorder_->close();
}

void Profile::on_forward_begin(Trainer&) { begin_phase("forward"); }
void Profile::on_forward_end(Trainer&) { end_phase(); }
void Profile::on_backward_begin(Trainer&) { begin_phase("backward"); }
void Profile::on_backward_end(Trainer&) { end_phase(); }
void Profile::on_optimizer_begin(Trainer&) { begin_phase("optimizer"); }
void Profile::on_optimizer_end(Trainer&) { end_phase(); }

void Profile::on_step_end(Trainer& trainer) {
  ++seen_;
  if (recorder_ != nullptr) {
    while (recorder_->depth() > 0) recorder_->close();
    if (in_step_) ++recorded_;
    in_step_ = false;
    if (recorded_ >= options_.steps) finish(trainer);
  }
  wait_for_data(trainer);
}

void Profile::on_train_end(Trainer&) {
  if (recorder_ == nullptr) return;
  while (recorder_->depth() > 0) recorder_->close();
  in_step_ = false;
}

void Profile::on_fit_closing(Trainer& trainer) {
  if (recorder_ != nullptr && recorded_ > 0) finish(trainer);
  recorder_.reset();
  if (recorded_ >= options_.steps) return;
  trainer.message("Profile: " + std::to_string(recorded_) + " steps were recorded instead of " +
                      std::to_string(options_.steps) + ": the run had " + std::to_string(seen_) + ", and " +
                      std::to_string(options_.skip) + " come before",
                  events::Message::Level::warning);
}

void Profile::on_exception(Trainer&) {
  recorder_.reset();
  in_step_ = false;
}

void Profile::finish(Trainer& trainer) {
  done_ = true;
  report_ = ProfileReport(recorder_->finish());
  recorder_.reset();
  const std::string markdown = report_.markdown(options_.rows);
  trainer.record("profile", events::Text{markdown});
  if (!folder_) return;
  write_file_atomically(*folder_ / "trace.json", report_.trace_json());
  write_file_atomically(*folder_ / "operators.txt", report_.text(options_.rows));
  trainer.message("profile of " + std::to_string(report_.steps()) + " steps in " + folder_->string() +
                  ": open trace.json in https://ui.perfetto.dev");
}

}  // namespace athanor
