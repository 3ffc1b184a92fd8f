// SPDX-License-Identifier: Apache-2.0
//
// What checkpoints cost: how long training stands still for one of 100 MB, next to one copy of that state in memory by
// LibTorch; how long it takes to find the place within an epoch of ten million samples. The last line is a JSON object.
#include <unistd.h>

#include <athanor/athanor.hpp>
#include <athanor/checkpoint/safetensors.hpp>
#include <iostream>
#include <thread>

#include "stepped.hpp"

namespace {

namespace fs = std::filesystem;
using benchmarks::Stopwatch;
using namespace athanor::literals;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Copies of what a state holds, beside them where they go: one copy of it in memory, by LibTorch's own operator.
struct PlainCopy {
  std::vector<torch::Tensor> from, to;

  explicit PlainCopy(const athanor::Tree& state) {
    state.walk([&](const std::string&, const athanor::Tree& leaf) {
      if (!leaf.is_tensor() || !leaf.tensor().defined()) return;
      from.push_back(leaf.tensor().clone());
      to.push_back(torch::zeros_like(leaf.tensor()));
    });
  }
  [[nodiscard]] double megabytes() const {
    double bytes = 0;
    for (const torch::Tensor& tensor : from) bytes += static_cast<double>(tensor.nbytes());
    return bytes / 1e6;
  }
  double seconds() {
    const Stopwatch watch;
    for (size_t i = 0; i < from.size(); ++i) to[i].copy_(from[i]);
    return watch.seconds();
  }
};

struct Stall {
  double seconds = 0;
  double copy_seconds = 0;
  double megabytes = 0;
};

/// Adam's two moments and the weights: three copies of 8.7 million numbers. In each step a save and a plain copy.
Stall stall(const fs::path& folder) {
  namespace nn = torch::nn;
  benchmarks::Classifier task(nn::Sequential(nn::Linear(1000, 8000), nn::ReLU(), nn::Linear(8000, 90)));
  athanor::TrainerOptions options = benchmarks::quiet_options(8);
  options.max_duration = 24_steps;
  options.run = folder / "stall";
  std::vector<double> stalls, copies;
  std::optional<PlainCopy> copy;
  double before = 0;
  athanor::Checkpoints saver({.every = 1_steps, .keep_last = 1, .keep_best = 0, .at_end = false});
  options.callbacks = {athanor::every(1_steps,
                                      [&](athanor::Trainer& trainer) {
                                        if (!copy) copy.emplace(trainer.save_state());
                                        // The writer of the last one works meanwhile; it is not what is measured.
                                        std::this_thread::sleep_for(std::chrono::milliseconds(700));
                                        copies.push_back(copy->seconds());
                                      }),
                       athanor::Callback(std::make_shared<athanor::Checkpoints>(saver)),
                       athanor::every(1_steps, [&](athanor::Trainer& running) {
                         const double now = running.step_times().seconds(athanor::StepPhase::saving);
                         stalls.push_back(now - before);
                         before = now;
                       })};
  athanor::Trainer trainer(options);
  trainer.fit(task, athanor::Data(torch::randn({192, 1000}), torch::zeros({192}, torch::kLong)));
  std::cout << "first save " << stalls.front() * 1e3 << " ms, first copy " << copies.front() * 1e3 << " ms\n";
  stalls.erase(stalls.begin(), stalls.begin() + 2);  // they take the memory that the others use again
  copies.erase(copies.begin(), copies.begin() + 2);
  return {median(stalls), median(copies), copy->megabytes()};
}

struct TenMillion {
  [[nodiscard]] static size_t size() { return 10'000'000; }
  [[nodiscard]] static athanor::Sample get(int64_t index) {
    return {athanor::Tree(torch::full({4}, static_cast<double>(index % 7))), athanor::Tree(torch::tensor(index % 3))};
  }
};

double seconds_to_the_place() {
  const athanor::Loader loader(athanor::Dataset(TenMillion{}), {.batch_size = 32, .shuffle = true});
  std::vector<double> times;
  for (int i = 0; i < 9; ++i) {
    const Stopwatch watch;
    athanor::Pass pass = loader.epoch(3, 200'000 + i, std::nullopt, 5);
    if (pass.next() == nullptr) throw std::runtime_error("no batch");
    times.push_back(watch.seconds());
  }
  return median(times);
}

}  // namespace

int main() {
  const fs::path folder = fs::temp_directory_path() / ("athanor-checkpoint-costs-" + std::to_string(::getpid()));
  const Stall stalled = stall(folder);
  const double place = seconds_to_the_place();
  fs::remove_all(folder);
  std::cout << "{\"state_mb\": " << stalled.megabytes << ", \"stall_ms\": " << stalled.seconds * 1e3
            << ", \"copy_ms\": " << stalled.copy_seconds * 1e3
            << ", \"stall_over_copy\": " << stalled.seconds / stalled.copy_seconds << ", \"place_ms\": " << place * 1e3
            << "}\n";
  return 0;
}
