// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/layer_statistics.hpp"

#include <algorithm>

#include "athanor/callbacks/layer_collector.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

Tree report_to_tree(const ParameterReport& report) {
  Tree::Dictionary entries{{"name", report.name}};
  if (report.weights) entries.emplace_back("weights", report.weights->to_tree());
  if (report.gradients) entries.emplace_back("gradients", report.gradients->to_tree());
  if (report.update_ratio) entries.emplace_back("update_ratio", *report.update_ratio);
  return Tree(std::move(entries));
}

ParameterReport parameter_report_of(const Tree& tree) {
  ParameterReport report{.name = tree["name"].text()};
  if (const Tree* weights = tree.find("weights")) report.weights = TensorStatistics::from_tree(*weights);
  if (const Tree* gradients = tree.find("gradients")) report.gradients = TensorStatistics::from_tree(*gradients);
  if (const Tree* ratio = tree.find("update_ratio")) report.update_ratio = ratio->real();
  return report;
}

Tree report_to_tree(const ActivationReport& report) {
  return {{"name", report.name}, {"values", report.values.to_tree()}, {"units", report.units},
          {"dead", report.dead}, {"saturated", report.saturated},     {"sure", report.sure}};
}

ActivationReport activation_report_of(const Tree& tree) {
  return {.name = tree["name"].text(),
          .values = TensorStatistics::from_tree(tree["values"]),
          .units = tree["units"].integer(),
          .dead = tree["dead"].integer(),
          .saturated = tree["saturated"].integer(),
          .sure = tree["sure"].boolean()};
}

Tree report_to_tree(const LayerReport& report) {
  Tree::List parameters, activations;
  for (const ParameterReport& each : report.parameters) parameters.push_back(report_to_tree(each));
  for (const ActivationReport& each : report.activations) activations.push_back(report_to_tree(each));
  return {{"name", report.name},
          {"type", report.type},
          {"parameters", Tree::list(std::move(parameters))},
          {"activations", Tree::list(std::move(activations))}};
}

LayerReport layer_report_of(const Tree& tree) {
  LayerReport report{.name = tree["name"].text(), .type = tree["type"].text()};
  for (const Tree& each : tree["parameters"].items()) report.parameters.push_back(parameter_report_of(each));
  for (const Tree& each : tree["activations"].items()) report.activations.push_back(activation_report_of(each));
  return report;
}

Tree report_to_tree(const LayerSnapshot& snapshot) {
  Tree::List layers;
  for (const LayerReport& each : snapshot.layers) layers.push_back(report_to_tree(each));
  return {{"step", snapshot.step},
          {"epoch", snapshot.epoch},
          {"gradient_norm", snapshot.gradient_norm},
          {"update_ratio", snapshot.update_ratio},
          {"dead_units", snapshot.dead_units},
          {"layers", Tree::list(std::move(layers))}};
}

LayerSnapshot snapshot_of(const Tree& tree) {
  LayerSnapshot snapshot{.step = tree["step"].integer(),
                         .epoch = tree["epoch"].integer(),
                         .gradient_norm = tree["gradient_norm"].real(),
                         .update_ratio = tree["update_ratio"].real(),
                         .dead_units = tree["dead_units"].real()};
  for (const Tree& each : tree["layers"].items()) snapshot.layers.push_back(layer_report_of(each));
  return snapshot;
}

const Parameters& parameters_of_optimizer(Trainer& trainer, std::string_view optimizer) {
  Optimizers& optimizers = trainer.optimizers();
  for (NamedOptimizer& named : optimizers) {
    if (named.name == optimizer) return named.optimizer->parameters();
  }
  return optimizers.front().optimizer->parameters();
}

}  // namespace

const LayerReport& LayerSnapshot::operator[](std::string_view layer) const {
  std::vector<std::string> names;
  for (const LayerReport& each : layers) {
    if (each.name == layer) return each;
    names.push_back(each.name);
  }
  throw Error({.what = "there is no layer of this name in the statistics",
               .where = "step " + std::to_string(step),
               .got = std::string(layer),
               .expected = "one of " + join(names, ", ")});
}

LayerStatistics::LayerStatistics(LayerStatisticsOptions options) : options_(std::move(options)) {
  const bool counted =
      options_.every.unit() == Duration::Unit::steps || options_.every.unit() == Duration::Unit::epochs;
  if (!counted || !(options_.every.count() > 0)) {
    throw Error({.what = "the interval of the statistics can't be used",
                 .where = "LayerStatisticsOptions::every",
                 .got = options_.every.describe(),
                 .expected = "a number of steps or epochs, more than 0",
                 .todo = "write 100_steps or 1_epochs"});
  }
  if (!(options_.saturation > 0 && options_.saturation <= 1)) {
    throw Error({.what = "the share from which on a unit is saturated is out of range",
                 .where = "LayerStatisticsOptions::saturation",
                 .got = shortest(options_.saturation),
                 .expected = "above 0 and at most 1"});
  }
  if (options_.keep < 1) {
    throw Error({.what = "the statistics keep nothing",
                 .where = "LayerStatisticsOptions::keep",
                 .got = std::to_string(options_.keep),
                 .expected = "1 or more"});
  }
}

LayerStatistics::~LayerStatistics() = default;
LayerStatistics::LayerStatistics(LayerStatistics&&) noexcept = default;
LayerStatistics& LayerStatistics::operator=(LayerStatistics&&) noexcept = default;

const LayerSnapshot& LayerStatistics::last() const {
  if (history_.empty()) {
    throw Error({.what = "there are no layer statistics yet",
                 .expected = "an update at the interval of " + options_.every.describe(),
                 .todo = "train longer, or make the interval shorter"});
  }
  return history_.back();
}

bool LayerStatistics::is_due(const Trainer& trainer) const {
  const Position& now = trainer.position();
  if (options_.every.unit() == Duration::Unit::steps) {
    return (now.step + 1) % static_cast<int64_t>(options_.every.count()) == 0;
  }
  Position after = now;
  after.batch = std::min(now.batch + trainer.options().accumulate.at(now.epoch), now.batches);
  return options_.every.passed(now.elapsed(), after.elapsed());
}

void LayerStatistics::on_fit_begin(Trainer& trainer) {
  collector_ = std::make_unique<Collector>(trainer.task().nets(), options_);
  collecting_ = -1;
}

void LayerStatistics::on_train_batch_begin(Trainer& trainer) {
  if (!is_due(trainer)) {
    collecting_ = -1;
    return;
  }
  if (collecting_ == trainer.position().step) return;  // a further micro-batch
  collecting_ = trainer.position().step;
  collector_->begin();
}

void LayerStatistics::on_forward_begin(Trainer& trainer, MomentInfo& info) {
  if (collecting_ >= 0) collector_->begin_forward(trainer, info.batch, info.optimizer);
}

void LayerStatistics::on_forward_end(Trainer&) {
  if (collecting_ >= 0) collector_->end_forward();
}

void LayerStatistics::on_backward_end(Trainer&) {
  if (collecting_ >= 0) collector_->end_backward();
}

void LayerStatistics::on_optimizer_begin(Trainer& trainer, MomentInfo& info) {
  if (collecting_ >= 0) collector_->before_step(parameters_of_optimizer(trainer, info.optimizer));
}

void LayerStatistics::on_optimizer_end(Trainer& trainer, MomentInfo& info) {
  if (collecting_ >= 0) collector_->after_step(parameters_of_optimizer(trainer, info.optimizer));
}

void LayerStatistics::on_train_batch_end(Trainer& trainer) {
  if (collecting_ < 0) return;
  collecting_ = -1;
  if (history_.size() >= static_cast<size_t>(options_.keep)) history_.erase(history_.begin());
  LayerSnapshot& snapshot = history_.emplace_back(collector_->finish());
  snapshot.step = trainer.position().step;
  snapshot.epoch = trainer.position().epoch;
  if (options_.log) {
    const LogOptions shown{.per_step = true, .bar = false};
    if (options_.weights) trainer.log("update_ratio", snapshot.update_ratio, shown);
    if (options_.activations) trainer.log("dead_units", snapshot.dead_units, shown);
  }
  if (options_.histograms) {
    for (const LayerReport& layer : snapshot.layers) {
      for (const ParameterReport& each : layer.parameters) {
        if (each.weights) trainer.record("weights/" + each.name, to_histogram(*each.weights));
        if (each.gradients) trainer.record("gradients/" + each.name, to_histogram(*each.gradients));
      }
      for (const ActivationReport& each : layer.activations) {
        trainer.record("activations/" + each.name, to_histogram(each.values));
      }
    }
  }
  if (!options_.log_layers) return;
  const LogOptions of_step{.per_epoch = false, .per_step = true, .bar = false};
  for (const LayerReport& layer : snapshot.layers) {
    for (const ParameterReport& each : layer.parameters) {
      if (each.gradients) trainer.log("gradient_norm." + each.name, each.gradients->norm, of_step);
      if (each.update_ratio) trainer.log("update_ratio." + each.name, *each.update_ratio, of_step);
    }
    for (const ActivationReport& each : layer.activations) {
      trainer.log("dead_units." + each.name, static_cast<double>(each.dead + each.saturated), of_step);
    }
  }
}

void LayerStatistics::on_exception(Trainer&) {
  if (collector_ != nullptr) collector_->abandon();
  collecting_ = -1;
}

void LayerStatistics::state(State& state) {
  Tree::List list;
  if (!state.loading()) {
    for (const LayerSnapshot& each : history_) list.push_back(report_to_tree(each));
  }
  Tree tree = Tree::list(std::move(list));
  state.value("history", tree);
  if (!state.loading()) return;
  history_.clear();
  for (const Tree& each : tree.items()) history_.push_back(snapshot_of(each));
}

}  // namespace athanor
