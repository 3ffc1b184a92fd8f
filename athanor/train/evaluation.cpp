// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/evaluation.hpp"

#include <torch/types.h>

#include "athanor/core/random.hpp"
#include "athanor/data/concatenate.hpp"
#include "athanor/train/explain.hpp"
#include "athanor/train/update.hpp"

namespace athanor {
namespace {

struct MomentsOf {
  Moment begin, end, batch_begin, batch_end;
};
MomentsOf moments_of(Stage stage) {
  if (stage == Stage::predict) {
    return {Moment::predict_begin, Moment::predict_end, Moment::predict_batch_begin, Moment::predict_batch_end};
  }
  if (stage == Stage::test) {
    return {Moment::test_begin, Moment::test_end, Moment::test_batch_begin, Moment::test_batch_end};
  }
  return {Moment::validation_begin, Moment::validation_end, Moment::validation_batch_begin,
          Moment::validation_batch_end};
}

StepFunction step_of(Task& task, Stage stage) {
  switch (stage) {
    case Stage::predict:
      return [&task](const Batch& batch, StepContext& context) { return task.predict_step(batch, context); };
    case Stage::test:
      return [&task](const Batch& batch, StepContext& context) { return task.test_step(batch, context); };
    default:
      return [&task](const Batch& batch, StepContext& context) { return task.validation_step(batch, context); };
  }
}

int64_t limited(int64_t batches, const TrainerOptions& options, Stage stage) {
  const auto& limit = stage == Stage::predict ? options.predict_batches
                      : stage == Stage::test  ? options.test_batches
                                              : options.validation_batches;
  return limit ? limit->of(batches) : batches;
}

}  // namespace

Evaluation::Evaluation(Trainer& trainer, const Feed& feed, Stage stage, std::string name, Meter* meter,
                       Listeners listeners)
    : trainer_(trainer),
      feed_(feed),
      stage_(stage),
      name_(std::move(name)),
      meter_(meter != nullptr ? *meter : unmeasured_),
      listeners_(std::move(listeners)),
      eval_(trainer.task().nets()),
      loader_(trainer.loader_of(feed.data, stage)),
      batches_(limited(loader_.batches(), trainer.options_, stage)),
      epoch_(stage == Stage::validation ? trainer.position_.epoch : 0),
      step_(feed.options.step ? feed.options.step : step_of(trainer.task(), stage)),
      begun_(std::chrono::steady_clock::now()) {
  meter_.reset();
  if (stage_ != Stage::validation) trainer_.samples_[static_cast<size_t>(stage_)] = loader_.samples();
  for (const auto& listener : listeners_) {
    listener->on_stage_begin({.stage = stage_, .epoch = epoch_, .epochs = trainer_.epochs(), .batches = batches_});
  }
  tell(moments_of(stage_).begin, nullptr, nullptr, nullptr);
  trainer_.task().begin_stage(StageContext(stage_, epoch_, name_, &meter_, {}));
  pass_.emplace(loader_.epoch(epoch_, 0, batches_, trainer_.options_.seed));
}

Evaluation::~Evaluation() = default;

const StepOutput* Evaluation::next() {
  torch::NoGradGuard no_grad;
  const Batch* fetched = pass_->next();
  if (fetched == nullptr) {
    if (!std::exchange(finished_, true)) finish();
    return nullptr;
  }
  seed_libtorch(mix({trainer_.options_.seed, static_cast<uint64_t>(stage_), static_cast<uint64_t>(done_)}));
  Batch batch = trainer_.prepare(*fetched);
  StepContext context(stage_, epoch_, trainer_.position_.step, done_);
  context.loader_ = name_;
  context.kept_ = &kept_;
  tell(moments_of(stage_).batch_begin, &batch, &context, nullptr);
  {
    const AutocastGuard autocast(trainer_.options_.precision, trainer_.device_.type());
    output_ = step(batch, context, meter_, feed_.options.loss, step_);
  }
  tell(moments_of(stage_).batch_end, &batch, &context, &output_);
  done_ += 1;
  if (ticker_.due()) report(done_);
  return &output_;
}

void Evaluation::finish() {
  trainer_.task().end_stage(StageContext(stage_, epoch_, name_, &meter_, kept_));
  tell(moments_of(stage_).end, nullptr, nullptr, nullptr);
  report(batches_);
}

void Evaluation::report(int64_t done) {
  const events::Progress progress{.stage = stage_,
                                  .epoch = epoch_,
                                  .epochs = trainer_.epochs(),
                                  .batch = done,
                                  .batches = batches_,
                                  .seconds = seconds_since(begun_),
                                  .values = stage_ == Stage::predict ? Values() : meter_.bar_values()};
  for (const auto& listener : listeners_) listener->on_progress(progress);
}

void Evaluation::tell(Moment moment, Batch* batch, StepContext* context, StepOutput* output) {
  if (!trainer_.moments_.watched(moment)) return;
  MomentInfo info{.stage = stage_, .loader = name_, .batch = batch, .context = context, .output = output};
  trainer_.moments_.tell(moment, trainer_, info);
}

StepOutput Evaluation::step(const Batch& batch, StepContext& context, Meter& meter, bool with_loss,
                            const StepFunction& step) {
  StepRecord record;
  record.begin(static_cast<double>(batch.samples));
  context.record_ = &record;
  try {
    StepOutput output = step(batch, context);
    context.record_ = nullptr;
    if (!with_loss) {
      output.loss.reset();
      output.losses.clear();
    }
    if (const at::Tensor total = output.total(); total.defined()) check_loss(total, /*trained=*/false);
    if (context.stage() != Stage::predict) record.commit(meter, output, batch, "loss", true);
    return output;
  } catch (...) {
    explain_step_failure(batch, context);
  }
}

PredictionStream::PredictionStream(std::unique_ptr<Evaluation> evaluation) : evaluation_(std::move(evaluation)) {}
PredictionStream::~PredictionStream() = default;
PredictionStream::PredictionStream(PredictionStream&&) noexcept = default;

const Tree* PredictionStream::next() {
  const StepOutput* output = evaluation_->next();
  if (output == nullptr) return nullptr;
  current_ = output->predictions.to(at::kCPU);
  return &current_;
}

Tree PredictionStream::all() {
  std::vector<Tree> parts;
  while (const Tree* part = next()) parts.push_back(*part);
  return concatenate(parts);
}

}  // namespace athanor
