// SPDX-License-Identifier: Apache-2.0
// Bad input: each mistake is told with what, where and what to do, before the first step where that is possible.
#include <filesystem>
#include <fstream>

#include "athanor/model.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::model_refusals_test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Refusal {
  const char* name;
  std::function<Data(const Examples&)> data = data_of;
  std::function<void(FitOptions&)> change = [](FitOptions&) {};
  Loss loss = athanor::loss::cross_entropy;
  const char* what = "";
  const char* where = "";
  const char* got = "";
  const char* todo = "";  // or what was expected
};

std::ostream& operator<<(std::ostream& stream, const Refusal& refusal) { return stream << refusal.name; }

class Refused : public ::testing::TestWithParam<Refusal> {};

TEST_P(Refused, BeforeTheFirstStepWithAMessageThatHelps) {
  const Refusal& refusal = GetParam();
  auto net = std::make_shared<Small>(1);
  const Tree before = weights_of(net);
  Model model(net, {.loss = refusal.loss, .metrics = {metrics::accuracy()}});
  FitOptions options{.epochs = 2, .batch_size = 8, .verbosity = Verbosity::silent, .device = "cpu"};
  int64_t steps = 0;
  options.callbacks = {Hooks{.step_end = [&](Trainer&) { ++steps; }}};
  std::string whole;
  const Error::Parts parts = error_of([&] {
    try {
      refusal.change(options);
      model.fit(refusal.data(clouds(20)), options);
    } catch (const Error& error) {
      whole = error.what();
      throw;
    }
  });
  EXPECT_THAT(parts.what, HasSubstr(refusal.what));
  EXPECT_THAT(parts.where, HasSubstr(refusal.where));
  EXPECT_THAT(parts.got, HasSubstr(refusal.got));
  EXPECT_THAT(parts.expected + "\n" + parts.todo, HasSubstr(refusal.todo));
  EXPECT_FALSE(parts.what.empty());
  EXPECT_FALSE(parts.expected.empty() && parts.todo.empty()) << whole;
  EXPECT_THAT(whole, Not(AnyOf(HasSubstr("Exception raised from"), HasSubstr("frame #"), HasSubstr(".cpp:"))));
  EXPECT_EQ(steps, 0);
  expect_same(before, weights_of(net));
}

Data with_label(const Examples& examples, int64_t sample, int64_t label) {
  torch::Tensor target = examples.target.clone();
  target[sample] = label;
  return {examples.input, target};
}

INSTANTIATE_TEST_SUITE_P(
    Model, Refused,
    ::testing::Values(
        Refusal{.name = "UnknownMonitor",
                .change = [](FitOptions& options) { options.monitor = "train_ac"; },
                .what = "the monitor 'train_ac' is not among the values of this run",
                .where = "before the first step",
                .got = "train_ac",
                .todo = "did you mean train_acc?"},
        Refusal{.name = "EmptyLoader",
                .data = [](const Examples& e) { return Data(e.input.slice(0, 0, 0), e.target.slice(0, 0, 0)); },
                .what = "empty"},
        Refusal{.name = "EmptyValidationData",
                .change =
                    [](FitOptions& options) {
                      options.validation = {torch::zeros({0, 4}), torch::zeros({0})};
                    },
                .what = "empty"},
        Refusal{.name = "NoData", .data = [](const Examples&) { return Data(); }, .what = "there are no data"},
        Refusal{.name = "ZeroEpochs",
                .change = [](FitOptions& options) { options.epochs = 0; },
                .what = "fit needs at least one epoch",
                .where = "FitOptions::epochs",
                .got = "0",
                .todo = "call evaluate()"},
        Refusal{.name = "BatchSizeZero",
                .change = [](FitOptions& options) { options.batch_size = 0; },
                .where = "batch_size",
                .got = "0",
                .todo = "1 or more"},
        Refusal{.name = "NegativeWorkers",
                .change = [](FitOptions& options) { options.workers = -1; },
                .where = "workers",
                .got = "-1",
                .todo = "0 or more"},
        Refusal{.name = "NoBatches",
                .change = [](FitOptions& options) { options.train_batches = 0; },
                .where = "train_batches",
                .got = "0",
                .todo = "1 or more"},
        Refusal{.name = "PatienceZero",
                .change = [](FitOptions& options) { options.patience = 0; },
                .what = "the patience is too small",
                .got = "0"},
        Refusal{.name = "MismatchedLengths",
                .data = [](const Examples& e) { return Data(e.input, e.target.slice(0, 0, 19)); },
                .got = "19"},
        Refusal{.name = "SplitAndValidation",
                .change =
                    [](FitOptions& options) {
                      options.validation = data_of(clouds(4));
                      options.validation_split = 0.5;
                    },
                .what = "both given"},
        Refusal{.name = "SplitOutOfRange",
                .change = [](FitOptions& options) { options.validation_split = 1.5; },
                .where = "validation_split",
                .got = "1.5"},
        Refusal{.name = "LabelTooLarge",
                .data = [](const Examples& e) { return with_label(e, 17, 3); },
                .what = "a label is out of range",
                .where = "target of sample 17",
                .got = "3; 1 labels",
                .todo = "class numbers from 0 to 2"},
        Refusal{.name = "LabelBelowZero",
                .data = [](const Examples& e) { return with_label(e, 5, -1); },
                .what = "a label is out of range",
                .where = "target of sample 5",
                .got = "-1"},
        Refusal{.name = "LabelOfValidation",
                .change = [](FitOptions& options) { options.validation = with_label(clouds(9), 8, 7); },
                .what = "a label is out of range",
                .where = "target of sample 8",
                .got = "7"},
        Refusal{.name = "LabelsInt32",
                .data = [](const Examples& e) { return Data(e.input, e.target.to(torch::kInt)); },
                .where = "batch 1",
                .todo = "int64"},
        Refusal{.name = "LabelsFloat",
                .data = [](const Examples& e) { return Data(e.input, e.target.to(torch::kFloat)); },
                .where = "batch 1",
                .todo = "int64"},
        Refusal{.name = "LossNotScalar",
                .loss = [](const torch::Tensor& p, const torch::Tensor&) { return p.mean(1); },
                .what = "the loss is not a scalar",
                .where = "batch 1",
                .got = "float32 (8)",
                .todo = ".mean()"},
        Refusal{.name = "InputFloat64",
                .data = [](const Examples& e) { return Data(e.input.to(torch::kDouble), e.target); },
                .what = "step failed",
                .where = "batch 1, samples ",
                .got = "input float64 (8, 4), target int64 (8)",
                .todo = "input.to(torch::kFloat32)"},
        Refusal{.name = "InputUint8",
                .data = [](const Examples& e) { return Data(e.input.abs().to(torch::kByte), e.target); },
                .where = "batch 1",
                .got = "input uint8 (8, 4)",
                .todo = "torch::kFloat32"},
        Refusal{.name = "InputShape",
                .data = [](const Examples& e) { return Data(torch::zeros({20, 5}), e.target); },
                .where = "batch 1",
                .got = "input float32 (8, 5)",
                .todo = "Linear layer"},
        Refusal{.name = "ShapeOfValidation",
                .change =
                    [](FitOptions& options) {
                      options.validation = {torch::zeros({6, 2}), clouds(6).target};
                    },
                .what = "the validation step failed",
                .got = "input float32 (6, 2)"},
        Refusal{.name = "NoTarget", .data = [](const Examples& e) { return Data(e.input); }, .todo = "target"},
        Refusal{.name = "NoLoss", .loss = {}, .what = "a model without a loss", .where = "ModelOptions::loss"},
        Refusal{.name = "UnknownDevice",
                .change = [](FitOptions& options) { options.device = "gpu"; },
                .what = "not the name of a device",
                .got = "gpu",
                .todo = "cuda"},
        Refusal{.name = "FolderBelowAFile",
                .change =
                    [](FitOptions& options) {
                      const fs::path file = fs::path(::testing::TempDir()) / "athanor_regular_file";
                      std::ofstream(file) << "not a folder";
                      options.run = file / "run";
                    },
                .where = "athanor_regular_file"}),
    [](const auto& info) { return info.param.name; });

/// Data that are made sample by sample, so that nobody can look at all targets beforehand.
struct Streamed {
  Examples examples = clouds(20);
  [[nodiscard]] int64_t size() const { return 20; }
  [[nodiscard]] Sample get(int64_t index) const {
    const int64_t label = index == 17 ? 9 : examples.target[index].item<int64_t>();
    return {examples.input[index], Tree(label)};
  }
};

TEST(StreamedLabels, OutOfRangeAreToldAtTheirStepWithTheIndexOfTheSample) {
  for (const int workers : {0, 2}) {
    auto net = std::make_shared<Small>(1);
    Model model(net, {.loss = loss::cross_entropy});
    Tree last = weights_of(net);
    FitOptions options{.epochs = 2, .batch_size = 4, .shuffle = false, .verbosity = Verbosity::silent, .device = "cpu"};
    options.workers = workers;
    int64_t steps = 0;
    options.callbacks = {Hooks{.step_end = [&](Trainer&) {
      ++steps;
      last = weights_of(net);
    }}};
    const Error::Parts parts = error_of([&] { model.fit(Streamed(), options); });
    EXPECT_EQ(parts.what, "a label is out of range");
    EXPECT_EQ(parts.where, "target of sample 17");
    EXPECT_THAT(parts.got, StartsWith("9; "));
    EXPECT_THAT(parts.expected, HasSubstr("from 0 to 2"));
    EXPECT_EQ(steps, 4);
    for (const char* name : {"in.weight", "out.weight"}) {
      EXPECT_TRUE(torch::equal(last[name].tensor(), weights_of(net)[name].tensor()));
    }
  }
}

TEST(EvaluateAndPredict, ExplainTheirMistakesToo) {
  auto net = std::make_shared<Small>(1);
  Model model(net, {.loss = loss::cross_entropy});
  const Error::Parts shape = error_of([&] { static_cast<void>(model.predict(Data(torch::zeros({4, 5})))); });
  EXPECT_THAT(shape.where, StartsWith("batch 1, samples 0, 1, 2, 3"));
  EXPECT_THAT(shape.todo, HasSubstr("Linear"));
  EXPECT_EQ(error_of([&] { model.evaluate(with_label(clouds(9), 4, 3)); }).where, "target of sample 4");
  EXPECT_THAT(error_of([&] { model.load_weights("/nowhere/w.safetensors"); }).where + " ", HasSubstr("/nowhere"));
  EXPECT_THROW(model.save_weights("/nowhere/w.safetensors"), Error);
}

TEST(ATrainer, SaysWhatATaskLacks) {
  struct Empty : Task {
    StepOutput training_step(const Batch&, StepContext&) override { return {}; }
    Optimizers configure_optimizers() override { return {}; }
  } empty;
  Trainer trainer(quiet(Duration::epochs(1)));
  EXPECT_EQ(error_of([&] { trainer.fit(empty, data_of(clouds(4))); }).what, "a task without nets");
  EXPECT_EQ(error_of([&] { static_cast<void>(trainer.save_state()); }).what, "the trainer has no task yet");
  EXPECT_EQ(error_of([] { Trainer(quiet(Duration::steps(0))); }).where, "max_duration");
  torch::nn::Linear net(4, 3);
  Tailored without(
      {{"net", net.ptr()}}, [](const Batch&, StepContext&) { return StepOutput(); }, [] { return Optimizers(); });
  EXPECT_EQ(error_of([&] { trainer.fit(without, data_of(clouds(4))); }).what, "a task without an optimizer");
  EXPECT_EQ(error_of([&] {
              Tailored twice({{"net", net.ptr()}, {"net", net.ptr()}}, {}, {});
            }).what,
            "two nets of a task have one name");
  EXPECT_EQ(error_of([&] { Tailored none({{"net", nullptr}}, {}, {}); }).what, "a net is empty");
}

}  // namespace
}  // namespace athanor::testing::model_refusals_test
