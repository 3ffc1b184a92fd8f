// SPDX-License-Identifier: Apache-2.0
// points.bin: written, read while it grows, torn, damaged, gone on with.
#include "athanor/track/points_file.hpp"

#include <ATen/ops/rand.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "athanor/track/points_format.hpp"
#include "athanor/track/stored_run.hpp"
#include "tests/core/error_of.hpp"
#include "tests/track/tracking.hpp"

namespace athanor::testing::points_file_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using track::PointsWriter;
using track::StoredRun;
namespace fs = std::filesystem;

constexpr double infinity = std::numeric_limits<double>::infinity();

void write_bytes(const fs::path& path, const std::string& bytes, bool append = false) {
  std::ofstream(path, append ? std::ios::binary | std::ios::app : std::ios::binary) << bytes;
}

std::vector<int64_t> steps_of(const StoredRun& run, const track::StoredCurve& curve) {
  std::vector<int64_t> steps;
  for (const uint32_t row : curve.rows) steps.push_back(run.rows[row].step);
  return steps;
}

TEST(PointsFile, HoldsTheWholeRun) {
  const TemporaryFolder folder;
  PointsWriter writer;
  ScriptedRun(folder.path()).tell(writer);
  StoredRun run("a run", folder.path());
  EXPECT_TRUE(run.refresh());
  EXPECT_FALSE(run.refresh());
  EXPECT_THAT(run.problem, IsEmpty());
  EXPECT_EQ(run.state, StoredRun::State::ended);
  EXPECT_EQ(run.reason, "all epochs done");
  EXPECT_EQ(run.device, "cpu");
  EXPECT_EQ(run.parameters, 100);
  EXPECT_EQ(run.options[3], (std::pair<std::string, std::string>{"a|b", "1\n2"}));
  EXPECT_THAT(run.messages, SizeIs(2));
  EXPECT_EQ(run.messages[1].text, "größe, \"wow\" 2");
  EXPECT_TRUE(run.messages[1].warning);
  EXPECT_EQ(run.best->epoch, 2);
  EXPECT_EQ(run.best->value, 0.375);
  EXPECT_THAT(run.step_curves.at("train_loss").values, ElementsAre(1.0, 0.5));
  EXPECT_THAT(steps_of(run, run.step_curves.at("train_loss")), ElementsAre(50, 100));
  EXPECT_THAT(run.step_curves.at("gradient_norm").values, ElementsAre(infinity, infinity));
  EXPECT_THAT(run.epoch_curves.at("val_loss").values, ElementsAre(0.75, 0.375));
  EXPECT_THAT(steps_of(run, run.epoch_curves.at("val_loss")), ElementsAre(60, 120));
  EXPECT_THAT(run.epoch_curves.at("odd").values, ElementsAre(-infinity, -infinity));
  EXPECT_TRUE(std::isnan(run.epoch_curves.at("clean_loss").values[0]));
  EXPECT_TRUE(run.epoch_curves.contains("train_top 1/größe, \"x\""));
  EXPECT_TRUE(run.epoch_curves.contains("lr"));
}

TEST(PointsFile, IsWhatItsDescriptionSays) {
  const TemporaryFolder folder;
  PointsWriter writer;
  ScriptedRun(folder.path()).tell(writer);
  const PythonOutput output = run_python("points_peer.py " + (folder.path() / "points.bin").string());
  EXPECT_EQ(output.status, 0) << output.text;
  EXPECT_THAT(output.text, HasSubstr("step 50 1600 train_loss=1.0 lr=0.001 gradient_norm=inf\n"));
  EXPECT_THAT(output.text, HasSubstr("step 100 3200 train_loss=0.5 lr=0.001 gradient_norm=inf\n"));
  EXPECT_THAT(output.text, HasSubstr("epoch 2.0 120 train_loss=0.25 train_top 1/größe, \"x\"=0.25 val_loss=0.375 "
                                     "clean_loss=nan odd=-inf\n"));
}

TEST(PointsFile, EpochsLieBetweenTheirEndsByTheSteps) {
  const TemporaryFolder folder;
  PointsWriter writer;
  ScriptedRun(folder.path()).tell(writer);
  StoredRun run("a run", folder.path());
  run.refresh();
  const track::CurveView view = run.view(run.step_curves.at("train_loss"), track::RunAxis::epoch);
  EXPECT_DOUBLE_EQ(view.x(0), 50.0 / 60);
  EXPECT_DOUBLE_EQ(view.x(1), 1 + 40.0 / 60);
  const track::CurveView steps = run.view(run.epoch_curves.at("val_loss"), track::RunAxis::step);
  EXPECT_EQ(steps.x(1), 120);
  const track::CurveView epochs = run.view(run.epoch_curves.at("val_loss"), track::RunAxis::epoch);
  EXPECT_EQ(epochs.x(1), 2);
  EXPECT_EQ(run.row_of_epoch(2)->step, 120);
}

TEST(PointsFile, StepsKeepTheTimeTheyWereTold) {
  const TemporaryFolder folder;
  PointsWriter writer;
  writer.on_run_begin({.folder = folder.path()});
  for (int64_t i = 1; i <= 3; ++i) {
    writer.on_step({.step = i,
                    .samples = 32 * i,
                    .values = {{"train_loss", 1}, {track::points_time_name, 1000 + 0.5 * static_cast<double>(i)}}});
  }
  writer.on_run_broken({.reason = "disk full"});
  StoredRun run("a run", folder.path());
  run.refresh();
  EXPECT_EQ(run.state, StoredRun::State::broken);
  EXPECT_EQ(run.reason, "disk full");
  EXPECT_EQ(run.rows[2].time, 1001.5);
  EXPECT_FALSE(run.step_curves.contains(track::points_time_name));
  EXPECT_THAT(run.step_curves.at("samples_per_second").values, ElementsAre(64.0, 64.0));
  EXPECT_GT(run.step_curves.at("memory_mb").values.at(0), 1);
}

TEST(PointsFile, IsReadWhereverItIsTornAndGoneOnWith) {
  const TemporaryFolder folder;
  PointsWriter writer;
  ScriptedRun(folder.path()).tell(writer);
  const std::string all = text_of(folder.path() / "points.bin");
  const TemporaryFolder torn;
  for (size_t length = 0; length < all.size(); length += 1 + length / 200) {
    write_bytes(torn.path() / "points.bin", all.substr(0, length));
    StoredRun run("torn", torn.path());
    run.refresh();
    EXPECT_THAT(run.problem, IsEmpty()) << length;
    write_bytes(torn.path() / "points.bin", all.substr(length), /*append=*/true);
    run.refresh();
    EXPECT_EQ(run.state, StoredRun::State::ended) << length;
    EXPECT_THAT(run.step_curves.at("train_loss").values, ElementsAre(1.0, 0.5)) << length;
    EXPECT_THAT(run.epoch_curves.at("val_loss").values, ElementsAre(0.75, 0.375)) << length;
  }
}

TEST(PointsFile, DamageIsNamedAndWhatLiesBeforeItIsKept) {
  const TemporaryFolder folder;
  PointsWriter writer;
  ScriptedRun(folder.path()).tell(writer);
  std::string all = text_of(folder.path() / "points.bin");
  const size_t place = all.find("größe, \\\"wow\\\" 2");
  ASSERT_NE(place, std::string::npos);
  all[place] = 'X';
  write_bytes(folder.path() / "points.bin", all);
  StoredRun run("damaged", folder.path());
  run.refresh();
  EXPECT_THAT(run.problem, HasSubstr("points.bin is damaged after "));
  EXPECT_THAT(run.epoch_curves.at("val_loss").values, ElementsAre(0.75));
}

TEST(PointsFile, RandomBytesAreRefusedWithoutHarm) {
  const TemporaryFolder folder;
  uint64_t seed = 1;
  for (int round = 0; round < 200; ++round) {
    std::string bytes;
    for (int i = 0; i < 300; ++i) {
      seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
      bytes += static_cast<char>(seed >> 56);
    }
    // Half of them as the content of records whose checksums are right.
    if (round % 2 == 1) bytes = track::points_record(static_cast<track::PointsKind>(1 + round / 2 % 4), bytes);
    write_bytes(folder.path() / "points.bin", bytes);
    StoredRun run("random", folder.path());
    run.refresh();
    EXPECT_LE(run.rows.size(), 1U);
  }
}

TEST(PointsFile, ARunThatGoesOnCutsWhatCameAfterItsCheckpoint) {
  const TemporaryFolder folder;
  {
    PointsWriter writer;
    writer.on_run_begin({.folder = folder.path()});
    for (int64_t step = 1; step <= 9; ++step) writer.on_step({.step = step, .values = {{"train_loss", 1.0}}});
    History history;
    history.add({.number = 1, .steps = 9, .values = {{"val_loss", 5}}});
    writer.on_epoch_end({.epoch = history.last()});
  }
  write_bytes(folder.path() / "points.bin", std::string("\x30\0\0\0\x03torn", 9), /*append=*/true);
  StoredRun watching("watched all the time", folder.path());
  watching.refresh();
  EXPECT_THAT(watching.step_curves.at("train_loss").values, SizeIs(9));
  {
    PointsWriter writer;
    writer.on_run_begin({.folder = folder.path(), .resumed = true, .step = 6});
    for (int64_t step = 7; step <= 8; ++step) {
      writer.on_step({.step = step, .values = {{"new", 7.0}, {"train_loss", 2.0}}});
    }
    writer.on_run_broken({});
  }
  StoredRun afterwards("read afterwards", folder.path());
  afterwards.refresh();
  watching.refresh();
  for (const StoredRun* run : {&watching, &afterwards}) {
    EXPECT_THAT(run->problem, IsEmpty());
    EXPECT_THAT(run->step_curves.at("train_loss").values, ElementsAre(1, 1, 1, 1, 1, 1, 2, 2));
    EXPECT_THAT(steps_of(*run, run->step_curves.at("train_loss")), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
    EXPECT_THAT(run->step_curves.at("new").values, ElementsAre(7, 7));
    EXPECT_THAT(run->epoch_curves.at("val_loss").values, IsEmpty());
  }
}

TEST(PointsFile, PicturesStayInTheFile) {
  const TemporaryFolder folder;
  PointsWriter writer;
  writer.on_run_begin({.folder = folder.path()});
  writer.on_media({.name = "worst/1", .step = 3, .content = events::Image{at::rand({3, 5, 7})}});
  writer.on_media({.name = "note", .step = 4, .content = events::Text{"**hi**"}});
  writer.on_media({.name = "w", .content = events::Histogram{.edges = {0, 1, 2}, .counts = {3, 4}}});
  writer.on_run_broken({});
  StoredRun run("a run", folder.path());
  run.refresh();
  ASSERT_THAT(run.pictures, SizeIs(1));
  EXPECT_EQ(run.pictures[0].width, 7);
  EXPECT_EQ(run.read_picture(0).substr(1, 3), "PNG");
  EXPECT_EQ(run.read_picture(1), "");
  EXPECT_EQ(run.texts.at("note").markdown, "**hi**");
  EXPECT_THAT(run.histograms.at("w").counts, ElementsAre(3, 4));
}

TEST(PointsFile, EventsThatAreMeantToHarmDoNone) {
  const TemporaryFolder folder;
  const auto event = [](const std::string& json) { return track::points_record(track::PointsKind::event, json); };
  const auto step = [](double time, int64_t number, int64_t samples) {
    std::string content(24, '\0');
    std::memcpy(content.data(), &time, 8);
    std::memcpy(content.data() + 8, &number, 8);
    std::memcpy(content.data() + 16, &samples, 8);
    return track::points_record(track::PointsKind::step, content);
  };
  std::string deep;
  for (int i = 0; i < 200'000; ++i) deep += "{\"a\":";
  write_bytes(folder.path() / "points.bin",
              event(R"({"event": "run_begin", "time": 1, "resumed": false})") +
                  event(R"({"event": "run_end", "time": 2, "best": {"monitor": "val_loss", "epoch": 1}})") +
                  step(1, INT64_MIN, INT64_MIN) + step(2, INT64_MAX, INT64_MAX) + event(deep) + event("[]") +
                  event(R"({"event": "progress", "stage": "train", "epoch": 5.5e34, "batch": "x"})") +
                  event(R"({"event": "message", "text": "still read"})"));
  StoredRun run("a run", folder.path());
  EXPECT_TRUE(run.refresh());
  ASSERT_TRUE(run.best.has_value());
  EXPECT_TRUE(std::isnan(run.best->value)) << "a best without a value";
  EXPECT_GT(run.step_curves.at("samples_per_second").values.at(0), 1e19);
  EXPECT_THAT(run.problem, HasSubstr("can't be read"));
  EXPECT_THAT(run.messages, SizeIs(1));
  EXPECT_EQ(run.view(run.step_curves.at("samples_per_second"), track::RunAxis::epoch).size, 1u);
}

TEST(StoredRun, AHistoryAndOptionsThatAreMeantToHarmDoNone) {
  const TemporaryFolder folder;
  write_bytes(folder.path() / "history.csv", "epoch,steps,seconds,a\nnan,nan,nan,1\n1,1e300,1,2\n");
  std::string deep;
  for (int i = 0; i < 200'000; ++i) deep += "{\"a\":";
  write_bytes(folder.path() / "options.json", deep + "1" + std::string(200'000, '}'));
  StoredRun run("a run", folder.path());
  EXPECT_TRUE(run.refresh());
  EXPECT_THAT(run.rows, SizeIs(2));
  EXPECT_THAT(run.options, IsEmpty());
}

TEST(PointsFile, NeedsAFolder) {
  PointsWriter writer;
  EXPECT_THAT(error_of([&] { writer.on_run_begin({}); }).todo, HasSubstr("give the run a folder"));
}

TEST(StoredRun, ReadsRunsThatHaveNoPoints) {
  const TemporaryFolder folder;
  write_bytes(folder.path() / "history.csv",
              "epoch,steps,seconds,\"a, \"\"b\"\"\",val_loss\n1,10,2.5,1,0.5\n2,20,1.5,,nan\n");
  write_bytes(folder.path() / "options.json", R"({"lr": 0.1, "host": {"threads": 2}, "run": "x", "none": null})");
  StoredRun run("old", folder.path());
  EXPECT_TRUE(run.refresh());
  EXPECT_FALSE(run.refresh());
  EXPECT_THAT(run.epoch_curves.at("a, \"b\"").values, ElementsAre(1));
  EXPECT_THAT(run.epoch_curves.at("val_loss").values, SizeIs(2));
  EXPECT_EQ(run.view(run.epoch_curves.at("val_loss"), track::RunAxis::time).x(1), 4);
  EXPECT_THAT(run.options, ElementsAre(std::pair<std::string, std::string>("lr", "0.1"),
                                       std::pair<std::string, std::string>("host.threads", "2"),
                                       std::pair<std::string, std::string>("run", "x")));
  EXPECT_TRUE(StoredRun::is_run(folder.path()));
  EXPECT_FALSE(StoredRun::is_run(folder.path() / "nowhere"));
}

}  // namespace
}  // namespace athanor::testing::points_file_test
