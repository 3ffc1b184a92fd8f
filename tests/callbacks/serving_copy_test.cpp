// SPDX-License-Identifier: Apache-2.0
// Predictions beside training: the weights of one single update, no waiting, and nets that do not fit.
#include "athanor/callbacks/serving_copy.hpp"

#include <condition_variable>
#include <thread>

#include "athanor/nn/net.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::serving_copy_test {
namespace {

using namespace athanor::literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// Every number in it is the number of updates. forward() tells the smallest and the largest that it sees.
struct Counting : torch::nn::Module {
  explicit Counting(int64_t size = 64) {
    for (int i = 0; i < 4; ++i) {
      weights.push_back(register_parameter("weight" + std::to_string(i), torch::zeros({size, size})));
    }
    updates = register_buffer("updates", torch::zeros({size}));
  }
  torch::Tensor forward(const torch::Tensor& input) {
    std::vector<torch::Tensor> all = {updates};
    for (const torch::Tensor& weight : weights) all.push_back(weight.flatten());
    const torch::Tensor numbers = torch::cat(all);
    return torch::stack({numbers.min(), numbers.max(), torch::tensor(is_training() ? 1.0F : 0.0F)}) + 0 * input.sum();
  }
  std::vector<torch::Tensor> weights;
  torch::Tensor updates;
};

struct CountingTask : Task {
  StepOutput training_step(const Batch& batch, StepContext&) override {
    torch::NoGradGuard no_grad;
    net->updates.add_(1);
    const torch::AutoGradMode gradients(true);
    torch::Tensor sum = 0 * batch.input.tensor().sum();
    for (const torch::Tensor& weight : net->weights) sum = sum - weight.sum();
    return sum;
  }
  Optimizers configure_optimizers() override { return optim::SGD({.lr = 1}).on(net); }
  std::shared_ptr<Counting> net = register_net("net", std::make_shared<Counting>());
};

std::shared_ptr<ServingCopy> counting_copy(ServingCopyOptions options = {}) {
  return std::make_shared<ServingCopy>(Net(std::make_shared<Counting>()), std::move(options));
}

void fit(Task& task, int64_t steps, Callbacks callbacks) {
  Trainer trainer(quiet(Duration::steps(steps), std::move(callbacks)));
  trainer.fit(task, Data(torch::zeros({32, 1})));
}

const Tree& question() {
  static const Tree tree = torch::zeros({1});
  return tree;
}

TEST(ServingCopy, ReadersSeeTheWeightsOfOneUpdate) {
  constexpr int64_t steps = 400;
  CountingTask task;
  const auto serving = counting_copy();
  EXPECT_EQ(serving->step(), -1);
  std::atomic<bool> over = false;
  std::atomic<int> mixtures = 0, backwards = 0, predictions = 0, in_training_mode = 0;
  std::atomic<int> between = 0;  // predictions with weights of an update that was not the first and not the last
  auto reader = [&] {
    double before = 0;
    while (!over) {
      const torch::Tensor answer = serving->predict(question()).tensor();
      const auto* numbers = answer.const_data_ptr<float>();
      if (numbers[0] != numbers[1]) ++mixtures;
      if (numbers[0] < before) ++backwards;
      if (numbers[2] != 0) ++in_training_mode;
      if (numbers[0] > 0 && numbers[0] < steps) ++between;
      before = numbers[0];
      ++predictions;
    }
  };
  auto exact = [&] {
    while (!over) {
      serving->read([&](torch::nn::Module& net) {
        const auto step = static_cast<float>(serving->step());
        if (step < 0) return;
        for (const torch::Tensor& tensor : net.parameters()) {
          if (!(tensor == step).all().item<bool>()) ++mixtures;
        }
        for (const torch::Tensor& tensor : net.buffers()) {
          if (!(tensor == step).all().item<bool>()) ++mixtures;
        }
      });
    }
  };
  std::thread first(reader), second(exact);
  // The last steps are slow until there was something to see: the processors may be busy with other work.
  fit(task, steps, {serving, Hooks{.step_end = [&](Trainer& trainer) {
                      if (trainer.position().step < steps - 100 || between > 20) return;
                      std::this_thread::sleep_for(std::chrono::milliseconds(2));
                    }}});
  over = true;
  first.join();
  second.join();
  EXPECT_EQ(mixtures, 0);
  EXPECT_EQ(backwards, 0);
  EXPECT_EQ(in_training_mode, 0);
  EXPECT_GT(predictions, 0);
  EXPECT_GT(between, 0);
  EXPECT_EQ(serving->predict(question()).tensor()[1].item<int64_t>(), steps);
  EXPECT_EQ(serving->step(), steps);
}

TEST(ServingCopy, TrainingDoesNotWaitForAReader) {
  CountingTask task;
  const auto serving = counting_copy();
  std::mutex mutex;
  std::condition_variable changed;
  bool reading = false, trained = false;
  std::thread reader([&] {
    serving->read([&](torch::nn::Module& net) {
      std::unique_lock lock(mutex);
      reading = true;
      changed.notify_all();
      changed.wait(lock, [&] { return trained; });
      // All of training went by, and the copy is as it was.
      EXPECT_EQ(serving->step(), -1);
      EXPECT_EQ(net.parameters()[0].max().item<float>(), 0);
    });
  });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return reading; });
  }
  fit(task, 5, {serving});
  {
    const std::lock_guard lock(mutex);
    trained = true;
  }
  changed.notify_all();
  reader.join();
  EXPECT_EQ(serving->predict(question()).tensor()[0].item<float>(), 5);
}

TEST(ServingCopy, WeightsAreHandedOverAtTheInterval) {
  CountingTask task;
  const auto serving = counting_copy({.every = 3_steps});
  std::vector<float> seen;
  fit(task, 8, {serving, Hooks{.step_end = [&](Trainer&) {
                  seen.push_back(serving->predict(question()).tensor()[0].item<float>());
                }}});
  EXPECT_THAT(seen, ::testing::ElementsAre(0, 0, 3, 3, 3, 6, 6, 6));
  EXPECT_EQ(serving->predict(question()).tensor()[0].item<float>(), 8);
  // A second fit, with weights that somebody changed in between: the number of the step is the same.
  {
    torch::NoGradGuard no_grad;
    for (torch::Tensor& weight : task.net->weights) weight.fill_(50);
    task.net->updates.fill_(50);
  }
  float at_begin = 0;
  fit(task, 1, {serving, Hooks{.fit_begin = [&](Trainer&) {
                  at_begin = serving->predict(question()).tensor()[0].item<float>();
                }}});
  EXPECT_EQ(at_begin, 50);
}

TEST(ServingCopy, ResultsOfTrainingStayTheSame) {
  auto train = [](bool served) {
    Classifier task;
    Callbacks callbacks;
    if (served) callbacks.emplace_back(std::make_shared<ServingCopy>(Net(std::make_shared<Small>(9))));
    Trainer(quiet(3_epochs, callbacks)).fit(task, data_of(clouds(24)));
    return weights_of(task);
  };
  expect_same(train(true), train(false));
}

TEST(ServingCopy, PredictionsAreThoseOfTheNetInTraining) {
  Classifier task;
  const auto serving = std::make_shared<ServingCopy>(Net(std::make_shared<Small>(9)));
  Trainer(quiet(2_epochs, {serving})).fit(task, data_of(clouds(24)));
  const torch::Tensor input = clouds(7, 3).input;
  const torch::Tensor answer = serving->predict(input).tensor();
  EXPECT_FALSE(answer.requires_grad());
  task.net->eval();
  EXPECT_TRUE(torch::equal(answer, task.net->forward(input)));
}

TEST(ServingCopy, AnExceptionOfAReaderLeavesTheCopyFree) {
  CountingTask task;
  const auto serving = counting_copy();
  EXPECT_THROW(serving->read([](torch::nn::Module&) { throw std::runtime_error("reader"); }), std::runtime_error);
  fit(task, 2, {serving});
  EXPECT_EQ(serving->predict(question()).tensor()[0].item<float>(), 2);
}

Error::Parts refusal(Task& task, const std::shared_ptr<ServingCopy>& serving) {
  return error_of([&] {
    fit(task, 1, {serving});
    return 0;
  });
}

TEST(ServingCopy, NetsThatDifferAreRefusedWithTheDifferences) {
  struct Other : Counting {
    Other() : Counting(64) {
      weights[1].set_data(torch::zeros({64, 2}));
      weights[2].set_data(torch::zeros({64, 64}, torch::kDouble));
      register_parameter("extra", torch::zeros({1}));
    }
  };
  struct Fewer : torch::nn::Module {
    torch::Tensor forward(const torch::Tensor& x) { return x; }
  };
  CountingTask task;
  const auto parts = refusal(task, std::make_shared<ServingCopy>(Net(std::make_shared<Other>())));
  EXPECT_EQ(parts.what, "the serving copy is another net than the one in training");
  EXPECT_THAT(parts.got, AllOf(HasSubstr("weight1: float32 (64, 64) in training, float32 (64, 2) in the serving copy"),
                               HasSubstr("weight2: float32 (64, 64) in training, float64 (64, 64) in the serving copy"),
                               HasSubstr("extra: only in the serving copy")));
  EXPECT_THAT(refusal(task, std::make_shared<ServingCopy>(Net(std::make_shared<Fewer>()))).got,
              HasSubstr("weight0: only in training"));
  EXPECT_EQ(refusal(task, std::make_shared<ServingCopy>(Net(task.net))).what,
            "the serving copy is the net in training itself");
}

TEST(ServingCopy, OneNetOfSeveralIsNamed) {
  struct Two : CountingTask {
    torch::nn::Linear other = register_net("other", torch::nn::Linear(1, 1));
  };
  Two task;
  const auto parts = refusal(task, counting_copy());
  EXPECT_EQ(parts.where, "ServingCopyOptions::net");
  EXPECT_EQ(parts.expected, "one of net, other");
  EXPECT_THAT(refusal(task, counting_copy({.net = "third"})).what, HasSubstr("no net of that name"));
  Two again;
  const auto serving = counting_copy({.net = "net"});
  fit(again, 3, {serving});
  EXPECT_EQ(serving->predict(question()).tensor()[1].item<float>(), 3);
}

TEST(ServingCopy, WrongOptionsAreRefused) {
  EXPECT_EQ(error_of([] { return counting_copy({.every = 0_steps}); }).where, "ServingCopyOptions::every");
  EXPECT_EQ(error_of([] { return std::make_shared<ServingCopy>(nullptr, nullptr); }).what,
            "a serving copy needs a net and its forward function");
}

}  // namespace
}  // namespace athanor::testing::serving_copy_test
