// SPDX-License-Identifier: Apache-2.0
// run.json: what it says of a run, across resumes, failures and damage.
#include "athanor/train/run_record.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "athanor/callbacks/checkpoints.hpp"
#include "athanor/core/host.hpp"
#include "athanor/core/version.hpp"
#include "athanor/track/run_log.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::run_record_test {
namespace {

namespace fs = std::filesystem;
using namespace athanor::literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

Json read(const fs::path& path) {
  std::ifstream file(path);
  return Json::parse(file);
}

class RunRecords : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "athanor-record-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
    run_ = root_ / "run";
  }
  void TearDown() override { fs::remove_all(root_); }

  [[nodiscard]] TrainerOptions options(Duration length) const {
    TrainerOptions options{.max_duration = length, .batch_size = 16, .seed = 7};
    options.run = run_;
    options.verbosity = Verbosity::silent;
    options.device = "cpu";
    options.header = {{"optimizer", "Adam"}};
    return options;
  }
  [[nodiscard]] Json starts() const { return read(run_ / "run.json")["starts"]; }

  fs::path root_;
  fs::path run_;
};

TEST_F(RunRecords, SaysWhatWasRunOnWhatAndHowItWent) {
  Classifier task;
  const Examples data = clouds(96);
  Trainer trainer(options(3_epochs));
  const History history = trainer.fit(task, data_of(data), data_of(clouds(48, 2)));
  const Json record = read(run_ / "run.json");
  EXPECT_EQ(record["format"], 1);
  ASSERT_EQ(record["starts"].size(), 1u);
  const Json& start = record["starts"][0];
  EXPECT_THAT(start["command_line"][0].get<std::string>(), HasSubstr("/"));
  EXPECT_EQ(start["working_folder"], fs::current_path().string());
  EXPECT_EQ(start["versions"]["athanor"], std::string(version));
  EXPECT_EQ(start["versions"]["libtorch"], TORCH_VERSION);
  EXPECT_THAT(start["versions"]["compiler"].get<std::string>(), HasSubstr("."));
  EXPECT_EQ(start["versions"]["kernels"], at::get_cpu_capability());
  EXPECT_EQ(start["process"], static_cast<int64_t>(::getpid()));
  EXPECT_EQ(start["device"], "cpu");
  EXPECT_EQ(start["threads"], at::get_num_threads());
  EXPECT_EQ(start["seed"], 7);
  EXPECT_EQ(start["parameters"], 4 * 8 + 8 + 16 + 8 * 3 + 3);
  EXPECT_EQ(start["header"]["optimizer"], "Adam");
  EXPECT_EQ(start["settings"]["lr"], 0.02);
  EXPECT_EQ(start["options"]["batch_size"], 16);
  EXPECT_EQ(start["options"]["max_duration"], read(run_ / "options.json")["max_duration"]);
  EXPECT_EQ(start["data"]["train"]["samples"], 96);
  EXPECT_EQ(start["data"]["val"]["samples"], 48);
  EXPECT_EQ(start["data"]["train"]["sample"]["input"], "float32 (4)");
  EXPECT_EQ(start["data"]["train"]["sample"]["target"], "int64 ()");
  EXPECT_EQ(start["values"]["val_acc"], "up");
  EXPECT_EQ(start["values"]["val_loss"], "down");
  EXPECT_TRUE(start["resumed_from"].is_null());
  EXPECT_EQ(start["begins_at"]["step"], 0);

  EXPECT_EQ(start["finished"], true);
  EXPECT_EQ(start["stop_reason"], history.stop_reason());
  EXPECT_EQ(start["epochs"], 3);
  EXPECT_EQ(start["steps"], 18);
  EXPECT_GE(start["ended"].get<std::string>(), start["begun"].get<std::string>());
  const std::vector<double> losses = history["val_loss"];
  const auto best = std::min_element(losses.begin(), losses.end());
  EXPECT_EQ(start["best"]["val_loss"]["value"], *best);
  EXPECT_EQ(start["best"]["val_loss"]["epoch"], best - losses.begin() + 1);
  const std::vector<double> accuracies = history["val_acc"];
  EXPECT_EQ(start["best"]["val_acc"]["value"], *std::max_element(accuracies.begin(), accuracies.end()));
  EXPECT_EQ(start["last"]["train_loss"], history["train_loss"].back());
  EXPECT_FALSE(start["best"].contains("train_spread")) << "nobody knows which way is better";
}

TEST_F(RunRecords, AResumedRunAppendsASection) {
  const Examples data = clouds(64);
  {
    Classifier task;
    TrainerOptions first = options(2_epochs);
    first.callbacks = {Checkpoints()};
    Trainer(first).fit(task, data_of(data));
  }
  Classifier task;
  TrainerOptions second = options(4_epochs);
  second.callbacks = {Checkpoints()};
  second.resume = Resume::automatic();
  Trainer(second).fit(task, data_of(data));
  const Json both = starts();
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0]["epochs"], 2);
  EXPECT_EQ(both[0]["finished"], true);
  EXPECT_EQ(both[1]["begins_at"]["epoch"], 2.0);
  EXPECT_EQ(both[1]["begins_at"]["step"], 8);
  EXPECT_THAT(both[1]["resumed_from"].get<std::string>(), HasSubstr("-epoch-2-step-8"));
  EXPECT_EQ(both[1]["epochs"], 4);
  EXPECT_EQ(both[1]["data"], both[0]["data"]);
}

TEST_F(RunRecords, ASecondCallInTheSameFolderIsASectionToo) {
  Classifier task;
  const Examples data = clouds(32);
  Trainer trainer(options(1_epochs));
  trainer.fit(task, data_of(data));
  trainer.fit(task, data_of(data));
  const Json both = starts();
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0]["epochs"], 1);
  EXPECT_EQ(both[1]["epochs"], 2);
}

TEST_F(RunRecords, AnExceptionIsRecordedAsTheReason) {
  Classifier task;
  TrainerOptions failing = options(3_epochs);
  failing.callbacks = {every(5_steps, [](Trainer&) { throw Error({.what = "the disk burns", .where = "a test"}); })};
  Trainer trainer(failing);
  EXPECT_THROW(trainer.fit(task, data_of(clouds(64))), Error);
  const Json start = starts()[0];
  EXPECT_EQ(start["finished"], false);
  EXPECT_EQ(start["stop_reason"], "the disk burns");
  EXPECT_EQ(start["epochs"], 1) << "the last whole one";
}

TEST_F(RunRecords, AKilledStartKeepsNoEndAndIsNotEndedByAnother) {
  Classifier task;
  const Examples data = clouds(32);
  Trainer(options(1_epochs)).fit(task, data_of(data));
  Json record = read(run_ / "run.json");
  record["starts"][0].erase("ended");
  record["starts"][0]["id"] = "another process";
  std::ofstream(run_ / "run.json") << record;
  History history;
  end_run_record(run_, {.history = history, .stop_reason = "not its own"});
  EXPECT_FALSE(starts()[0].contains("ended"));
  static_cast<void>(begin_run_record(run_, {}));
  end_run_record(run_, {.history = history, .stop_reason = "its own"});
  EXPECT_FALSE(starts()[0].contains("ended"));
  EXPECT_EQ(starts()[1]["stop_reason"], "its own");
  end_run_record(run_, {.history = history, .stop_reason = "a second time"});
  EXPECT_EQ(starts()[1]["stop_reason"], "its own");
}

TEST_F(RunRecords, ADamagedRecordIsPutAsideAndSaid) {
  fs::create_directories(run_);
  for (const char* text : {"{\"format\": 1, \"starts\": [", "[]", "{\"format\": 2, \"starts\": []}", ""}) {
    std::ofstream(run_ / "run.json") << text;
    EXPECT_THAT(begin_run_record(run_, {}), HasSubstr("run-damaged.json")) << text;
    EXPECT_EQ(starts().size(), 1u);
    std::ifstream aside(run_ / "run-damaged.json");
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(aside), {}), text);
  }
}

TEST_F(RunRecords, KeepsTheFirstAndTheLastStarts) {
  fs::create_directories(run_);
  for (int i = 0; i < 3; ++i) static_cast<void>(begin_run_record(run_, {.step = i}));
  Json record = read(run_ / "run.json");
  while (record["starts"].size() < 100) record["starts"].push_back(record["starts"].back());
  std::ofstream(run_ / "run.json") << record;
  static_cast<void>(begin_run_record(run_, {.step = 77}));
  EXPECT_EQ(starts().size(), 100u);
  EXPECT_EQ(starts()[0]["begins_at"]["step"], 0);
  EXPECT_EQ(starts()[1]["begins_at"]["step"], 2);
  EXPECT_EQ(starts()[99]["begins_at"]["step"], 77);
  EXPECT_EQ(read(run_ / "run.json")["starts_left_out"], 1);
}

TEST_F(RunRecords, NaNAndInfinityAreNeverBestAndStayJson) {
  fs::create_directories(run_);
  History history;
  const double values[] = {0.5, std::nan(""), -HUGE_VAL, 0.25, 0.75};
  for (int64_t i = 0; i < 5; ++i) history.add({.number = i + 1, .steps = i + 1, .values = {{"val_loss", values[i]}}});
  history.add({.number = 6, .steps = 6, .values = {{"val_loss", std::nan("")}}});
  static_cast<void>(begin_run_record(run_, {.settings = {{"lr", HUGE_VAL}}}));
  end_run_record(run_, {.history = history, .values = {{"val_loss", Direction::down}, {"val_acc", Direction::up}}});
  const Json start = starts()[0];
  EXPECT_EQ(start["best"], (Json{{"val_loss", {{"epoch", 4}, {"value", 0.25}}}}));
  EXPECT_EQ(start["last"]["val_loss"], "nan");
  EXPECT_EQ(start["settings"]["lr"], "inf");
}

struct Numbers {
  int64_t count = 100;
  int64_t changed = -1;
  std::vector<int64_t>* asked = nullptr;
  [[nodiscard]] int64_t size() const { return count; }
  [[nodiscard]] Sample get(int64_t index, Philox& random) const {
    if (asked != nullptr) asked->push_back(index);
    const double value = static_cast<double>(index) + (index == changed ? 0.5 : 0) + random.uniform();
    return {Tree(torch::full({3}, value)), Tree(torch::tensor(index % 2))};
  }
};

TEST(DataRecords, CostsEightSamplesAndIsTheSameEachTime) {
  std::vector<int64_t> asked;
  const Tree first = data_record(Loader(Dataset(Numbers{.asked = &asked}), {.batch_size = 5}));
  EXPECT_THAT(asked, ElementsAre(0, 14, 28, 42, 56, 70, 84, 99));
  EXPECT_EQ(first["samples_hashed"].integer(), 8);
  EXPECT_EQ(first["sample"]["input"].text(), "float32 (3)");
  const auto checksum_of = [](Numbers data) { return data_record(Loader(Dataset(data), {}))["crc32"].text(); };
  EXPECT_EQ(checksum_of({}), first["crc32"].text()) << "batch size and augmentation don't matter";
  EXPECT_NE(checksum_of({.changed = 42}), first["crc32"].text());
  EXPECT_NE(checksum_of({.count = 101}), first["crc32"].text());
  EXPECT_EQ(checksum_of({.count = 1}).size(), 8u);
}

struct SlowNumbers {
  std::vector<int64_t>* asked;
  [[nodiscard]] static int64_t size() { return 100; }
  [[nodiscard]] Sample get(int64_t index) const {
    asked->push_back(index);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    return {Tree(torch::full({3}, static_cast<double>(index))), Tree(torch::tensor(0))};
  }
};

TEST(DataRecords, OfSlowDataOneSampleIsEnough) {
  std::vector<int64_t> asked;
  const Tree record = data_record(Loader(Dataset(SlowNumbers{.asked = &asked}), {}));
  EXPECT_THAT(asked, ElementsAre(0));
  EXPECT_EQ(record["samples_hashed"].integer(), 1);
  EXPECT_EQ(record["sample"]["input"].text(), "float32 (3)");
}

struct Unreadable {
  [[nodiscard]] int64_t size() const { return 9; }
  [[nodiscard]] Sample get(int64_t) const { throw Error({.what = "the disk is gone", .where = "sample 0"}); }
};

TEST(DataRecords, WhatTheDataThrowIsRecorded) {
  const Tree record = data_record(Loader(Dataset(Unreadable{}), {}));
  EXPECT_EQ(record["samples"].integer(), 9);
  EXPECT_EQ(record["error"].text(), "the disk is gone");
}

TEST(DataRecords, OfALargeTensorOnlyItsBeginIsRead) {
  torch::Tensor large = torch::zeros({1, 100'000});
  const auto checksum = [&] { return data_record(Loader(Dataset(Tree(large)), {.batch_size = 1}))["crc32"].text(); };
  const std::string before = checksum();
  large[0][16'384] = 1;
  EXPECT_EQ(checksum(), before) << "behind 64 KiB";
  large[0][16'383] = 1;
  EXPECT_NE(checksum(), before);
}

TEST_F(RunRecords, ARunWithoutAFolderHasNone) {
  Classifier task;
  TrainerOptions without = options(1_epochs);
  without.run.reset();
  Trainer(without).fit(task, data_of(clouds(32)));
  EXPECT_FALSE(fs::exists(run_));
}

TEST_F(RunRecords, ALoopOfOnesOwnHasOneToo) {
  RunLog log({.epochs = 2, .run = run_, .verbosity = Verbosity::silent, .header = {{"eta", "0.3"}}});
  static_cast<void>(log.epoch({{"val_loss", 0.5}}));
  static_cast<void>(log.epoch({{"val_loss", 0.75}}));
  log.end();
  const Json start = starts()[0];
  EXPECT_EQ(start["header"]["eta"], "0.3");
  EXPECT_EQ(start["best"]["val_loss"]["epoch"], 1);
  EXPECT_EQ(start["stop_reason"], "all 2 epochs done");
  EXPECT_TRUE(start["seed"].is_null());
}

}  // namespace
}  // namespace athanor::testing::run_record_test
