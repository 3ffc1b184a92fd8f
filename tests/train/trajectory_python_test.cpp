// SPDX-License-Identifier: Apache-2.0
// 200 updates beside PyTorch in the same run: the same weights and batches, with accumulation, clipping, autocast, a
// scaler, penalties and several optimizers. trajectory_peer.py is the other side.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/core/file.hpp"
#include "athanor/optim/sgd.hpp"
#include "athanor/train/weights.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::trajectory_python_test {
namespace {

namespace fs = std::filesystem;
namespace nn = torch::nn;

constexpr int64_t updates = 200;
constexpr int64_t batch = 12;
constexpr int64_t samples = updates * batch - 2;  // the last batch has 10, as micro-batches 4, 4 and 2

nn::Sequential make_net(int64_t inputs, int64_t outputs) {
  return nn::Sequential(nn::Linear(inputs, 16), nn::Tanh(), nn::Linear(16, outputs));
}

/// One net with cross entropy, or two that play against each other.
struct Nets3 {
  nn::Sequential a = make_net(4, 3), g = make_net(4, 4), c = make_net(4, 1);
  [[nodiscard]] Nets all() const { return {{"a", a.ptr()}, {"g", g.ptr()}, {"c", c.ptr()}}; }
};

struct Case {
  const char* name;
  TrainerOptions options = {};
  optim::Recipe optimizer = optim::Adam({.lr = 0.01});
  int64_t batch_size = batch;
  /// Largest difference of any weight or loss that rounding can make, see below.
  double tolerance = 0;
};

// Plain steps, autocast and accumulation run the same kernels in the same order as Python: no difference is allowed
// but for the last bit of losses, which are averaged in double here. Clipping and penalties round a factor or a sum
// differently: relative 2^-23 in each of 200 gradients. Adam divides a gradient by its own size, so such an error moves
// a weight by at most lr x 2^-23 a step plus what the curvature makes of it: 200 x 0.01 x 1.2e-7 = 2.4e-7, times 20 for
// the growth over 200 steps at these curvatures. SGD with momentum at lr 0.1 moves ten times as far.
// With float16 such a difference may carry a weight over the edge between two numbers of float16, 2^-11 of it: then the
// gradients of that step differ by as much, and Adam moves by up to lr x 2^-11 x 200 = 1e-3.
constexpr double exact = 1e-7;
constexpr double half = 1e-3;
constexpr double rounded = 5e-6;

std::vector<Case> cases() {
  std::vector<Case> all;
  all.push_back({.name = "plain", .tolerance = exact});
  all.push_back({.name = "accumulation", .batch_size = 4, .tolerance = exact});
  all.back().options.accumulate = 3;
  all.push_back({.name = "clip_norm", .tolerance = rounded});
  all.back().options.clip = Clip{.norm = 0.1};
  all.push_back({.name = "clip_value", .tolerance = exact});
  all.back().options.clip = Clip{.value = 0.01};
  all.push_back({.name = "bf16", .tolerance = exact});
  all.back().options.precision = Precision::bf16;
  all.push_back({.name = "f16_scaler", .tolerance = exact});
  all.back().options.precision = Precision::f16;
  all.back().options.scaler = {.initial_scale = 4194304, .growth_interval = 20};
  all.push_back({.name = "f16_scaler_clip", .tolerance = half});
  all.back().options.precision = Precision::f16;
  all.back().options.scaler = {.initial_scale = 4194304, .growth_interval = 20};
  all.back().options.clip = Clip{.norm = 0.1};
  all.push_back({.name = "penalty", .tolerance = rounded});
  all.back().options.penalties = {{.pattern = "*weight", .l1 = 1e-3, .l2 = 1e-2}};
  all.push_back({.name = "sgd_accumulation_clip",
                 .optimizer = optim::SGD({.lr = 0.1, .momentum = 0.9}),
                 .batch_size = 4,
                 .tolerance = 10 * rounded});
  all.back().options.accumulate = 3;
  all.back().options.clip = Clip{.norm = 0.5};
  all.push_back({.name = "two_optimizers", .tolerance = rounded});
  return all;
}

class Trajectory : public ::testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() {
    folder() = fs::temp_directory_path() / ("athanor_trajectory_" + std::to_string(getpid()));
    fs::create_directories(folder());
    torch::manual_seed(7);
    const Nets3 nets;
    const Examples examples = clouds(samples);
    NamedTensors start = named_tensors(nets.all());
    start.emplace_back("input", examples.input);
    start.emplace_back("target", examples.target);
    write_safetensors(folder() / "start.safetensors", start);
    const std::string command = std::string(ATHANOR_TEST_PYTHON) + " " + ATHANOR_SOURCE_DIR +
                                "/tests/train/trajectory_peer.py " + folder().string() + " 2>&1";
    ran() = std::system(command.c_str()) == 0;
  }
  static void TearDownTestSuite() { fs::remove_all(folder()); }
  static fs::path& folder() {
    static fs::path path;
    return path;
  }
  static bool& ran() {
    static bool value = false;
    return value;
  }
};

TEST_P(Trajectory, EqualsThatOfPython) {
  if (!ran()) GTEST_SKIP() << "Python with torch and safetensors is not there";
  const Case& each = GetParam();
  const bool two = std::string(each.name) == "two_optimizers";
  Nets3 nets;
  {
    const SafetensorsFile start(folder() / "start.safetensors");
    copy_into(start, named_tensors(nets.all()), {.allow_unexpected = true});
  }
  Tailored task(
      two ? Nets{{"g", nets.g.ptr()}, {"c", nets.c.ptr()}} : Nets{{"a", nets.a.ptr()}},
      [&](const Batch& data, StepContext& context) -> StepOutput {
        const torch::Tensor& input = data.input.tensor();
        if (context.optimizer() == "generator") return (nets.c->forward(nets.g->forward(input)) - 1).pow(2).mean();
        if (context.optimizer() == "critic") {
          return (nets.c->forward(input) - 1).pow(2).mean() + nets.c->forward(nets.g->forward(input)).pow(2).mean();
        }
        return torch::cross_entropy_loss(nets.a->forward(input), data.target.tensor());
      },
      [&]() -> Optimizers {
        if (!two) return each.optimizer.on({{parameters_of(nets.a), {}}});
        return {{.name = "generator", .optimizer = optim::Adam({.lr = 0.005}).on(nets.g), .clip = Clip{.norm = 0.05}},
                {.name = "critic", .optimizer = optim::SGD({.lr = 0.02, .momentum = 0.9}).on(nets.c), .every = 2}};
      });
  std::vector<double> losses;
  TrainerOptions options = each.options;
  options.max_duration = Duration::steps(updates);
  options.batch_size = each.batch_size;
  options.shuffle = false;
  options.verbosity = Verbosity::silent;
  options.device = "cpu";
  options.host = HostOptions{.keep_freed_memory = false, .faster_kernels = false, .threads = 1};
  options.callbacks = {At(Moment::train_batch_end, [&](Trainer& running, MomentInfo&) {
    const UpdateResult& result = running.last_update();
    losses.push_back((two ? result.losses.front().second : result.loss).item<double>());
  })};
  Trainer trainer(options);
  trainer.fit(task, data_of(clouds(samples)));
  ASSERT_EQ(trainer.position().step, updates);

  const SafetensorsFile theirs(folder() / (std::string(each.name) + ".safetensors"));
  double largest = 0;
  for (const auto& [name, tensor] : named_tensors(two ? Nets{{"g", nets.g.ptr()}, {"c", nets.c.ptr()}}
                                                      : Nets{{"a", nets.a.ptr()}, {"unused", nets.g.ptr()}})) {
    if (name.starts_with("unused")) continue;
    largest = std::max(largest, (theirs.tensor(name) - tensor.detach()).abs().max().item<double>());
  }
  const torch::Tensor their_losses = theirs.tensor("losses");
  double largest_loss = (their_losses - torch::tensor(losses, torch::kDouble)).abs().max().item<double>();
  RecordProperty("largest_difference", std::to_string(largest));
  std::cout << each.name << ": largest difference of a weight " << largest << ", of a loss " << largest_loss
            << ", allowed " << each.tolerance << "\n";
  EXPECT_LE(largest, each.tolerance);
  EXPECT_LE(largest_loss, 2 * each.tolerance);
  EXPECT_LT(losses.back(), losses.front());
}

INSTANTIATE_TEST_SUITE_P(Python, Trajectory, ::testing::ValuesIn(cases()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace athanor::testing::trajectory_python_test
