// SPDX-License-Identifier: Apache-2.0
// Every optimizer within the engine: a run that is interrupted at any update and goes on elsewhere ends with the same
// bits, and embeddings with sparse gradients are trained.
#include <random>

#include "athanor/optim/optimizers.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::optimizer_resume_test {
namespace {

struct Named {
  std::string name;
  optim::Recipe recipe;
};

std::vector<Named> every_recipe() {
  return {{"Adagrad", optim::Adagrad({.lr = 0.05})},
          {"Adadelta", optim::Adadelta()},
          {"Adafactor", optim::Adafactor({.lr = 0.05})},
          {"Adamax", optim::Adamax({.lr = 0.02})},
          {"ASGD", optim::ASGD({.lr = 0.05, .t0 = 4})},
          {"LAMB", optim::LAMB({.lr = 0.02})},
          {"LBFGS", optim::LBFGS({.lr = 0.1, .max_iter = 2, .history_size = 3})},
          {"LBFGS with a search",
           optim::LBFGS({.max_iter = 3, .history_size = 3, .line_search_fn = optim::LineSearch::strong_wolfe})},
          {"Lion", optim::Lion({.lr = 0.005})},
          {"Lookahead", optim::Lookahead(optim::Adam({.lr = 0.02}), {.k = 3})},
          {"Lookahead around LBFGS", optim::Lookahead(optim::LBFGS({.lr = 0.1, .max_iter = 2}), {.k = 2})},
          {"NAdam", optim::NAdam({.lr = 0.02})},
          {"RAdam", optim::RAdam({.lr = 0.02})},
          {"RMSprop", optim::RMSprop({.momentum = 0.5, .centered = true})},
          {"Rprop", optim::Rprop()}};
}

TEST(OptimizerResume, ARunThatIsInterruptedAtARandomUpdateEndsWithTheSameBits) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::minstd_rand draw(seed);
  for (const Named& each : every_recipe()) {
    SCOPED_TRACE(each.name);
    const auto at = static_cast<int64_t>(1 + draw() % 11);  // 12 updates
    Tree saved;
    Classifier task(1, each.recipe);
    Trainer trainer(quiet(Duration::epochs(2), {Hooks{.step_end = [&](Trainer& running) {
                            if (running.position().step == at) saved = running.save_state();
                          }}}));
    const History expected = trainer.fit(task, data_of(clouds(24)));
    const Tree end = trainer.save_state();
    EXPECT_EQ(expected.last().steps, 12);
    expect_other(saved, end);

    Classifier other(99, each.recipe);
    Trainer resumed(quiet(Duration::epochs(2), {Hooks{}}));
    resumed.load_state(other, saved);
    expect_same(expected, resumed.fit(other, data_of(clouds(24))));
    expect_same(end["task"], resumed.save_state()["task"]);
  }
}

/// Words become vectors by an embedding whose gradients are sparse.
class Words : public Task {
 public:
  Words() {
    torch::manual_seed(4);
    embedding = register_net("embedding", torch::nn::Embedding(torch::nn::EmbeddingOptions(30, 6).sparse(true)));
    out = register_net("out", torch::nn::Linear(6, 3));
  }
  StepOutput training_step(const Batch& batch, StepContext&) override {
    return torch::cross_entropy_loss(out(embedding(batch.input.tensor()).mean(1)), batch.target.tensor());
  }
  Optimizers configure_optimizers() override {
    return {{.name = "words", .optimizer = optim::SparseAdam({.lr = 0.05}).on(embedding), .clip = Clip{.norm = 1}},
            {.name = "layers", .optimizer = optim::AdamW({.lr = 0.05}).on(out)}};
  }
  torch::nn::Embedding embedding = nullptr;
  torch::nn::Linear out = nullptr;
};

TEST(OptimizerResume, AnEmbeddingWithSparseGradientsLearns) {
  torch::manual_seed(5);
  const torch::Tensor target = torch::arange(48).remainder(3);
  const torch::Tensor words = torch::randint(0, 10, {48, 5}) + target.unsqueeze(1) * 10;
  Words task;
  Trainer trainer(quiet(Duration::epochs(6)));
  const History history = trainer.fit(task, Data(words, target));
  EXPECT_LT(history.last().values["train_loss_words"], 0.3);
  EXPECT_TRUE(std::isfinite(history.last().values["train_loss_words"]));
}

}  // namespace
}  // namespace athanor::testing::optimizer_resume_test
