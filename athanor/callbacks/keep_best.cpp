// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/keep_best.hpp"

#include <system_error>

#include "athanor/checkpoint/background.hpp"
#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/core/text.hpp"

namespace athanor {

KeepBest::KeepBest(KeepBestOptions options)
    : monitor_(std::move(options.monitor)), restore_(options.restore), writer_(std::make_shared<Background>()) {}

void KeepBest::on_fit_begin(Trainer& trainer) {
  monitor_.bind(trainer);
  // The file may be of steps that a killed run made after the checkpoint from which this one goes on.
  if (!trainer.folder() || (trainer.position().step > 0 && !trainer.resumed_from())) return;
  if (monitor_.has_best()) {
    write(*trainer.folder());
  } else {
    std::error_code ignored;
    std::filesystem::remove(*trainer.folder() / "best.safetensors", ignored);
  }
}

void KeepBest::keep(Trainer& trainer) {
  const StepTimes::Scope time(trainer.step_times(), StepPhase::saving, StepPhase::validation);
  kept_step_ = trainer.position().step;
  writer_->wait();
  NetsState nets(trainer.task().nets());
  save_state(nets, weights_);
  if (trainer.folder()) write(*trainer.folder());
}

void KeepBest::write(const std::filesystem::path& folder) {
  NamedTensors tensors;
  for (const auto& [name, tensor] : weights_.entries()) tensors.emplace_back(name, tensor.tensor());
  writer_->start(
      [path = folder / "best.safetensors", tensors = std::move(tensors)] { write_safetensors(path, tensors); });
}

void KeepBest::on_check(Trainer& trainer) {
  if (monitor_.improved(trainer)) {
    keep(trainer);
    trainer.mark_best();
    trainer.history().set_best({monitor_.name(), monitor_.best_epoch(), monitor_.best()});
  } else if (!monitor_.has_best()) {
    trainer.history().set_best({.monitor = monitor_.name()});
  } else if (restore_ == RestoreBest::each_epoch) {
    NetsState nets(trainer.task().nets());
    load_state(nets, weights_);
  }
}

void KeepBest::on_fit_end(Trainer& trainer) {
  writer_->wait();
  if (restore_ == RestoreBest::never || !monitor_.has_best()) return;
  if (kept_step_ == trainer.position().step) return;
  NetsState nets(trainer.task().nets());
  load_state(nets, weights_);
  trainer.message("the weights are those of epoch " + std::to_string(monitor_.best_epoch()) + ", " + monitor_.name() +
                  " " + format_number(monitor_.best()));
}

void KeepBest::state(State& state) {
  state.child("monitor", monitor_);
  state.value("kept_step", kept_step_);
  // Copies, because the next best is written over the tensors that are here.
  const auto copy = [](const at::Tensor& tensor) { return tensor.clone(); };
  Tree weights = state.saving() ? weights_.map(copy) : Tree();
  state.value("weights", weights);
  if (!state.loading()) return;
  writer_->wait();
  weights_ = weights.map(copy);
}

}  // namespace athanor
