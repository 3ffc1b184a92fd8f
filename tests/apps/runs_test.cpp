// SPDX-License-Identifier: Apache-2.0
// athanor runs and diff, over records that the library wrote.
#include <thread>

#include "athanor/core/folder.hpp"
#include "athanor/train/run_record.hpp"
#include "tests/apps/command.hpp"

namespace athanor::testing::runs_test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class Runs : public ::testing::Test {
 protected:
  /// A run whose validation accuracies are these, with an end.
  void make(const std::string& name, const std::vector<double>& accuracies, const std::string& lr = "0.1",
            bool ended = true) const {
    const fs::path folder = folder_.path() / name;
    fs::create_directories(folder);
    History history;
    int64_t epoch = 0;
    for (const double accuracy : accuracies) {
      ++epoch;
      history.add({.number = epoch,
                   .steps = epoch * 10,
                   .seconds = 30,
                   .values = {{"train_loss", 1.0 / static_cast<double>(epoch)}, {"val_acc", accuracy}},
                   .settings = {{"lr", 0.1}}});
    }
    history.to_csv(folder / "history.csv");
    const NamedDirections values{{"train_loss", Direction::down}, {"val_acc", Direction::up}};
    static_cast<void>(begin_run_record(folder, {.device = "cpu",
                                                .threads = 2,
                                                .seed = 7,
                                                .options = "{\"batch_size\": 32, \"lr\": " + lr + "}",
                                                .data = {{"train", {{"samples", 100}, {"crc32", "0a0b0c0d"}}}},
                                                .values = values}));
    if (!ended) return;
    end_run_record(folder, {.history = history,
                            .stop_reason = "all " + std::to_string(epoch) + " epochs done",
                            .seconds = 60,
                            .values = values});
  }
  [[nodiscard]] Finished runs(const std::string& arguments = {}) const {
    return run_command("runs " + folder_.path().string() + " " + arguments);
  }
  /// The names in the order of the table.
  [[nodiscard]] std::vector<std::string> names(const std::string& arguments) const {
    std::vector<std::string> found;
    for (const auto& run : json_of_command("runs --json " + folder_.path().string() + " " + arguments)) {
      found.push_back(run["name"]);
    }
    return found;
  }
  using Names = std::vector<std::string>;

  TemporaryFolder folder_;
};

TEST_F(Runs, TheTableHasWhatMatters) {
  make("first", {0.5, 0.75, 0.625});
  make("deeper/second", {0.25});
  const Finished table = runs();
  EXPECT_EQ(table.status, 0) << table.errors;
  EXPECT_THAT(table.output, HasSubstr("begun (UTC)"));
  EXPECT_THAT(table.output, HasSubstr("val_acc"));
  EXPECT_THAT(table.output, ::testing::ContainsRegex(
                                "first +[0-9]{4}-[0-9-]+ [0-9:]+ +3 +1:30 +0.7500 @2 +finished +all 3 epochs done"));
  EXPECT_THAT(table.output, HasSubstr("deeper/second"));
  EXPECT_THAT(table.output, Not(HasSubstr("train_loss")));
  EXPECT_THAT(runs("--values 'train_*'").output, HasSubstr("0.3333 @3"));
  const auto json = json_of_command("runs --json --sort name " + folder_.path().string());
  EXPECT_EQ(json[1]["values"]["val_acc"]["best"], 0.75);
  EXPECT_EQ(json[1]["values"]["val_acc"]["best_epoch"], 2.0);
  EXPECT_EQ(json[1]["values"]["val_acc"]["last"], 0.625);
  EXPECT_EQ(json[1]["starts"], 1);
}

TEST_F(Runs, AreSortedAndFiltered) {
  make("a", {0.5, 0.9});
  make("b", {0.7});
  make("c", {0.95, std::nan("")});
  EXPECT_EQ(names("--sort val_acc"), (Names{"c", "a", "b"})) << "the best first, NaN is never best";
  EXPECT_EQ(names("--sort train_loss"), (Names{"a", "c", "b"})) << "the smallest first";
  EXPECT_EQ(names("--sort name --reverse"), (Names{"c", "b", "a"}));
  EXPECT_EQ(names("--sort epochs"), (Names{"b", "a", "c"}));
  EXPECT_EQ(names("--sort name --where 'val_acc>=0.9'"), (Names{"a", "c"}));
  EXPECT_EQ(names("--sort name --where 'val_acc >= 0.9' --where 'val_acc<0.92'"), (Names{"a"}));
  EXPECT_EQ(names("--where epochs=1"), (Names{"b"}));
  EXPECT_EQ(names("--name '[x]' "), Names{});
  EXPECT_EQ(names("--name 'b*' --status finished"), Names{"b"});
  expect_refused(runs("--sort val_auc"), "one of name, when, status, epochs, seconds, train_loss, val_acc");
  expect_refused(runs("--where val_acc"), "this is not a condition");
  expect_refused(runs("--where 'val_acc=>1'"), "this is not a condition");
  expect_refused(runs("--where 'val_acc>much'"), "this is not a condition");
  expect_refused(runs("--status sleeping"), "sleeping");
}

TEST_F(Runs, ARunIsKilledOrRunsWhenItHasNoEnd) {
  make("open", {0.5}, "0.1", /*ended=*/false);
  EXPECT_THAT(runs().output, HasSubstr("killed"));
  const FolderLock lock = FolderLock::lock(folder_.path() / "open");
  EXPECT_THAT(runs().output, HasSubstr("running"));
}

TEST_F(Runs, DamagedFilesAreAComplaintInTheirRow) {
  make("good", {0.5});
  make("bad", {0.5});
  make("worse", {0.5});
  write_text(folder_.path() / "bad/run.json", "{\"format\": 1, \"starts\": [");
  write_text(folder_.path() / "worse/history.csv", "epoch,steps,seconds,val_acc\n1,2\n");
  const Finished table = runs();
  EXPECT_EQ(table.status, 0);
  EXPECT_THAT(table.output, HasSubstr("this is not JSON"));
  EXPECT_THAT(table.output, HasSubstr("row 2"));
  EXPECT_THAT(table.output, HasSubstr("0.5000 @1"));
  write_text(folder_.path() / "bad/run.json", std::string(100'000, '['));
  EXPECT_THAT(runs().output, HasSubstr("nested too deeply"));
  write_text(folder_.path() / "bad/run.json", "{\"format\": 1, \"starts\": [7, []]}");
  EXPECT_EQ(runs().status, 0);
}

TEST_F(Runs, FoldersOfOlderVersionsAreShownToo) {
  fs::create_directories(folder_.path() / "old");
  write_text(folder_.path() / "old/history.csv", "epoch,steps,seconds,\"a,b\"\n1,10,2.5,0.5\n1.5,15,2.5,0.25\n");
  const auto json = json_of_command("runs --json " + folder_.path().string());
  EXPECT_EQ(json[0]["epochs"], 1.5);
  EXPECT_EQ(json[0]["seconds"], 5.0);
  EXPECT_EQ(json[0]["values"]["a,b"]["last"], 0.25);
  EXPECT_THAT(run_command("runs " + (folder_.path() / "old").string()).output, HasSubstr("old ")) << "a run itself";
}

TEST_F(Runs, NoneIsNoError) {
  EXPECT_EQ(runs().output, "no runs in " + folder_.path().string() + "\n");
  EXPECT_EQ(run_command("runs --json " + folder_.path().string()).output, "[]\n");
  expect_refused(run_command("runs /no/such/folder"), "there is no such folder: /no/such/folder");
}

TEST_F(Runs, DiffTellsWhatDiffersAndNothingElse) {
  make("a", {0.5, 0.75}, "0.1");
  make("b", {0.5, 0.625}, "0.01");
  const std::string both = (folder_.path() / "a").string() + " " + (folder_.path() / "b").string();
  const Finished shown = run_command("diff " + both);
  EXPECT_EQ(shown.status, 1);
  EXPECT_THAT(shown.output, ::testing::ContainsRegex("options.lr +0.1 +0.01"));
  EXPECT_THAT(shown.output, ::testing::ContainsRegex("best val_acc +0.75 +0.625"));
  EXPECT_THAT(shown.output, ::testing::ContainsRegex("last val_acc +0.75 +0.625"));
  for (const char* same : {"batch_size", "train_loss", "seed", "crc32", "begun", "process", "versions"}) {
    EXPECT_THAT(shown.output, Not(HasSubstr(same)));
  }
  const auto json = json_of_command("diff --json " + both);
  EXPECT_EQ(json["differences"].size(), 3u);
  EXPECT_EQ(json["differences"][0], (nlohmann::json{{"name", "options.lr"}, {"left", "0.1"}, {"right", "0.01"}}));
}

TEST_F(Runs, DiffOfEqualRunsIsSilent) {
  make("a", {0.5});
  make("b", {0.5});
  const Finished shown = run_command("diff " + (folder_.path() / "a").string() + " " + (folder_.path() / "b").string());
  EXPECT_EQ(shown.status, 0) << shown.output;
  EXPECT_EQ(shown.output, "");
}

TEST_F(Runs, DiffNeedsRuns) {
  make("a", {0.5});
  expect_refused(run_command("diff " + (folder_.path() / "a").string() + " " + folder_.path().string()),
                 "this is not the folder of a run");
}

}  // namespace
}  // namespace athanor::testing::runs_test
