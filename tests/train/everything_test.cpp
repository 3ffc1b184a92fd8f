// SPDX-License-Identifier: Apache-2.0
// Every feature of the engine at once, saved in memory at any update, goes on from the copy to the same bits.
#include <map>

#include "athanor/callbacks/early_stopping.hpp"
#include "athanor/callbacks/keep_best.hpp"
#include "athanor/data/combine.hpp"
#include "athanor/metrics/accumulate.hpp"
#include "athanor/metrics/reductions.hpp"
#include "athanor/optim/schedules.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::everything_test {
namespace {

using namespace athanor::literals;

/// Two optimizers with schedules and clipping, dropout and BatchNorm, a teacher, several losses, scores, accumulators,
/// a state of its own, and a batch now and then that is not finite.
class Everything : public Task {
 public:
  explicit Everything(uint64_t seed) {
    body = register_net("body", std::make_shared<Small>(seed));
    torch::manual_seed(seed + 1);
    head = register_net("head", torch::nn::Linear(3, 3));
    teacher = register_frozen_net("teacher", std::make_shared<Small>(4));
  }
  StepOutput training_step(const Batch& batch, StepContext& context) override {
    const torch::Tensor logits = head(body->forward(batch.input.tensor()));
    if (context.stage() == Stage::train) seen += batch.samples;
    const torch::Tensor taught = teacher->forward(batch.input.tensor()).softmax(1);
    torch::Tensor loss = torch::cross_entropy_loss(logits.to(torch::kFloat), batch.target.tensor());
    if (context.stage() == Stage::train && context.batch() == 4) loss = loss * std::numeric_limits<float>::infinity();
    StepOutput output = StepOutput::of(
        {{"truth", loss}, {"taught", torch::cross_entropy_loss(logits.to(torch::kFloat), taught), 0.3}}, Tree(logits));
    output.scores = {{"confidence", logits.softmax(1).amax(1).mean()}};
    output.accumulators = {{"most", Maximum(logits.detach().max())}};
    context.log("seen", static_cast<double>(seen), {.reduce = Reduce::last});
    context.log("noise", torch::rand({}), {.reduce = Reduce::sum});
    return output;
  }
  Optimizers configure_optimizers() override {
    return {
        {.name = "body",
         .optimizer = optim::AdamW({.lr = 0.02}).on(group_parameters(parameters_of(body), {{"*.bias", {.lr = 0.01}}})),
         .schedule = schedules::sequence({schedules::linear_warmup(5_steps), schedules::cosine()}),
         .clip = Clip{.norm = 0.5}},
        {.name = "head",
         .optimizer = optim::SGD({.lr = 0.1, .momentum = 0.9}).on(head),
         .every = 2,
         .schedule = schedules::step(1_epochs, 0.5)}};
  }
  Metrics configure_metrics(Stage) override {
    return {metrics::accuracy(),
            Metric("spread", accumulate::keep_all([](const at::Tensor& predictions, const at::Tensor&) {
                     return (predictions.max() - predictions.min()).item<double>();
                   }))
                .lower_is_better()};
  }
  void state(State& state) override { state.value("seen", seen); }

  std::shared_ptr<Small> body, teacher;
  torch::nn::Linear head = nullptr;
  int64_t seen = 0;
};

struct Counter {
  static constexpr bool several = true;
  int64_t calls = 0;
  void on_step_end(Trainer&) { ++calls; }
  void state(State& state) { state.value("calls", calls); }
};

Feeds feeds(int workers) {
  const LoaderOptions options{.batch_size = 4, .shuffle = true, .workers = workers};
  const Loader both = combine({{"a", Loader(Dataset(Tree(clouds(18, 1).input), Tree(clouds(18, 1).target)), options)},
                               {"b", Loader(Dataset(Tree(clouds(10, 2).input), Tree(clouds(10, 2).target)), options)}},
                              {.how = Combine::alternate});
  return {.train = Data(both),
          .validation = {data_of(clouds(9, 3)).named("clean"), Feed(data_of(clouds(6, 4)).named("other"))}};
}

struct Variant {
  const char* name;
  NonFinite policy;
  Precision precision;
  int workers;
};

TrainerOptions options_of(const Variant& variant, std::map<int64_t, Tree>* saved) {
  TrainerOptions options = quiet(3_epochs);
  options.accumulate = {{1, 1}, {2, 2}};
  options.clip = Clip{.value = 0.5};
  options.penalties = {{.pattern = "*weight", .l1 = 1e-4, .l2 = 1e-3}};
  options.precision = variant.precision;
  options.non_finite = {.policy = variant.policy, .at_most = 100, .keep_every = 2_steps};
  options.validate_every = Duration::epochs(0.5);
  options.validate_first = true;
  options.pool_validation = true;
  options.seed = 11;
  options.callbacks = {KeepBest({.monitor = {.monitor = "val_loss"}}),
                       EarlyStopping({.monitor = {.monitor = "clean_spread"}, .patience = 50}), Counter{},
                       Hooks{.step_end = [saved](Trainer& trainer) {
                         if (saved != nullptr) (*saved)[trainer.position().step] = trainer.save_state();
                       }}};
  return options;
}

class EverythingAtOnce : public ::testing::TestWithParam<Variant> {};

TEST_P(EverythingAtOnce, GoesOnFromAnyUpdateToTheSameBits) {
  const Variant& variant = GetParam();
  std::map<int64_t, Tree> saved;
  Everything task(1);
  Trainer trainer(options_of(variant, &saved));
  const History expected = trainer.fit(task, feeds(variant.workers));
  ASSERT_GE(saved.size(), 12u);
  const Tree end = trainer.save_state();
  for (const auto& [step, state] : saved) {
    SCOPED_TRACE("saved after step " + std::to_string(step));
    Everything resumed_task(50);
    Trainer resumed(options_of(variant, nullptr));
    resumed.load_state(resumed_task, state);
    expect_same(expected, resumed.fit(resumed_task, feeds(variant.workers)));
    expect_same(end, resumed.save_state());
  }
}

INSTANTIATE_TEST_SUITE_P(Of, EverythingAtOnce,
                         ::testing::Values(Variant{"SkippingInFloat32", NonFinite::skip, Precision::float32, 0},
                                           Variant{"RollingBackWithWorkers", NonFinite::roll_back, Precision::float32,
                                                   2},
                                           Variant{"SkippingInBf16", NonFinite::skip, Precision::bf16, 0},
                                           Variant{"SkippingInF16", NonFinite::skip, Precision::f16, 0}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace athanor::testing::everything_test
