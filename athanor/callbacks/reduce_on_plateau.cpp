// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/reduce_on_plateau.hpp"

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

Tree cloned(const Tree& tree) {
  return tree.map([](const at::Tensor& tensor) { return tensor.defined() ? tensor.clone() : tensor; });
}

}  // namespace

ReduceOnPlateau::ReduceOnPlateau(ReduceOnPlateauOptions options)
    : options_(std::move(options)), monitor_(options_.monitor), counter_(options_.patience, options_.cooldown) {
  const auto require = [](bool ok, const char* option, double value, const char* expected) {
    if (ok) return;
    throw Error({.what = "an option of a plateau is out of range",
                 .where = std::string("ReduceOnPlateauOptions::") + option,
                 .got = format_number(value),
                 .expected = expected});
  };
  require(options_.factor >= 0 && options_.factor < 1, "factor", options_.factor, "from 0 to below 1");
  require(options_.patience >= 0, "patience", static_cast<double>(options_.patience), "0 or more");
  require(options_.cooldown >= 0, "cooldown", static_cast<double>(options_.cooldown), "0 or more");
  require(options_.min_lr >= 0, "min_lr", options_.min_lr, "0 or more");
}

void ReduceOnPlateau::on_fit_begin(Trainer& trainer) {
  monitor_.bind(trainer);
  for (const NamedOptimizer& named : trainer.optimizers()) {
    if (!named.schedule || named.schedule->field() != OptimizerField::lr) continue;
    throw Error({.what = "a schedule and a plateau both want to set the learning rate",
                 .where = "optimizer " + named.name,
                 .got = named.schedule->describe(),
                 .todo = "leave one of them out"});
  }
}

void ReduceOnPlateau::on_check(Trainer& trainer) {
  const bool improved = monitor_.improved(trainer);
  if (!trainer.values().find(monitor_.name())) return;  // no validation this time
  if (improved) keep(trainer);
  const std::optional<int64_t> waited = counter_.count(improved);
  if (!waited) return;
  const std::string why =
      monitor_.name() + " has not improved for " + std::to_string(*waited) + (*waited == 1 ? " check" : " checks");
  std::vector<double> rates;
  for (const NamedOptimizer& named : trainer.optimizers()) {
    for (size_t group = 0; group < named.optimizer->groups(); ++group) rates.push_back(named.optimizer->lr(group));
  }
  const bool back = options_.rewind != Rewind::nothing && monitor_.has_best();
  if (back) go_back(trainer);
  size_t index = 0;
  bool smaller = false;
  for (const NamedOptimizer& named : trainer.optimizers()) {
    for (size_t group = 0; group < named.optimizer->groups(); ++group, ++index) {
      const double reduced = std::min(rates[index], std::max(rates[index] * options_.factor, options_.min_lr));
      smaller = smaller || reduced < rates[index];
      named.optimizer->set_lr(group, reduced);
    }
  }
  std::string text = why + ": ";
  text += smaller ? "the learning rate is " + shortest(trainer.optimizers().front().optimizer->lr()) + " now"
                  : "the learning rate is as small as it may be";
  if (back) text += ", the weights are those of epoch " + std::to_string(monitor_.best_epoch()) + " again";
  trainer.message(text);
}

void ReduceOnPlateau::keep(Trainer& trainer) {
  if (options_.rewind == Rewind::nothing) return;
  NetsState nets(trainer.task().nets());
  save_state(nets, weights_);
  if (options_.rewind != Rewind::weights_and_optimizer) return;
  optimizers_.items().resize(trainer.optimizers().size());
  for (size_t i = 0; i < optimizers_.items().size(); ++i)
    save_state(*trainer.optimizers()[i].optimizer, optimizers_.items()[i]);
}

void ReduceOnPlateau::go_back(Trainer& trainer) const {
  NetsState nets(trainer.task().nets());
  load_state(nets, weights_);
  for (size_t i = 0; i < optimizers_.items().size(); ++i)
    load_state(*trainer.optimizers()[i].optimizer, optimizers_.items()[i]);
}

void ReduceOnPlateau::state(State& state) {
  state.child("monitor", monitor_);
  counter_.state(state);
  // Copies, because the next best is written over the tensors that are here.
  Tree weights = state.saving() ? cloned(weights_) : Tree();
  Tree optimizers = state.saving() ? cloned(optimizers_) : Tree(Tree::List{});
  state.value("weights", weights);
  state.value("optimizers", optimizers);
  if (!state.loading()) return;
  weights_ = cloned(weights);
  optimizers_ = cloned(optimizers);
}

}  // namespace athanor
