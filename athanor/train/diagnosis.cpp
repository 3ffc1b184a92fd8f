// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/diagnosis.hpp"

#include <torch/torch.h>

#include <algorithm>
#include <ostream>

#include "athanor/core/error.hpp"
#include "athanor/core/random.hpp"
#include "athanor/core/text.hpp"
#include "athanor/train/loop.hpp"
#include "athanor/train/optimizers_check.hpp"
#include "athanor/train/run_place.hpp"
#include "athanor/train/update.hpp"

namespace athanor {
namespace {

std::string some_of(std::vector<std::string> names) {
  constexpr size_t shown = 6;
  const bool more = names.size() > shown;
  if (more) names.resize(shown);
  return join(names, ", ") + (more ? ", …" : "");
}

std::string one_line(const Error& error) {
  std::string text = error.what();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

bool Diagnosis::good() const noexcept {
  return std::none_of(findings_.begin(), findings_.end(),
                      [](const Finding& finding) { return finding.level == Level::fault; });
}

std::string Diagnosis::text() const {
  size_t width = 0;
  for (const Finding& finding : findings_) width = std::max(width, finding.subject.size());
  std::string text;
  for (const Finding& finding : findings_) {
    const char* mark = finding.level == Level::good ? "good " : finding.level == Level::note ? "note " : "FAULT";
    text += std::string(mark) + "  " + finding.subject + std::string(width - finding.subject.size(), ' ') + "  " +
            finding.text + "\n";
  }
  return text;
}

std::ostream& operator<<(std::ostream& stream, const Diagnosis& diagnosis) { return stream << diagnosis.text(); }

void Diagnosis::add(Level level, std::string subject, std::string text) {
  findings_.push_back({level, std::move(subject), std::move(text)});
}

template <class Action>
void Diagnosis::attempt(const std::string& subject, const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    add(Level::fault, subject, one_line(error));
  } catch (const c10::Error& error) {
    const std::string reason = error.what_without_backtrace();
    add(Level::fault, subject, reason.substr(0, reason.find('\n')));
  } catch (const std::exception& error) {
    add(Level::fault, subject, error.what());
  }
}

void Diagnosis::run(Trainer& trainer, Task& task, const Feeds& feeds) {
  attempt("task", [&] { trainer.attach(task); });
  if (!good()) return;
  const Tree before = trainer.save_state();
  const bool was_done = trainer.call_done_;
  look_at_nets(trainer, task);
  look_at_data(trainer, feeds.train, Stage::train, "train");
  attempt("validation", [&] { check_names(feeds.validation); });
  for (const Feed& feed : feeds.validation)
    look_at_data(trainer, feed, Stage::validation, name_of(feed.data, Stage::validation));
  if (good()) look_at_gradients(trainer, task, feeds.train);
  if (good()) {
    attempt("the first moment of fit", [&] {
      const TrainerOptions options = trainer.options_;
      trainer.options_.run.reset();
      trainer.options_.verbosity = Verbosity::silent;
      trainer.options_.track.clear();
      trainer.options_.validate_first = false;
      struct PutBack {
        TrainerOptions& place;
        const TrainerOptions& value;
        ~PutBack() { place = value; }
      } put_back{trainer.options_, options};
      const Loop loop(trainer, task, feeds);
      std::vector<std::string> names;
      for (const auto& [name, direction] : trainer.value_names()) names.push_back(name);
      add(Level::good, "values", join(names, ", "));
      for (const std::string& text : trainer.update_->compare_schedules()) add(Level::note, "schedules", text);
    });
  }
  athanor::load_state(trainer, before);
  trainer.call_done_ = was_done;
}

void Diagnosis::look_at_nets(Trainer& trainer, Task& task) {
  std::vector<std::string> elsewhere, bad;
  for (const auto& [name, tensor] : named_tensors(task.nets())) {
    if (tensor.device() != trainer.device()) elsewhere.push_back(name);
    if (tensor.is_floating_point() && !tensor.isfinite().all().item<bool>()) bad.push_back(name);
  }
  add(Level::good, "nets",
      std::to_string(count_parameters(task.nets())) + " trainable numbers on " + trainer.device().str());
  if (!elsewhere.empty()) add(Level::fault, "nets", "not on " + trainer.device().str() + ": " + some_of(elsewhere));
  if (!bad.empty()) add(Level::fault, "nets", "NaN or infinity in " + some_of(bad));
  if (const std::string left = describe_untrained(task, trainer.optimizers()); !left.empty()) {
    add(Level::note, "optimizers", left);
  }
}

void Diagnosis::look_at_data(Trainer& trainer, const Feed& feed, Stage stage, const std::string& name) {
  attempt("data " + name, [&] {
    const Loader loader = trainer.loader_of(feed.data, stage);
    Pass pass = loader.epoch(1, 0, std::min<int64_t>(2, loader.batches()), trainer.options().seed);
    std::string seen;
    while (const Batch* batch = pass.next()) {
      if (seen.empty()) seen = "input " + batch->input.describe() + ", target " + batch->target.describe();
      for (const at::Tensor& tensor : batch->input.tensors()) {
        if (!tensor.is_floating_point() || tensor.isfinite().all().item<bool>()) continue;
        add(Level::fault, "data " + name, "NaN or infinity in the input of the first batches");
        return;
      }
    }
    add(Level::good, "data " + name,
        std::to_string(loader.samples()) + " samples in " + std::to_string(loader.batches()) + " batches; " + seen);
  });
}

/// One backward pass of the first batch, after which everything is put back.
void Diagnosis::look_at_gradients(Trainer& trainer, Task& task, const Feed& train) {
  attempt("gradients", [&] {
    const Loader loader = trainer.loader_of(train.data, Stage::train);
    Pass pass = loader.epoch(1, 0, 1, trainer.options().seed);
    const Batch batch = trainer.prepare(*pass.next());
    begin_training(task.nets());
    seed_libtorch(trainer.options().seed);
    std::vector<std::string> none, zero, bad;
    if (task.manual_optimization()) {
      add(Level::note, "gradients", "the task optimizes by itself: not looked at");
      return;
    }
    for (const NamedOptimizer& named : trainer.optimizers()) {
      named.optimizer->zero_grad();
      trainer.update_->gradients_only(batch, named.name);
      for (const Parameter& parameter : named.optimizer->parameters()) {
        const at::Tensor& gradient = parameter.tensor.grad();
        if (!gradient.defined()) {
          none.push_back(parameter.name);
        } else if (!gradient.isfinite().all().item<bool>()) {
          bad.push_back(parameter.name);
        } else if (gradient.count_nonzero().item<int64_t>() == 0) {
          zero.push_back(parameter.name);
        }
      }
      named.optimizer->zero_grad();
    }
    if (!none.empty()) add(Level::fault, "gradients", "none reaches " + some_of(none));
    if (!bad.empty()) add(Level::fault, "gradients", "not finite in " + some_of(bad));
    if (!zero.empty()) add(Level::note, "gradients", "all zero in " + some_of(zero));
    if (none.empty() && bad.empty() && zero.empty()) add(Level::good, "gradients", "reach every parameter");
  });
}

Diagnosis Trainer::diagnose(Task& task, Feeds feeds) {
  Diagnosis diagnosis;
  diagnosis.run(*this, task, feeds);
  return diagnosis;
}

}  // namespace athanor
