// SPDX-License-Identifier: Apache-2.0
// Every option of a run by its name from outside.
#include "athanor/options.hpp"

#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::options_test {
namespace {

using namespace athanor::literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Options, OfATrainerFromTheCommandLine) {
  TrainerOptions options;
  const char* arguments[] = {"program",
                             "--max-duration",
                             "500 steps",
                             "--accumulate=1:1,5:4",
                             "--clip.norm",
                             "0.5",
                             "--precision",
                             "bf16",
                             "--non_finite.policy=roll_back",
                             "--no-shuffle",
                             "--train_batches",
                             "0.25",
                             "--channels_last",
                             "data.bin",
                             "--max_time",
                             "2 hours"};
  EXPECT_THAT(set_options_from_command_line(options, std::size(arguments), arguments), ElementsAre("data.bin"));
  EXPECT_EQ(options.max_duration, 500_steps);
  EXPECT_EQ(options.accumulate.describe(), "1:1,5:4");
  EXPECT_EQ(options.clip->norm, 0.5);
  EXPECT_EQ(options.precision, Precision::bf16);
  EXPECT_EQ(options.non_finite.policy, NonFinite::roll_back);
  EXPECT_FALSE(options.shuffle);
  EXPECT_EQ(options.train_batches, Limit(0.25));
  EXPECT_TRUE(options.channels_last);
  EXPECT_EQ(options.max_time, 2_hours);
}

TEST(Options, OfAFitFromJson) {
  FitOptions options;
  set_options_from_json_text(options, R"({"epochs": 3, "restore_best": "never", "mode": "max", "class_weight": [1, 2.5],
      "trainer": {"penalties": [{"pattern": "*weight", "l1": 1e-5}], "validate_every": "0.5 epochs"}})");
  EXPECT_EQ(options.epochs, 3);
  EXPECT_EQ(options.restore_best, RestoreBest::never);
  EXPECT_EQ(options.mode, Mode::max);
  EXPECT_THAT(options.class_weight, ElementsAre(1, 2.5));
  ASSERT_EQ(options.trainer.penalties.size(), 1u);
  EXPECT_EQ(options.trainer.penalties[0].l1, 1e-5);
  EXPECT_EQ(options.trainer.validate_every, Duration::epochs(0.5));
}

TEST(Options, AnUnknownNameIsRefusedWithTheNearest) {
  TrainerOptions options;
  const Error::Parts parts = error_of([&] {
    set_options_from_json_text(options, R"({"batch_sise": 4, "seed": "many"})");
    return 0;
  });
  EXPECT_THAT(parts.got, AllOf(HasSubstr("batch_size"), HasSubstr("seed")));
  EXPECT_EQ(options.batch_size, TrainerOptions().batch_size);
}

TEST(Options, WhatWasUsedReadsBackToTheSame) {
  TrainerOptions options;
  options.accumulate = {{1, 2}, {3, 4}};
  options.train_batches = 0.3;
  options.clip = Clip{.value = 0.1};
  options.penalties = {{.pattern = "a*", .l2 = 1.0 / 3}};
  options.min_duration = 100_samples;
  const std::string json = options_to_json(options);
  TrainerOptions read;
  set_options_from_json_text(read, json);
  EXPECT_EQ(options_to_json(read), json);
  EXPECT_THAT(options_help(options), HasSubstr("accumulate"));
}

TEST(Options, AreKeptInTheRunFolder) {
  const auto folder = std::filesystem::temp_directory_path() / ("athanor_options_" + std::to_string(getpid()));
  TrainerOptions options = quiet(1_epochs);
  options.run = folder;
  options.accumulate = 2;
  Classifier task;
  Trainer(options).fit(task, data_of(clouds(8)));
  TrainerOptions read;
  set_options_from_json(read, folder / "options.json");
  EXPECT_EQ(options_to_json(read), options_to_json(options));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace athanor::testing::options_test
