// SPDX-License-Identifier: Apache-2.0
// History: lookup, table, CSV, and a state that keeps every bit.
#include "athanor/train/history.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>

#include "athanor/core/error.hpp"

namespace athanor::history_test {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

History::Epoch epoch(int64_t number, double seconds, Values values) {
  return {.number = number, .steps = number * 469, .seconds = seconds, .values = std::move(values)};
}

History three_epochs() {
  History history;
  history.add(epoch(1, 5.94, {{"train_loss", 0.53124}, {"train_acc", 0.81}, {"val_loss", 0.42012}, {"val_acc", 1}}));
  history.add(epoch(2, 5.5, {{"train_loss", 0.40001}, {"train_acc", 0.85}, {"val_loss", nan}, {"val_acc", 0.9123}}));
  history.add(epoch(3, 12, {{"train_loss", 1e-5}, {"train_acc", 0.9}, {"val_loss", inf}, {"val_acc", 0.875}}));
  history.set_best({.monitor = "val_acc", .epoch = 2, .value = 0.9123});
  history.set_stop_reason("all 3 epochs done");
  return history;
}

std::string message_of(auto&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

class TemporaryFile {
 public:
  TemporaryFile()
      : path_(std::filesystem::temp_directory_path() /
              ("athanor_history_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()))) {}
  ~TemporaryFile() { std::filesystem::remove(path_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string content() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  std::filesystem::path path_;
};

TEST(History, TableIsAlignedAndMarksTheBest) {
  const std::string expected =
      "epoch   seconds  train_loss  train_acc  val_loss  val_acc\n"
      "    1       5.9      0.5312     0.8100    0.4201   1.0000\n"
      "    2*      5.5      0.4000     0.8500       nan   0.9123\n"
      "    3      12.0   1.000e-05     0.9000       inf   0.8750\n"
      "best val_acc 0.9123 at epoch 2; stopped: all 3 epochs done\n";
  EXPECT_EQ(three_epochs().table(), expected);
  std::ostringstream stream;
  stream << three_epochs();
  EXPECT_EQ(stream.str(), expected);
}

TEST(History, LongNamesGetAHeaderOfTwoRowsThatFits) {
  History history;
  Values values;
  for (const char* name :
       {"train_loss", "train_accuracy", "train_precision", "val_loss", "val_accuracy", "val_precision"}) {
    values.set(name, -1.5e-5);
  }
  history.add(epoch(1000, 12345.6, values));
  EXPECT_EQ(history.table(),
            "                      train       train       train         val         val         val\n"
            "epoch   seconds        loss    accuracy   precision        loss    accuracy   precision\n"
            " 1000   12345.6  -1.500e-05  -1.500e-05  -1.500e-05  -1.500e-05  -1.500e-05  -1.500e-05\n");

  History ordinary;
  Values usual;
  for (const auto& [name, value] : values) usual.set(name, 0.5);
  ordinary.add(epoch(1, 5, usual));
  std::istringstream lines(ordinary.table());
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
}

TEST(History, ColumnsOfWholeNumbersHaveNoDecimals) {
  History history;
  history.add(epoch(1, 1, {{"confusions", 12}}));
  history.add(epoch(2, 1, {{"confusions", 7}, {"größe", 0.5}}));
  EXPECT_EQ(history.table(),
            "epoch   seconds  confusions   größe\n"
            "    1       1.0          12       -\n"
            "    2       1.0           7  0.5000\n");
}

TEST(History, SaysWhenThereIsNothing) {
  History history;
  EXPECT_EQ(history.table(), "no epochs yet\n");
  EXPECT_NE(message_of([&] { (void)history.last(); }).find("no last epoch"), std::string::npos);
  history.add(epoch(1, 1, {{"val_loss", nan}}));
  history.set_best({.monitor = "val_loss", .epoch = 0, .value = nan});
  EXPECT_NE(history.table().find("no best epoch: val_loss was never finite\n"), std::string::npos);
}

TEST(History, LooksUpByName) {
  History history = three_epochs();
  history.add(epoch(4, 1, {{"lr", 0.1}}));
  EXPECT_EQ(history["train_acc"][1], 0.85);
  EXPECT_TRUE(std::isnan(history["train_acc"][3]));
  EXPECT_EQ(history.names(), (std::vector<std::string>{"train_loss", "train_acc", "val_loss", "val_acc", "lr"}));
  EXPECT_EQ(history.last().number, 4);
  EXPECT_EQ(message_of([&] { (void)history["val_ac"]; }),
            "the history has no value 'val_ac'\n"
            "  got:      val_ac\n"
            "  expected: one of train_loss, train_acc, val_loss, val_acc, lr\n"
            "  to do:    did you mean val_acc?");
}

TEST(History, CsvKeepsAllDigitsAndQuotes) {
  History history;
  history.add(epoch(1, 0.5, {{"train_loss", 0.1 + 0.2}, {"a,\"b\"", 1.0 / 3}}));
  history.add(epoch(2, 0.25, {{"train_loss", nan}, {"val_loss", -inf}}));
  const TemporaryFile file;
  history.to_csv(file.path());
  EXPECT_EQ(file.content(),
            "epoch,steps,seconds,train_loss,\"a,\"\"b\"\"\",val_loss\n"
            "1,469,0.5,0.30000000000000004,0.3333333333333333,\n"
            "2,938,0.25,nan,,-inf\n");
}

TEST(History, CsvInAMissingFolderIsAnError) {
  EXPECT_NE(message_of([] { three_epochs().to_csv("/no/such/folder/history.csv"); }).find("/no/such/folder"),
            std::string::npos);
}

TEST(History, StateKeepsEveryBit) {
  History history = three_epochs();
  const double strange = std::bit_cast<double>(uint64_t{0xfff8'0000'dead'beef});
  history.add(epoch(4, 1, {{"val_acc", 0.5}, {"train_loss", strange}}));
  history.add(epoch(5, 1, {}));
  const Tree saved = save_state(history);

  History loaded;
  loaded.add(epoch(99, 1, {{"other", 1}}));
  load_state(loaded, saved);
  ASSERT_EQ(loaded.epochs().size(), 5u);
  EXPECT_EQ(loaded.table(), history.table());
  EXPECT_EQ(loaded.best(), history.best());
  EXPECT_EQ(loaded.stop_reason(), "all 3 epochs done");
  EXPECT_EQ(loaded.epochs()[3].steps, 4 * 469);
  EXPECT_EQ(loaded.epochs()[3].values.names(), (std::vector<std::string>{"val_acc", "train_loss"}));
  EXPECT_EQ(std::bit_cast<uint64_t>(loaded.epochs()[3].values["train_loss"]), std::bit_cast<uint64_t>(strange));
  EXPECT_TRUE(loaded.epochs()[4].values.empty());
  EXPECT_TRUE(compare_states(saved, save_state(loaded)).empty());
}

TEST(History, StateOfAnEmptyHistoryLoads) {
  History empty;
  const Tree saved = save_state(empty);
  History loaded = three_epochs();
  load_state(loaded, saved);
  EXPECT_TRUE(loaded.empty());
  EXPECT_FALSE(loaded.best().has_value());
  EXPECT_EQ(loaded.stop_reason(), "");
}

TEST(History, ADamagedStateIsRefusedAndChangesNothing) {
  History history = three_epochs();
  Tree saved = save_state(history);
  saved.find("epochs")->at_or_insert("steps") = saved["epochs"]["seconds"];
  EXPECT_NE(message_of([&] { load_state(history, saved); }).find("a saved history can't be read"), std::string::npos);
  EXPECT_EQ(history.table(), three_epochs().table());
}

}  // namespace
}  // namespace athanor::history_test
