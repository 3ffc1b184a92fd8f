// SPDX-License-Identifier: Apache-2.0
// What a pass that runs anyway shows of a net: shapes, edges, and that looking changes nothing.
#include "athanor/train/layer_sight.hpp"

#include "athanor/callbacks/layer_statistics.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::layer_sight_test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// x + body(x), and twice the same ReLU.
struct Residual : torch::nn::Module {
  Residual() {
    body = register_module("body",
                           torch::nn::Sequential(torch::nn::Linear(4, 6), torch::nn::Tanh(), torch::nn::Linear(6, 4)));
    bend = register_module("bend", torch::nn::ReLU());
  }
  torch::Tensor forward(const torch::Tensor& x) { return bend(x + body->forward(bend(x))); }
  torch::nn::Sequential body = nullptr;
  torch::nn::ReLU bend = nullptr;
};

struct Whole : torch::nn::Module {
  Whole() {
    out = register_module("out", torch::nn::Linear(4, 2));  // registered first, and runs last
    block = register_module("block", std::make_shared<Residual>());
    unused = register_module("unused", torch::nn::Linear(3, 3));
    unused->bias.set_requires_grad(false);
  }
  torch::Tensor forward(const torch::Tensor& x) { return out(block->forward(x)); }
  std::shared_ptr<Residual> block;
  torch::nn::Linear out = nullptr, unused = nullptr;
};

std::vector<std::string> lines_of(const events::Graph& graph) {
  std::vector<std::string> lines;
  for (const auto& node : graph.nodes) {
    std::string line = node.name + " " + node.operation;
    for (const std::string& input : node.inputs) line += " <" + input;
    for (const auto& shape : node.shapes)
      line += " " + std::to_string(shape.front()) + "x" + std::to_string(shape.back());
    lines.push_back(line);
  }
  return lines;
}

TEST(LayerSight, ShowsShapesAndTheWayOfTheTensors) {
  const auto net = std::make_shared<Whole>();
  LayerSight sight({{.name = "net", .module = net}});
  EXPECT_FALSE(sight.has_seen());
  EXPECT_THAT(sight.graph().nodes, IsEmpty());
  EXPECT_THAT(sight.markdown(), HasSubstr("| out | Linear |  | 10 |"));
  const auto x = torch::ones({5, 4});
  const torch::Tensor loss = sight.watch([&] { return net->forward(x).square().mean(); });
  EXPECT_EQ(loss.numel(), 1);
  ASSERT_TRUE(sight.has_seen());
  // By hand: the loss is not of the net.
  EXPECT_THAT(
      lines_of(sight.graph()),
      ElementsAre("input Placeholder", "block/bend ReLU <input 5x4", "block/body/0 Linear <block/bend 5x6",
                  "block/body/1 Tanh <block/body/0 5x6", "block/body/2 Linear <block/body/1 5x4",
                  "add add <input <block/body/2 5x4", "block/bend_1 ReLU <add 5x4", "out Linear <block/bend_1 5x2"));
  const std::string table = sight.markdown();
  for (const char* row :
       {"| (net) | Whole |  |  |", "| out | Linear | (5, 2) | 10 |", "| block.body | Sequential | (5, 4) |  |",
        "| block.body.1 | Tanh | (5, 6) |  |", "| unused | Linear |  | 12 |", "| all, 3 of them frozen | | | 80 |"}) {
    EXPECT_THAT(table, HasSubstr(row));
  }
}

TEST(LayerSight, AStepThatRunsNoLayerIsNotWhatWasSeen) {
  const auto net = std::make_shared<Whole>();
  LayerSight sight({{.name = "net", .module = net}});
  sight.watch([] { return torch::ones({2}).sum(); });
  EXPECT_FALSE(sight.has_seen());
  EXPECT_THROW(sight.watch([&] { return net->forward(torch::ones({5, 3})); }), std::exception);
  sight.watch([&] { return net->forward(torch::ones({7, 4})); });
  EXPECT_THAT(sight.markdown(), HasSubstr("| out | Linear | (7, 2) | 10 |"));
}

TEST(LayerSight, ALoopOfManyCallsIsOneNode) {
  const auto cell = std::make_shared<torch::nn::LinearImpl>(4, 4);
  LayerSight sight({{.name = "net", .module = cell}});
  auto x = torch::ones({1, 4});
  sight.watch([&] {
    for (int i = 0; i < 100; ++i) x = cell->forward(x);
    return x;
  });
  EXPECT_THAT(lines_of(sight.graph()), ElementsAre("input Placeholder", "Linear Linear <input 1x4"));
}

struct Keeper : Listener {
  void on_media(const events::Media& media) override { all.push_back(media); }
  std::vector<events::Media> all;
};

// Without validation, and with the rehearsal_step of Task, which does nothing.
TEST(LayerSight, ATaskThatIsNotRehearsedIsSeenInItsFirstUpdate) {
  const auto keeper = std::make_shared<Keeper>();
  Classifier watched, alone;
  for (Classifier* task : {&watched, &alone}) {
    TrainerOptions options = quiet(Duration::epochs(2));
    if (task == &watched) {
      options.track = {keeper};
      options.callbacks = {LayerStatistics{}};  // looks at the same step
    }
    Trainer trainer(std::move(options));
    trainer.fit(*task, data_of(clouds(48)));
  }
  EXPECT_TRUE(torch::equal(watched.net->out->weight, alone.net->out->weight));
  std::vector<std::string> graph, names;
  std::string table;
  for (const events::Media& media : keeper->all) {
    if (const auto* shown = std::get_if<events::Graph>(&media.content)) graph = lines_of(*shown);
    if (media.name == "summary") table = std::get<events::Text>(media.content).markdown;
    if (media.name == "graph" || media.name == "summary") names.push_back(media.name);
  }
  EXPECT_THAT(names, ElementsAre("summary", "graph"));
  EXPECT_THAT(table, HasSubstr("| in | Linear | (4, 8) | 40 |"));
  EXPECT_THAT(graph, ElementsAre("input Placeholder", "in Linear <input 4x8", "norm BatchNorm1d <in 4x8",
                                 "relu relu <norm 4x8", "drop Dropout <relu 4x8", "out Linear <drop 4x3"));
}

// Two nets that take turns within one step, with backward passes and optimizers' steps between.
struct Turns : Classifier {
  bool manual_optimization() const override { return true; }
  StepOutput training_step(const Batch& batch, StepContext& context) override {
    for (int turn = 0; turn < 2; ++turn) {
      const auto output = Classifier::training_step(batch, context);
      context.backward(output.loss);
      context.optimizer_step();
    }
    return {};
  }
};

TEST(LayerSight, OptimizersAreNoPartOfTheNet) {
  const auto keeper = std::make_shared<Keeper>();
  Turns task;
  TrainerOptions options = quiet(Duration::steps(1));
  options.track = {keeper};
  Trainer trainer(std::move(options));
  trainer.fit(task, data_of(clouds(48)));
  ASSERT_THAT(keeper->all, SizeIs(2));
  const auto lines = lines_of(std::get<events::Graph>(keeper->all[1].content));
  for (const char* node :
       {"in Linear <input 4x8", "out Linear <drop 4x3", "in_1 Linear <input 4x8", "out_1 Linear <drop_1 4x3"}) {
    EXPECT_THAT(lines, Contains(node));
  }
}

struct Counted : Classifier {
  StepOutput training_step(const Batch& batch, StepContext& context) override {
    passes += 1;
    return Classifier::training_step(batch, context);
  }
  int passes = 0;
};

TEST(LayerSight, ARunTellsItsTrackersWithoutAPassOfItsOwn) {
  const auto keeper = std::make_shared<Keeper>();
  Counted watched, alone;
  for (Counted* task : {&watched, &alone}) {
    TrainerOptions options = quiet(Duration::epochs(2));
    if (task == &watched) options.track = {keeper};
    Trainer trainer(std::move(options));
    trainer.fit(*task, data_of(clouds(48)), data_of(clouds(12, 2)));
  }
  EXPECT_EQ(watched.passes, alone.passes);
  EXPECT_TRUE(torch::equal(watched.net->out->weight, alone.net->out->weight));
  ASSERT_THAT(keeper->all, SizeIs(2));
  EXPECT_EQ(keeper->all[0].name, "summary");
  EXPECT_THAT(std::get<events::Text>(keeper->all[0].content).markdown, HasSubstr("| in | Linear | (4, 8) | 40 |"));
  EXPECT_EQ(keeper->all[1].name, "graph");
  EXPECT_THAT(lines_of(std::get<events::Graph>(keeper->all[1].content)),
              ElementsAre("input Placeholder", "in Linear <input 4x8", "norm BatchNorm1d <in 4x8",
                          "relu relu <norm 4x8", "drop Dropout <relu 4x8", "out Linear <drop 4x3"));
}

}  // namespace
}  // namespace athanor::testing::layer_sight_test
