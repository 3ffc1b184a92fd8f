// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/lr_finder.hpp"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "athanor/callbacks/trial.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/train/feed.hpp"

namespace athanor {
namespace {

void check_finder(const LrFinderOptions& options) {
  const auto require = [](bool ok, const char* option, double value, const char* expected) {
    if (ok) return;
    throw Error({.what = "an option of the learning-rate finder is out of range",
                 .where = std::string("LrFinderOptions::") + option,
                 .got = format_number(value),
                 .expected = expected});
  };
  require(options.lowest > 0, "lowest", options.lowest, "above 0");
  require(options.highest > options.lowest, "highest", options.highest, "above lowest");
  require(options.steps >= 3, "steps", static_cast<double>(options.steps), "3 or more");
  require(options.smoothing >= 0 && options.smoothing < 1, "smoothing", options.smoothing, "from 0 to below 1");
  require(!options.give_up_above || *options.give_up_above > 1, "give_up_above", options.give_up_above.value_or(2),
          "above 1");
}

class Sweep {
 public:
  Sweep(const LrFinderOptions& options, LrCurve& curve) : options_(options), curve_(curve) {}

  void on_fit_begin(Trainer& trainer) {
    std::vector<std::string> names;
    for (NamedOptimizer& named : trainer.optimizers()) {
      if (named.schedule) named.schedule->end(*named.optimizer);
      named.schedule.reset();
      names.push_back(named.name);
      if (named.name == options_.optimizer || (options_.optimizer.empty() && trainer.optimizers().size() == 1))
        swept_ = named.optimizer.get();
    }
    if (swept_ == nullptr) {
      throw Error({.what = options_.optimizer.empty()
                               ? "there are several optimizers, and it is not said which is swept"
                               : "there is no optimizer of that name",
                   .where = "LrFinderOptions::optimizer",
                   .got = options_.optimizer,
                   .expected = "one of " + join(names, ", ")});
    }
    name_ = names.size() > 1 ? options_.optimizer : std::string();
    for (size_t group = 0; group < swept_->groups(); ++group) base_.push_back(swept_->lr(group));
    set_rate();
  }

  void on_train_batch_end(Trainer& trainer) {
    const at::Tensor loss = loss_of(trainer.last_update());
    if (!loss.defined()) return;  // not due in this step
    const double value = loss.item<double>();
    curve_.lrs.push_back(rate_);
    curve_.losses.push_back(value);
    if (!std::isfinite(value)) {
      if (curve_.losses.size() == 1) {
        throw Error({.what = "the loss is not finite before the learning rate was raised",
                     .where = "find_lr, step 1, learning rate " + format_number(rate_),
                     .got = format_number(value),
                     .todo = "look for the cause with Trainer::diagnose or TrainerOptions::detect_anomaly"});
      }
      trainer.request_stop("the loss is not finite");
      return;
    }
    mean_ = options_.smoothing * mean_ + (1 - options_.smoothing) * value;
    const auto count = static_cast<double>(curve_.losses.size());
    const double smoothed = mean_ / (1 - std::pow(options_.smoothing, count));
    curve_.smoothed.push_back(smoothed);
    if (options_.give_up_above && count > 1 && smoothed > *options_.give_up_above * best_) {
      trainer.request_stop("the loss grows");
    }
    best_ = count == 1 ? smoothed : std::min(best_, smoothed);
    if (static_cast<int64_t>(curve_.losses.size()) == options_.steps) trainer.request_stop("the sweep is over");
    set_rate();
  }

 private:
  [[nodiscard]] at::Tensor loss_of(const UpdateResult& result) const {
    if (name_.empty()) return result.loss;
    const auto found =
        std::find_if(result.losses.begin(), result.losses.end(), [&](const auto& each) { return each.first == name_; });
    return found == result.losses.end() ? at::Tensor() : found->second;
  }

  void set_rate() {
    const double progress = static_cast<double>(curve_.losses.size()) / static_cast<double>(options_.steps - 1);
    rate_ = options_.lowest * std::pow(options_.highest / options_.lowest, std::min(progress, 1.0));
    for (size_t group = 0; group < base_.size(); ++group) {
      swept_->set_lr(group, base_[0] > 0 ? rate_ * (base_[group] / base_[0]) : rate_);
    }
  }

  const LrFinderOptions& options_;
  LrCurve& curve_;
  Optimizer* swept_ = nullptr;
  std::string name_;
  std::vector<double> base_;
  double rate_ = 0;
  double mean_ = 0;
  double best_ = 0;
};

}  // namespace

std::optional<double> LrCurve::suggestion(size_t skip_begin, size_t skip_end) const {
  const size_t end = smoothed.size() > skip_end ? smoothed.size() - skip_end : 0;
  if (end < skip_begin + 3) return std::nullopt;
  std::optional<size_t> steepest;
  double least = 0;
  for (size_t i = skip_begin; i < end; ++i) {
    // As numpy.gradient: one-sided at the ends, else over both neighbours; the rates are equally far apart in
    // logarithm.
    const size_t low = i == skip_begin ? i : i - 1;
    const size_t high = i + 1 == end ? i : i + 1;
    const double slope = (smoothed[high] - smoothed[low]) / static_cast<double>(high - low);
    if (slope >= least) continue;
    least = slope;
    steepest = i;
  }
  if (!steepest) return std::nullopt;
  return lrs[*steepest];
}

LrCurve find_lr(const TrainerOptions& options, Task& task, Data train, const LrFinderOptions& finder) {
  check_finder(finder);
  LrCurve curve;
  TrainerOptions own = options;
  own.max_duration = Duration::samples(std::numeric_limits<int64_t>::max());  // the sweep ends it
  own.min_duration.reset();
  own.max_time.reset();
  own.fast_dev_run.reset();
  own.callbacks = {std::make_shared<Sweep>(finder, curve)};
  own.track.clear();
  own.verbosity = Verbosity::silent;
  own.run.reset();
  own.validate_first = false;
  own.non_finite.policy = NonFinite::ignore;
  const Trial trial(task);
  Trainer trainer(own);
  trainer.fit(task, Feeds{.train = Feed(std::move(train), {.metrics = Metrics{}})});
  return curve;
}

}  // namespace athanor
