// SPDX-License-Identifier: Apache-2.0
// The table of classes beside scikit-learn's, and when it is made.
#include "athanor/callbacks/class_report.hpp"

#include "tests/core/error_of.hpp"
#include "tests/optim/python_peer.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::class_report_test {
namespace {

using namespace athanor::literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Script {
  static constexpr const char* name = "../callbacks/class_report_peer.py";
};
using ClassReportPython = PythonPeer<Script>;

/// Its predictions are its input.
class Repeat : public Task {
 public:
  StepOutput training_step(const Batch& batch, StepContext&) override {
    return {net->forward(torch::zeros({1, 1})).sum() * 0, batch.input};
  }
  Optimizers configure_optimizers() override { return optim::Adam().on(net); }
  torch::nn::Linear net = register_net("net", torch::nn::Linear(1, 1));
};

// The same numbers as in class_report_peer.py.
Data problem() {
  const torch::Tensor number = torch::arange(97);
  const torch::Tensor target = (number * 7).remainder(11).remainder(4);
  torch::Tensor predicted = torch::where(number.remainder(3) == 0, target, (number * 5).remainder(13).remainder(5));
  predicted = torch::where(predicted == 3, torch::full_like(predicted, 2), predicted);
  return {torch::one_hot(predicted, 5).to(torch::kFloat), target};
}

// Quotients of whole numbers, rounded once on both sides; sums of five of them for the means.
TEST_F(ClassReportPython, TheTableIsThatOfScikitLearn) {
  const std::vector<double> expected = read("report");
  ASSERT_EQ(expected.size(), 7u * 4 + 1 + 25);
  for (const int64_t batch_size : {1, 10, 97}) {
    auto report = std::make_shared<ClassReport>(ClassReportOptions{.stage = Stage::test, .show = false});
    TrainerOptions options = quiet(1_epochs, {report});
    options.batch_size = batch_size;
    Repeat task;
    Trainer(options).evaluate(task, problem());
    const ClassTable& table = report->table();
    std::vector<ClassScores> rows = table.classes;
    ASSERT_EQ(rows.size(), 5u);
    rows.push_back(table.macro);
    rows.push_back(table.weighted);
    size_t place = 0;
    for (const ClassScores& row : rows) {
      EXPECT_NEAR(row.precision, expected[place++], 1e-14) << row.name;
      EXPECT_NEAR(row.recall, expected[place++], 1e-14) << row.name;
      EXPECT_NEAR(row.f1, expected[place++], 1e-14) << row.name;
      EXPECT_EQ(static_cast<double>(row.support), expected[place++]) << row.name;
    }
    EXPECT_NEAR(table.accuracy, expected[place++], 1e-15);
    for (int64_t i = 0; i < 25; ++i) {
      EXPECT_EQ(static_cast<double>(table.confusion.view(-1)[i].item<int64_t>()), expected[place++]);
    }
    EXPECT_EQ(table.epoch, 0);
    EXPECT_EQ(table.loader, "test");
  }
}

TEST(ClassReport, TheTextAndTheValues) {
  ClassTable table = class_table(torch::tensor({9, 1, 0, 2, 7, 1, 0, 0, 0}).view({3, 3}), {"cat", "dog", "señal"});
  table.loader = "val";
  table.epoch = 3;
  EXPECT_EQ(table.text(),
            "val, epoch 3  precision     recall         f1    support\n"
            "cat              0.8182     0.9000     0.8571         10\n"
            "dog              0.8750     0.7000     0.7778         10\n"
            "señal            0.0000     0.0000     0.0000          0\n"
            "macro            0.5644     0.5333     0.5450         20\n"
            "weighted         0.8466     0.8000     0.8175         20\n"
            "accuracy                               0.8000         20\n"
            "\n"
            "target \\ predicted    cat    dog  señal\n"
            "cat                     9      1      0\n"
            "dog                     2      7      1\n"
            "señal                   0      0      0\n");
  const Values values = table.values("val_");
  EXPECT_EQ(values["val_recall_cat"], 0.9);
  EXPECT_EQ(values["val_support_dog"], 10);
  EXPECT_EQ(values["val_accuracy"], 0.8);
  EXPECT_NEAR(values["val_f1_macro"], (6.0 / 7 + 7.0 / 9) / 3, 1e-15);
  EXPECT_EQ(values.size(), 5u * 4 + 1);
  EXPECT_EQ(class_table(torch::eye(21)).text().find("predicted"), std::string::npos) << "a matrix that no screen holds";
}

TEST(ClassReport, EachEpochAndEachDataHasItsTableAndItIsShown) {
  struct Messages : Listener {
    void on_message(const events::Message& message) override { texts.push_back(message.text); }
    std::vector<std::string> texts;
  };
  auto messages = std::make_shared<Messages>();
  std::vector<std::string> told;
  auto report = std::make_shared<ClassReport>(ClassReportOptions{
      .names = {"a", "b", "c"},
      .on_table = [&](const ClassTable& table) { told.push_back(table.loader + std::to_string(table.epoch)); }});
  TrainerOptions options = quiet(2_epochs, {report});
  options.track = {messages};
  Classifier task;
  Trainer trainer(options);
  trainer.fit(task, Feeds{.train = data_of(clouds(22)),
                          .validation = {data_of(clouds(10, 2)).named("x"), data_of(clouds(13, 3)).named("y")}});
  EXPECT_THAT(told, ElementsAre("x1", "y1", "x2", "y2"));
  ASSERT_EQ(messages->texts.size(), 4u);
  EXPECT_EQ(messages->texts[3] + "\n", report->table("y").text());
  EXPECT_EQ(report->table("x").weighted.support, 10);
  EXPECT_EQ(report->table("y").weighted.support, 13);
  EXPECT_EQ(report->table("x").accuracy, trainer.values()["x_acc"]);
  EXPECT_EQ(report->table("y").accuracy, trainer.values()["y_acc"]);
  EXPECT_THAT(error_of([&] { return report->table("z"); }).expected, HasSubstr("one of x, y"));
}

// The counts of training agree with the metric of the engine; an update that is not finite is in neither.
TEST(ClassReport, InTrainingItCountsWhatTheMetricsCount) {
  auto report = std::make_shared<ClassReport>(ClassReportOptions{.stage = Stage::train, .show = false});
  TrainerOptions options = quiet(2_epochs, {report});
  options.accumulate = Accumulation(2);
  options.non_finite.policy = NonFinite::skip;
  Examples examples = clouds(22);
  examples.input[5][0] = std::numeric_limits<float>::quiet_NaN();
  Classifier task;
  Trainer trainer(options);
  trainer.fit(task, data_of(examples));
  EXPECT_LT(report->table().weighted.support, 22);
  EXPECT_GE(report->table().weighted.support, 14);
  EXPECT_NEAR(report->table().accuracy, trainer.values()["train_acc"], 1e-12);
}

TEST(ClassReport, ARunThatGoesOnElsewhereCountsTheSame) {
  std::vector<Tree> saved;
  const auto train = [&](const std::shared_ptr<ClassReport>& report, const Tree* from) {
    TrainerOptions options = quiet(2_epochs, {report, Hooks{.step_end = [&, from](Trainer& running) {
                                                if (from == nullptr) saved.push_back(running.save_state());
                                              }}});
    Classifier task(from == nullptr ? 1 : 99);
    Trainer trainer(options);
    if (from != nullptr) trainer.load_state(task, *from);
    trainer.fit(task, data_of(clouds(22)));
    return trainer.save_state();
  };
  const auto make = [] {
    return std::make_shared<ClassReport>(ClassReportOptions{.stage = Stage::train, .show = false});
  };
  auto whole = make();
  const Tree end = train(whole, nullptr);
  ASSERT_EQ(saved.size(), 12u);
  for (const size_t step : {0u, 3u, 5u, 7u, 11u}) {
    auto resumed = make();
    expect_same(end, train(resumed, &saved[step]));
    EXPECT_TRUE(torch::equal(resumed->table().confusion, whole->table().confusion));
  }
}

TEST(ClassReport, WhatCanNotBeReportedIsRefused) {
  EXPECT_THAT(error_of([] { return ClassReport({.confusion = {.normalize = metrics::Normalize::all}}); }).where,
              HasSubstr("normalize"));
  EXPECT_THAT(error_of([] { return class_table(torch::ones({2, 3})); }).got, HasSubstr("(2, 3)"));
  Classifier task;
  Trainer trainer(quiet(1_epochs, {ClassReport({.names = {"only", "two"}})}));
  const Error::Parts parts = error_of([&] { return trainer.fit(task, data_of(clouds(8)), data_of(clouds(8))); });
  EXPECT_EQ(parts.got, "2 names");
  EXPECT_EQ(parts.expected, "3, one for each class");
  EXPECT_EQ(error_of([] { return ClassReport().table(); }).what, "there is no report of such a pass yet");
}

}  // namespace
}  // namespace athanor::testing::class_report_test
