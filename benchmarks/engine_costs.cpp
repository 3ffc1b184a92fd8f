// SPDX-License-Identifier: Apache-2.0
//
// What the engine adds to a step, each pair of sides within one process. The last line is a JSON object with the
// quartiles of each pair's ratio.
#include <athanor/athanor.hpp>
#include <athanor/core/processor.hpp>
#include <athanor/core/random.hpp>
#include <optional>

#include "stepped.hpp"
#include "turns.hpp"

namespace {

using athanor::Batch;
using benchmarks::compare;
using benchmarks::Measured;
using benchmarks::perceptron;
using benchmarks::quiet_options;
using benchmarks::Stepped;
using benchmarks::Stopwatch;

torch::nn::Sequential small_cnn() {
  namespace nn = torch::nn;
  torch::manual_seed(1);
  return nn::Sequential(nn::Conv2d(nn::Conv2dOptions(1, 32, 3).padding(1)), nn::ReLU(), nn::MaxPool2d(2),
                        nn::Conv2d(nn::Conv2dOptions(32, 64, 3).padding(1)), nn::ReLU(), nn::MaxPool2d(2),
                        nn::Flatten(), nn::Linear(64 * 7 * 7, 128), nn::ReLU(), nn::Linear(128, 10));
}

/// The engine as it comes beside the parts alone: the same loader, fused step and loss, and nothing around them. The
/// look at the gradients, which has to read each of them once, is counted or left out.
Measured defaults(const std::string& name, athanor::NonFinite policy, const athanor::Data& data, int rounds) {
  constexpr int64_t batch = 32, steps = 50;
  athanor::TrainerOptions options = quiet_options(batch);
  options.non_finite.policy = policy;
  Stepped engine(perceptron(), options, data);

  torch::nn::Sequential net = perceptron();
  const auto adam = athanor::optim::Adam().on(net);
  const athanor::Loader loader = data.loader({.batch_size = batch, .shuffle = true});
  int64_t epoch = 1;
  std::optional<athanor::Pass> pass(loader.epoch(epoch));
  const auto bare = [&] {
    for (int64_t step = 0; step < steps; ++step) {
      const Batch* next = pass->next();
      if (next == nullptr) {
        pass.emplace(loader.epoch(++epoch));
        next = pass->next();
      }
      const torch::Tensor loss = torch::cross_entropy_loss(net->forward(next->input.tensor()), next->target.tensor());
      adam->zero_grad();
      loss.backward();
      adam->step();
    }
  };
  return compare(
      name, rounds, [&] { engine.run(steps); }, bare);
}

/// Four micro-batches of 32 and one step, beside four forward and backward passes and one step by hand.
Measured accumulation(const athanor::Data& data, int rounds) {
  constexpr int64_t batch = 32, windows = 12;
  athanor::TrainerOptions options = quiet_options(batch);
  options.accumulate = 4;
  Stepped engine(perceptron(), options, data);

  torch::nn::Sequential net = perceptron();
  const auto adam = athanor::optim::Adam().on(net);
  const athanor::Loader loader = data.loader({.batch_size = batch, .shuffle = true});
  int64_t epoch = 1;
  std::optional<athanor::Pass> pass(loader.epoch(epoch));
  const auto by_hand = [&] {
    for (int64_t window = 0; window < windows; ++window) {
      adam->zero_grad();
      for (int part = 0; part < 4; ++part) {
        const Batch* next = pass->next();
        if (next == nullptr) {
          pass.emplace(loader.epoch(++epoch));
          next = pass->next();
        }
        const torch::Tensor loss = torch::cross_entropy_loss(net->forward(next->input.tensor()), next->target.tensor());
        (loss / 4).backward();
      }
      adam->step();
    }
  };
  return compare(
      "accumulation of 4 over 4 passes and a step", rounds, [&] { engine.run(windows); }, by_hand);
}

/// Statistics of all layers every 100 steps beside none.
Measured layer_statistics(const athanor::Data& data, int rounds) {
  constexpr int64_t batch = 32, steps = 100;
  athanor::TrainerOptions options = quiet_options(batch);
  Stepped plain(perceptron(), options, data);
  options.callbacks = {athanor::LayerStatistics({.every = athanor::Duration::steps(100)})};
  Stepped watched(perceptron(), options, data);
  return compare(
      "layer statistics every 100 steps over none, mlp b32", rounds, [&] { watched.run(steps); },
      [&] { plain.run(steps); });
}

/// What dropout and the like draw, and the order of the samples, are keyed in every run. So that their cost is seen,
/// one side does it twice, the seed of the update and the places of its samples in the order of an epoch, and is a run
/// that can be stopped and resumed, with checkpoints that are not due.
Measured exactness(const athanor::Data& data, int rounds) {
  constexpr int64_t batch = 32, samples = 60000, steps = 50;
  athanor::TrainerOptions options = quiet_options(batch);
  Stepped plain(perceptron(), options, data);
  const athanor::Permutation order(samples, 7);
  auto once_more = [order, sum = uint64_t{0}](athanor::Trainer& trainer) mutable {
    const auto step = static_cast<uint64_t>(trainer.position().step);
    athanor::seed_libtorch(athanor::mix({trainer.options().seed, step}));
    for (uint64_t i = 0; i < batch; ++i) sum += order((batch * step + i) % samples);
    if (sum == 1) std::abort();  // so that it is not left out
  };
  options.run = "resumable";
  options.callbacks = {
      athanor::Checkpoints({.every = athanor::Duration::seconds(3600), .keep_best = 0, .at_end = false}),
      athanor::every(athanor::Duration::steps(1), once_more)};
  options.host.signals = athanor::Signals::stop;
  options.resume = athanor::Resume::automatic();
  Stepped resumable(perceptron(), options, data);
  return compare(
      "what can be resumed, and its keys once more, over a plain run, mlp b32", rounds, [&] { resumable.run(steps); },
      [&] { plain.run(steps); });
}

/// bfloat16 with the channels last beside float32 as it comes.
Measured bfloat16(const athanor::Data& data, int rounds) {
  constexpr int64_t batch = 128, steps = 2;
  athanor::TrainerOptions options = quiet_options(batch);
  Stepped plain(small_cnn(), options, data);
  options.precision = athanor::Precision::bf16;
  options.channels_last = true;
  Stepped fast(small_cnn(), options, data);
  return compare(
      "bf16 channels last over float32, cnn b128", rounds, [&] { fast.run(steps); }, [&] { plain.run(steps); });
}

/// Clipping by norm beside the norm alone: 25 M numbers in 160 tensors, one thread. With a fused optimizer the factor
/// goes into its kernel, so that what clipping adds to a step is the norm; with another, gradients are multiplied.
std::vector<Measured> clipping(int rounds) {
  torch::NoGradGuard no_grad;
  athanor::Parameters parameters;
  for (int i = 0; i < 160; ++i) {
    torch::Tensor tensor = torch::randn({395, 395}).requires_grad_();
    tensor.mutable_grad() = torch::randn({395, 395}) * 1e-3;
    parameters.push_back({std::to_string(i), tensor});
  }
  const auto fused = athanor::optim::AdamW().on({{parameters, {}}});
  const std::optional<athanor::Clip> clip(athanor::Clip{.norm = 1e9});
  const auto norm = [&] { static_cast<void>(athanor::prepare_step(parameters, clip, {}, false)); };
  const auto step = [&] { fused->step(); };
  const auto clipped = [&] { fused->step(athanor::prepare_step(parameters, clip, {}, false).scale); };

  // Of each round: (clipped step - step) / norm.
  Measured with_fused{"clipping with a fused step over the norm alone", {}};
  Measured by_hand{"norm and multiply over norm and multiply by LibTorch's operators", {}};
  std::vector<torch::Tensor> gradients;
  for (const athanor::Parameter& parameter : parameters) gradients.push_back(parameter.tensor.grad());
  const torch::Tensor one = torch::ones({});
  const auto ours = [&] {
    const athanor::PreparedStep prepared = athanor::prepare_step(parameters, clip, {}, false);
    torch::_foreach_div_(gradients, prepared.scale.divisor.defined() ? prepared.scale.divisor : one);
  };
  const auto theirs = [&] {
    const torch::Tensor total = torch::stack(torch::_foreach_norm(gradients)).norm();
    torch::_foreach_mul_(gradients, (1e9 / (total + 1e-6)).clamp_max(1));
  };
  const auto timed = [](const std::function<void()>& action) {
    const Stopwatch watch;
    action();
    return watch.seconds();
  };
  for (int round = 0; round < rounds; ++round) {
    const double a = timed(clipped), b = timed(step), c = timed(norm), d = timed(clipped), e = timed(step);
    with_fused.values.push_back((0.5 * (a + d) - 0.5 * (b + e)) / c);
    by_hand.values.push_back(timed(ours) / timed(theirs));
  }
  return {with_fused, by_hand};
}

/// Exponential averaging of 25 M numbers in 160 tensors beside LibTorch's operator on the same lists.
Measured averaging(int rounds) {
  struct Wide : athanor::Task {
    Wide() {
      auto module = std::make_shared<torch::nn::Module>();
      for (int i = 0; i < 160; ++i) {
        weights.push_back(module->register_parameter("w" + std::to_string(i), torch::randn({395, 395}) * 1e-3));
      }
      register_net("net", module);
    }
    athanor::StepOutput training_step(const Batch&, athanor::StepContext&) override { return weights[0].sum(); }
    athanor::Optimizers configure_optimizers() override { return athanor::optim::SGD({.lr = 1e-6}).on(parameters()); }
    std::vector<torch::Tensor> weights;
  } task;
  const auto ema = std::make_shared<athanor::Ema>(athanor::EmaOptions{.decay = 0.999});
  athanor::TrainerOptions options = quiet_options(1);
  options.callbacks = {ema};
  athanor::Trainer trainer(options);
  athanor::Loop loop(trainer, task, {.train = athanor::Feed(athanor::Data(torch::zeros({4, 1})))});
  loop.begin_epoch();
  loop.next();
  loop.update();
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> averages;
  for (const torch::Tensor& weight : task.weights) averages.push_back(weight.detach().clone());
  return compare(
      "exponential average over _foreach_lerp_, 25 M", rounds, [&] { ema->on_step_end(trainer); },
      [&] { torch::_foreach_lerp_(averages, task.weights, 1 - 0.999); });
}

/// What the breakdown of a step's time costs: a step's readings of the clock on top of a step, over that step.
Measured breakdown(const athanor::Data& data, int rounds) {
  constexpr int64_t batch = 32, steps = 50;
  constexpr int laps = 9;
  Stepped engine(perceptron(), quiet_options(batch), data);
  Measured ratio{"step and its time breakdown once more over the step, mlp b32", {}};
  athanor::StepTimes times;
  engine.run(steps);
  for (int round = 0; round < rounds; ++round) {
    const Stopwatch of_steps;
    engine.run(steps);
    const double step = of_steps.seconds();
    const Stopwatch of_laps;
    for (int64_t i = 0; i < steps * laps; ++i) times.lap(athanor::StepPhase::forward);
    ratio.values.push_back(1 + of_laps.seconds() / step);
  }
  return ratio;
}

}  // namespace

int main(int argument_count, char** arguments) {
  const benchmarks::Options options = benchmarks::parse_options(argument_count, arguments);
  const int rounds = static_cast<int>(options.epochs);
  at::set_num_threads(1);
  const athanor::HostGuard host({.restore_generator = false});
  const benchmarks::Data read = benchmarks::read_data(options);
  const athanor::Data data(read.train.images, read.train.labels);
  std::vector<Measured> ratios{
      defaults("defaults over the bare loop, mlp b32", athanor::NonFinite::stop, data, 12 * rounds),
      defaults("the same without the look at the gradients", athanor::NonFinite::ignore, data, 12 * rounds),
      accumulation(data, 12 * rounds), layer_statistics(data, 12 * rounds)};
  ratios.push_back(exactness(data, 12 * rounds));
  for (Measured& ratio : clipping(4 * rounds)) ratios.push_back(std::move(ratio));
  ratios.push_back(averaging(4 * rounds));
  ratios.push_back(breakdown(data, 12 * rounds));
  // With AVX512-BF16 alone the convolutions of LibTorch's oneDNN take longer in bfloat16 than in float32.
  if (athanor::has_bfloat16_tiles()) {
    const athanor::Data pictures(read.train.images.view({-1, 1, 28, 28}), read.train.labels);
    ratios.push_back(bfloat16(pictures, 2 * rounds));
  }
  benchmarks::print(std::move(ratios));
}
