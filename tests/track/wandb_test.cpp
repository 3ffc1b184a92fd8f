// SPDX-License-Identifier: Apache-2.0
// Offline runs of Weights & Biases, byte by byte against its own messages and its own log, and as the real one reads
// them (ATHANOR_WANDB_PYTHON names its Python).
#include "athanor/track/wandb.hpp"

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "athanor/track/digest.hpp"
#include "athanor/track/leveldb_log.hpp"
#include "athanor/track/wandb_marks.hpp"
#include "athanor/track/wandb_records.hpp"
#include "athanor/train/listener_group.hpp"
#include "tests/core/error_of.hpp"
#include "tests/track/tracking.hpp"

namespace athanor::testing::wandb_test {
namespace {

namespace fs = std::filesystem;
using namespace track;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

std::string sha256_hex(const std::string& bytes) {
  Sha256 sha;
  sha.add(bytes);
  return hex_text(sha.finish());
}

std::string md5_hex(const std::string& bytes) {
  Md5 md5;
  md5.add(bytes);
  return hex_text(md5.finish());
}

// RFC 1321, A.5, and FIPS 180-4's examples.
TEST(Digest, GivesTheDigestsOfTheStandards) {
  EXPECT_EQ(md5_hex(""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(md5_hex("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
  EXPECT_EQ(md5_hex("12345678901234567890123456789012345678901234567890123456789012345678901234567890"),
            "57edf4a22be3c955ac49da2e2107b67a");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  Sha256 pieces;
  const std::string text(1000, 'a');
  for (size_t at = 0; at < text.size(); at += 37) pieces.add(std::string_view(text).substr(at, 37));
  EXPECT_EQ(hex_text(pieces.finish()), sha256_hex(text));
}

std::map<std::string, std::string> reference() {
  std::map<std::string, std::string> lines;
  std::istringstream stream(text_of(ATHANOR_SOURCE_DIR "/tests/track/wandb_reference.txt"));
  for (std::string name, bytes; stream >> name >> bytes;) lines[name] = bytes;
  return lines;
}

// wandb_peer.py record > wandb_reference.txt
TEST(WandbRecords, HaveTheBytesOfTheRealMessages) {
  auto expected = reference();
  ASSERT_THAT(expected, SizeIs(8));
  const WandbRun run{.id = "abc",
                     .entity = "me",
                     .project = "größe",
                     .group = "g",
                     .name = "n",
                     .tags = {"a", "b"},
                     .host = "h",
                     .config = {{"lr", "0.1"}},
                     .start = 1700000000.5,
                     .starting_step = 300,
                     .resumed = true};
  const auto bytes = [](const ProtobufMessage& message) { return hex_text(message.data()); };
  EXPECT_EQ(bytes(wandb_header()), expected["header"]);
  EXPECT_EQ(bytes(wandb_run(run)), expected["run"]);
  EXPECT_EQ(bytes(wandb_history(300, {{"loss", "NaN"}, {"_step", "300"}})), expected["history"]);
  EXPECT_EQ(bytes(wandb_summary({{"best", "1"}})), expected["summary"]);
  EXPECT_EQ(bytes(wandb_files({"output.log"}, false)), expected["files"]);
  EXPECT_EQ(bytes(wandb_files({"media/x.png"}, true)), expected["media"]);
  EXPECT_EQ(bytes(wandb_exit(1, 200)), expected["exit"]);
}

TEST(LevelDbLog, HasTheBytesOfTheRealLog) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "log";
  {
    LevelDbLog log(path);
    size_t position = 7;
    for (const int wanted : {10, 100000, -3, 5, 0}) {
      const size_t left = 32768 - position % 32768;
      const size_t size = wanted > 0 ? static_cast<size_t>(wanted) : left - 7 - static_cast<size_t>(-wanted);
      std::string record;
      for (size_t i = 0; i < size; ++i) record += static_cast<char>(i * 7 % 251);
      log.write(record);
      log.flush();
      position = fs::file_size(path);
    }
  }
  EXPECT_EQ(sha256_hex(text_of(path)), reference()["log"]);
}

std::vector<fs::path> sessions(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory()) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

fs::path log_of(const fs::path& session) {
  for (const auto& entry : fs::directory_iterator(session)) {
    if (entry.path().extension() == ".wandb") return entry.path();
  }
  return {};
}

/// What a script says that uses the real package; empty without it.
std::vector<std::string> ask(const std::string& script_and_arguments) {
  const PythonOutput output = run_python(script_and_arguments, python_of("ATHANOR_WANDB_PYTHON"));
  if (output.status == package_is_missing) return {};
  EXPECT_EQ(output.status, 0) << output.text;
  return lines_of(output.text);
}

std::vector<std::string> read_back(const fs::path& session) {
  return ask("wandb_peer.py read " + log_of(session).string());
}

TEST(Wandb, ARunIsReadBack) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "best.safetensors") << "weights";
  const auto tracker = wandb(
      "clouds", {.name = "größe", .group = "g", .tags = {"a", "b"}, .config = {{"layers", "[1, 2]"}, {"note", "x y"}}});
  ScriptedRun(folder.path()).tell(*tracker);
  const auto found = sessions(folder.path() / "wandb");
  ASSERT_THAT(found, SizeIs(1));
  const std::string id = lines_of(text_of(folder.path() / "wandb" / "id"))[0];
  EXPECT_EQ(log_of(found[0]).filename(), "run-" + id + ".wandb");
  EXPECT_THAT(found[0].filename().string(), ::testing::MatchesRegex("offline-run-[0-9]+_[0-9]+-" + id));
  EXPECT_THAT(text_of(found[0] / "files" / "config.yaml"), HasSubstr("\"lr\":\n    value: 0.001\n"));
  EXPECT_THAT(text_of(found[0] / "files" / "wandb-summary.json"), HasSubstr("\"best/val_loss\": 0.375"));
  EXPECT_THAT(text_of(found[0] / "files" / "wandb-summary.json"), HasSubstr("\"clean_loss\": NaN"));
  EXPECT_THAT(text_of(found[0] / "files" / "output.log"), HasSubstr("epoch 2/2"));
  EXPECT_EQ(nlohmann::json::parse(text_of(found[0] / "files" / "wandb-metadata.json"))["program"], "athanor");

  const auto read = read_back(found[0]);
  if (read.empty()) {
    std::cout << "the package wandb is not there; only the recorded bytes were compared\n";
    return;
  }
  std::cout << read[0] << "\n";
  EXPECT_THAT(read, ::testing::IsSupersetOf({"header", "config lr 0.001", "config shuffle true", "config layers [1,2]",
                                             "config note \"x y\"", "config optimizer \"Adam\"", "exit 0",
                                             "file output.log WANDB"}));
  EXPECT_EQ(read[2], "run " + id + " clouds g größe a,b from 0 resumed False");
  EXPECT_THAT(read, ::testing::IsSupersetOf({"history 50 step/loss 1.0", "history 50 step/gradient_norm Infinity",
                                             "history 60 train_loss 0.5", "history 60 epoch 1.0",
                                             "history 60 clean_loss NaN", "history 60 odd -Infinity",
                                             "history 120 val_loss 0.375", "history 120 _step 120"}));
  EXPECT_THAT(
      read, ::testing::IsSupersetOf({"summary best/val_loss 0.375", "summary best/epoch 2", "summary val_loss 0.375"}));
  // printf weights | md5sum; the manifest's own is that of "wandb-artifact-manifest-v1\nbest.safetensors:DIGEST\n".
  EXPECT_THAT(read, Contains("entry best.safetensors Y/Tx6bclNw9FlyBXXNX5Uw== 7 True"));
  EXPECT_THAT(read,
              Contains("artifact model run-" + id + "-model " +
                       md5_hex("wandb-artifact-manifest-v1\nbest.safetensors:Y/Tx6bclNw9FlyBXXNX5Uw==\n") + " latest"));
}

/// What a server gets from the real `wandb sync`.
std::vector<std::string> upload(const std::vector<fs::path>& found) {
  std::string command = "wandb_sync_peer.py";
  for (const fs::path& session : found) command += " " + session.string();
  return ask(command);
}

TEST(Wandb, TheRealOneUploadsARun) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "best.safetensors") << "weights";
  const auto tracker = wandb("clouds", {.config = {{"layers", "[1, 2]"}}});
  ScriptedRun(folder.path()).tell(*tracker);
  const auto arrived = upload(sessions(folder.path() / "wandb"));
  if (arrived.empty()) return;
  for (const char* line :
       {"config layers [1, 2]", "config lr 0.001", "row 50 step/gradient_norm=inf step/loss=1 step/lr=0.001",
        "row 60 clean_loss=nan epoch=1 lr=0.001 odd=-inf train_loss=0.5 train_top 1/größe, \"x\"=0.25 val_loss=0.75",
        "row 100 step/gradient_norm=inf step/loss=0.5 step/lr=0.001",
        "row 120 clean_loss=nan epoch=2 lr=0.001 odd=-inf train_loss=0.25 train_top 1/größe, \"x\"=0.25 val_loss=0.375",
        "manifest best.safetensors Y/Tx6bclNw9FlyBXXNX5Uw== 7", "uploaded artifact/best.safetensors 7", "exit 0"}) {
    EXPECT_THAT(arrived, Contains(line));
  }
}

TEST(Wandb, ARunThatGoesOnKeepsItsIdAndEachStepIsOneRow) {
  const TemporaryFolder folder;
  const auto tracker = wandb("clouds");
  ScriptedRun(folder.path()).tell(*tracker);
  History history;
  tracker->on_run_begin({.folder = folder.path(), .resumed = true, .step = 60, .history = &history});
  tracker->on_step({.step = 60, .values = {{"train_loss", 9}}});
  tracker->on_step({.step = 61, .values = {{"train_loss", 8}}});
  history.add({.number = 2, .steps = 61, .values = {{"val_loss", 7}}});
  tracker->on_epoch_end({.epoch = history.last()});
  tracker->on_run_broken({.reason = "out of coffee"});
  ScriptedRun(folder.path()).tell(*tracker);
  const auto found = sessions(folder.path() / "wandb");
  ASSERT_THAT(found, SizeIs(3));
  std::map<std::string, int> ids;
  for (const auto& session : found) ids[log_of(session).filename().string()] += 1;
  EXPECT_EQ(ids.size(), 2u) << "a new run has a new id";
  fs::path resumed;
  for (const auto& session : found) {
    if (text_of(session / "files" / "output.log").find("out of coffee") != std::string::npos) resumed = session;
  }
  ASSERT_FALSE(resumed.empty());
  const auto read = read_back(resumed);
  if (read.empty()) return;
  EXPECT_THAT(read[2], HasSubstr("from 60 resumed True"));
  EXPECT_THAT(read, Contains("history 61 step/loss 8.0"));
  EXPECT_THAT(read, Contains("history 61 val_loss 7.0"));
  EXPECT_THAT(read, Not(Contains(HasSubstr("history 60 "))));
  EXPECT_EQ(std::count(read.begin(), read.end(), "history 61 _step 61"), 1);
  EXPECT_THAT(read, Contains("exit 1"));
}

/// The rows of a session, `STEP NAME=VALUE …`, without what depends on the time.
std::vector<std::string> rows_of(const std::vector<std::string>& read) {
  std::vector<std::string> rows;
  for (const std::string& line : read) {
    if (!line.starts_with("history ") || line.find("_step") != std::string::npos) continue;
    if (line.find("_timestamp") == std::string::npos && line.find("_runtime") == std::string::npos)
      rows.push_back(line.substr(8));
  }
  return rows;
}

// A kill behind a checkpoint, and the same run again: no row is lost, doubled or left behind the step where it goes on.
TEST(Wandb, GoesBackToTheCheckpoint) {
  const TemporaryFolder folder;
  History history;
  const auto begin = [&](Listener& tracker, int64_t step) {
    tracker.on_run_begin({.folder = folder.path(), .resumed = step > 0, .step = step, .history = &history});
  };
  const auto loss = [](Listener& tracker, int64_t step, double value) {
    tracker.on_step({.step = step, .values = {{"train_loss", value}}});
  };
  auto killed = wandb("clouds");
  begin(*killed, 0);
  for (const int64_t step : {58, 59, 60}) {
    loss(*killed, step, static_cast<double>(step));
    killed->on_saving({.step = step});
  }
  loss(*killed, 61, 6);
  loss(*killed, 62, 6);
  killed.reset();
  const fs::path place = folder.path() / "wandb";
  ASSERT_THAT(sessions(place), SizeIs(1));

  // The row of step 60 was not in the log when the checkpoint was taken; more of that step comes afterwards.
  auto second = wandb("clouds");
  begin(*second, 60);
  history.add({.number = 1, .steps = 60, .values = {{"val_loss", 7}}});
  second->on_epoch_end({.epoch = history.last()});
  loss(*second, 61, 1);
  second->on_saving({.step = 63});  // that logs nothing
  loss(*second, 64, 1);
  second.reset();
  const auto third = wandb("clouds");
  begin(*third, 63);
  loss(*third, 64, 2);
  third->on_run_broken({.reason = "enough"});

  auto found = sessions(place);
  ASSERT_THAT(found, SizeIs(3));
  if (read_back(found[0]).empty()) return;
  const auto rows = [&](size_t session) { return rows_of(read_back(found[session])); };
  EXPECT_THAT(rows(0), ElementsAre("58 step/loss 58.0", "59 step/loss 59.0"));
  EXPECT_THAT(rows(1), ElementsAre("60 epoch 1.0", "60 step/loss 60.0", "60 val_loss 7.0"));
  EXPECT_THAT(rows(2), ElementsAre("61 step/loss 1.0", "64 step/loss 2.0"));

  // What ended is whole; a run that goes on from before it cuts it.
  EXPECT_THAT(read_back(found[2]), Contains("exit 1"));
  auto fourth = wandb("clouds");
  begin(*fourth, 64);
  fourth.reset();
  EXPECT_THAT(read_back(found[2]), Contains("exit 1"));
  const auto fifth = wandb("clouds");
  begin(*fifth, 59);
  loss(*fifth, 60, 5);
  fifth->on_run_broken({.reason = "enough"});
  found = sessions(place);
  ASSERT_THAT(found, SizeIs(5));
  EXPECT_THAT(rows(0), ElementsAre("58 step/loss 58.0"));
  for (const size_t empty : {1, 2, 3}) EXPECT_THAT(rows(empty), SizeIs(0));
  EXPECT_THAT(rows(4), ElementsAre("59 step/loss 59.0", "60 step/loss 5.0"));
  std::vector<std::string> arrived = upload(found);
  std::erase_if(arrived, [](const std::string& line) { return !line.starts_with("row "); });
  std::sort(arrived.begin(), arrived.end());
  EXPECT_THAT(arrived, ElementsAre("row 58 step/loss=58", "row 59 step/loss=59", "row 60 step/loss=5"));
}

TEST(WandbMarks, LinesThatAreNoMarksAreLeftOut) {
  const TemporaryFolder folder;
  fs::create_directories(folder.path() / "a");
  std::ofstream(folder.path() / "a" / "log") << "0123456789";
  std::ofstream(folder.path() / "log") << "0123456789";
  WandbMarks marks(folder.path());
  EXPECT_FALSE(marks.go_back_to(1));
  marks.add({.step = 1, .session = "a", .log = "log", .bytes = 4});
  std::ofstream(folder.path() / "marks.jsonl", std::ios::app)
      << R"({"step":1,"session":"..","log":"log","bytes":0,"row":{},"row_step":0})"
      << "\n"
      << R"({"step":1,"session":"a","log":"../log","bytes":0,"row":{},"row_step":0})"
      << "\n"
      << R"({"step":1,"session":"a","log":"log","bytes":-1,"row":[],"row_step":0})"
      << "\n"
      << R"({"step":1,"session":"a)";
  marks.add({.step = 2, .session = "a", .log = "log", .bytes = 6});
  ASSERT_TRUE(marks.go_back_to(2));
  EXPECT_EQ(text_of(folder.path() / "a" / "log"), "012345");
  EXPECT_EQ(marks.go_back_to(1)->bytes, 4u);
  EXPECT_EQ(text_of(folder.path() / "a" / "log"), "0123");
  EXPECT_EQ(text_of(folder.path() / "log"), "0123456789");
  EXPECT_FALSE(marks.go_back_to(2)) << "it lies behind the step where the run went on";
}

TEST(Wandb, PicturesTablesAndHistogramsAreFilesAndValues) {
  const TemporaryFolder folder;
  const auto tracker = wandb("clouds", {.folder = folder.path() / "w"});
  History history;
  tracker->on_run_begin({.folder = folder.path(), .history = &history});
  const events::Image image{at::zeros({2, 3}, at::TensorOptions().dtype(at::kByte))};
  tracker->on_media({.name = "a/picture", .step = 1, .content = image});
  tracker->on_media({.name = "worst",
                     .step = 1,
                     .content = events::Table{.columns = {"name", "value", "input"}, .rows = {{"x", 0.5, image}}}});
  events::Histogram wide{.edges = {0}};
  for (int i = 1; i <= 1000; ++i) {
    wide.edges.push_back(i);
    wide.counts.push_back(1);
  }
  tracker->on_media({.name = "weights", .step = 1, .content = wide});
  tracker->on_media({.name = "graph", .step = 1, .content = events::Graph{}});
  tracker->on_run_end({.history = history});
  const fs::path session = sessions(folder.path() / "w").at(0);
  const auto summary = nlohmann::json::parse(text_of(session / "files" / "wandb-summary.json"));
  EXPECT_EQ(summary["a/picture"]["_type"], "image-file");
  EXPECT_EQ(summary["a/picture"]["width"], 3);
  const std::string picture = text_of(session / "files" / summary["a/picture"]["path"].get<std::string>());
  EXPECT_TRUE(picture.starts_with("\x89PNG"));
  EXPECT_EQ(summary["a/picture"]["sha256"], sha256_hex(picture));
  EXPECT_EQ(summary["worst"]["_type"], "table-file");
  const auto table = nlohmann::json::parse(text_of(session / "files" / summary["worst"]["path"].get<std::string>()));
  EXPECT_EQ(table["columns"].dump(), R"(["name","value","input"])");
  EXPECT_EQ(table["data"][0][1], 0.5);
  EXPECT_EQ(table["data"][0][2]["_type"], "image-file");
  EXPECT_EQ(summary["weights"]["values"].size(), 500u);
  EXPECT_EQ(summary["weights"]["bins"].size(), 501u);
  EXPECT_FALSE(summary.contains("graph"));
  const auto read = read_back(session);
  if (read.empty()) return;
  EXPECT_THAT(read, Contains("file " + summary["worst"]["path"].get<std::string>() + " MEDIA"));
}

TEST(Wandb, AnEvaluationBelongsToTheRunBefore) {
  const TemporaryFolder folder;
  const auto tracker = wandb("clouds");
  ScriptedRun(folder.path()).tell(*tracker);
  tracker->on_evaluation({.step = 120, .values = {{"test_acc", 0.5}}, .folder = folder.path()});
  const auto found = sessions(folder.path() / "wandb");
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(log_of(found[0]).filename(), log_of(found[1]).filename());
  EXPECT_THAT(text_of(found[1] / "files" / "wandb-summary.json"), HasSubstr("\"test_acc\": 0.5"));
}

TEST(Wandb, RefusesWhatCannotBe) {
  EXPECT_EQ(error_of([] { return wandb("a/b"); }).got, "'a/b'");
  EXPECT_EQ(error_of([] { return wandb(""); }).where, "track::wandb");
  const auto tracker = wandb("clouds");
  History history;
  tracker->on_run_begin({.history = &history});
  EXPECT_THAT(error_of([&] { return tracker->on_run_end({.history = history}), 0; }).todo, HasSubstr("wandb"));
}

}  // namespace
}  // namespace athanor::testing::wandb_test
