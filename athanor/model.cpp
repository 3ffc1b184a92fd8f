// SPDX-License-Identifier: Apache-2.0
#include "athanor/model.hpp"

#include <torch/torch.h>

#include <algorithm>

#include "athanor/callbacks/early_stopping.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/optim/adam.hpp"
#include "athanor/train/explain.hpp"
#include "athanor/train/weights.hpp"

namespace athanor {

class ModelTask final : public Task {
 public:
  ModelTask(Net net, ModelOptions options) : net_(std::move(net)), options_(std::move(options)) {
    register_net("net", net_.module());
    const auto& own = options_.loss.module();
    if (own != nullptr && !own->parameters().empty()) register_net("loss", own);
  }

  StepOutput training_step(const Batch& batch, StepContext& context) override {
    Tree predictions = net_.forward(batch.input);
    if (!options_.loss.defined() || context.stage() == Stage::predict) return {at::Tensor(), std::move(predictions)};
    try {
      const bool weighted = batch.weight || (class_weight_.defined() && context.stage() == Stage::train);
      at::Tensor loss = weighted ? options_.loss.weighted(predictions, batch.target,
                                                          batch.weight ? *batch.weight : at::Tensor(), class_weight_)
                                 : options_.loss(predictions, batch.target);
      return {std::move(loss), std::move(predictions)};
    } catch (const c10::Error&) {
      check_batch_target(batch, predictions);
      throw;
    }
  }

  StepOutput rehearsal_step(const Batch& batch, StepContext& context) override { return training_step(batch, context); }

  void check_data(const Dataset& data, const StepOutput& example) override {
    const Tree* target = data.whole_target();
    if (target == nullptr || !options_.loss.target_is_class_index()) return;
    if (const auto classes = count_classes(example.predictions); classes && target->is_tensor()) {
      check_labels(target->tensor(), *classes, {});
    }
  }

  Optimizers configure_optimizers() override {
    ParameterGroups groups = options_.groups.empty() ? parameters() : parameters(options_.groups);
    const optim::Recipe recipe = options_.optimizer.defined() ? options_.optimizer : optim::Recipe(optim::Adam());
    return {
        NamedOptimizer{.name = "optimizer", .optimizer = recipe.on(std::move(groups)), .schedule = options_.schedule}};
  }
  Metrics configure_metrics(Stage) override { return options_.metrics; }

  void set_class_weight(const std::vector<double>& weight) {
    class_weight_ = weight.empty() ? at::Tensor() : torch::tensor(weight, torch::kDouble);
  }

  [[nodiscard]] const ModelOptions& options() const noexcept { return options_; }

 private:
  static std::optional<int64_t> count_classes(const Tree& predictions) {
    const at::Tensor logits = predictions.first_tensor();
    if (!logits.defined() || logits.dim() < 2) return std::nullopt;
    return logits.size(1);
  }

  /// Why the loss may have failed.
  void check_batch_target(const Batch& batch, const Tree& predictions) const {
    if (batch.target.empty()) {
      throw Error(
          {.what = "the loss failed, and the data have no target",
           .todo = "give inputs and targets, as in fit({images, labels}); or a loss that takes predictions only"});
    }
    if (!options_.loss.target_is_class_index() || !batch.target.is_tensor()) return;
    const at::Tensor& target = batch.target.tensor();
    if (target.scalar_type() != at::kLong && target.sizes() != predictions.first_tensor().sizes()) {
      throw Error({.what = "class numbers have the wrong dtype",
                   .got = batch.target.describe(),
                   .expected = "int64",
                   .todo = "convert them with target.to(torch::kInt64)"});
    }
    if (const auto classes = count_classes(predictions)) check_labels(target, *classes, batch.indices);
  }

  Net net_;
  ModelOptions options_;
  at::Tensor class_weight_;
};

namespace {

void check(const FitOptions& options) {
  if (options.epochs < 1) {
    throw Error({.what = "fit needs at least one epoch",
                 .where = "FitOptions::epochs",
                 .got = std::to_string(options.epochs),
                 .expected = "1 or more",
                 .todo = "to see the values without training, call evaluate()"});
  }
  if (options.validation.defined() && options.validation_split != 0) {
    throw Error({.what = "validation data and a validation split are both given",
                 .where = "FitOptions",
                 .expected = "one of validation and validation_split"});
  }
}

}  // namespace

struct Model::Implementation {
  Implementation(Net net, ModelOptions options) : task(std::move(net), std::move(options)) {}

  TrainerOptions trainer_options(const FitOptions& options);
  void set_pass_options(const EvaluateOptions& options);
  std::shared_ptr<KeepBest> keep_best(const MonitorOptions& monitor, RestoreBest restore);

  ModelTask task;
  Trainer trainer;
  std::vector<std::pair<MonitorOptions, std::shared_ptr<KeepBest>>> best;
};

/// A later call with the same monitor goes on with the best of the earlier ones.
std::shared_ptr<KeepBest> Model::Implementation::keep_best(const MonitorOptions& monitor, RestoreBest restore) {
  auto found = std::find_if(best.begin(), best.end(), [&](const auto& entry) { return entry.first == monitor; });
  if (found == best.end()) {
    found = best.insert(best.end(), {monitor, std::make_shared<KeepBest>(KeepBestOptions{.monitor = monitor})});
  }
  found->second->set_restore(restore);
  return found->second;
}

TrainerOptions Model::Implementation::trainer_options(const FitOptions& options) {
  const MonitorOptions monitor{.monitor = options.monitor, .mode = options.mode, .min_change = options.min_change};
  TrainerOptions result = options.trainer;
  result.max_duration = Duration::epochs(static_cast<double>(options.epochs));
  result.batch_size = options.batch_size;
  result.shuffle = options.shuffle;
  result.seed = options.seed;
  if (options.train_batches) result.train_batches = options.train_batches;
  if (options.validation_batches) result.validation_batches = options.validation_batches;
  result.callbacks.insert(result.callbacks.begin(), keep_best(monitor, options.restore_best));
  if (options.patience) {
    result.callbacks.emplace_back(EarlyStopping({.monitor = monitor, .patience = *options.patience}));
  }
  result.callbacks.insert(result.callbacks.end(), options.callbacks.begin(), options.callbacks.end());
  result.run = options.run;
  result.resume = options.resume;
  result.verbosity = options.verbosity;
  result.digits = options.digits;
  result.stream = options.stream;
  result.track = options.track;
  const optim::Recipe& optimizer = task.options().optimizer;
  result.header = {{"optimizer", optimizer.defined() ? optimizer.describe() : optim::Adam().describe() + " by default"},
                   {"epochs", std::to_string(options.epochs)},
                   {"batch size", std::to_string(options.batch_size)}};
  result.device = options.device;
  result.workers = options.workers;
  result.host = options.host;
  if (options.profile) result.profile = options.profile;
  if (options.threads) result.host.threads = options.threads;
  return result;
}

void Model::Implementation::set_pass_options(const EvaluateOptions& options) {
  TrainerOptions changed = trainer.options();
  changed.batch_size = options.batch_size;
  changed.verbosity = options.verbosity;
  trainer.set_options(std::move(changed));
}

Model::Model(Net net, ModelOptions options)
    : implementation_(std::make_unique<Implementation>(std::move(net), std::move(options))) {}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;

History Model::fit(Data train, FitOptions options) {
  check(options);
  if (!implementation_->task.options().loss.defined()) {
    throw Error({.what = "a model without a loss can't be trained",
                 .where = "ModelOptions::loss",
                 .todo = "give it one, such as .loss = athanor::loss::cross_entropy"});
  }
  Data validation = options.validation;
  if (options.validation_split != 0) std::tie(train, validation) = train.split(options.validation_split);
  implementation_->task.set_class_weight(options.class_weight);
  implementation_->trainer.set_options(implementation_->trainer_options(options));
  return implementation_->trainer.fit(implementation_->task, std::move(train), std::move(validation));
}

Values Model::evaluate(const Data& data, EvaluateOptions options) {
  implementation_->set_pass_options(options);
  return implementation_->trainer.evaluate(implementation_->task, data);
}

Tree Model::predict(const Data& data, EvaluateOptions options) {
  implementation_->set_pass_options(options);
  return implementation_->trainer.predict(implementation_->task, data).all();
}

void Model::save_weights(const std::filesystem::path& path) const {
  athanor::save_weights(implementation_->task.nets(), path);
}

WeightsReport Model::load_weights(const std::filesystem::path& path, LoadOptions options) {
  return athanor::load_weights(implementation_->task.nets(), path, options);
}

InitialiseReport Model::initialise_from(const std::filesystem::path& source, const InitialiseOptions& options) {
  return athanor::initialise_from(implementation_->task.nets(), source, options);
}

const std::optional<std::filesystem::path>& Model::run_folder() const noexcept {
  return implementation_->trainer.folder();
}

Task& Model::task() noexcept { return implementation_->task; }

}  // namespace athanor
