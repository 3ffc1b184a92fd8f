// SPDX-License-Identifier: Apache-2.0
// The console's text, character by character, for scripted runs.
#include "athanor/track/console.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <optional>
#include <sstream>
#include <streambuf>
#include <string>
#include <vector>

#include "athanor/track/bar.hpp"
#include "athanor/track/terminal.hpp"

namespace athanor::console_test {
namespace {

History::Epoch epoch(int64_t number) {
  const double n = static_cast<double>(number);
  return {.number = number,
          .steps = number * 469,
          .seconds = 5.9 * n,
          .values = {{"train_loss", 0.9 / n}, {"train_acc", 1.0}, {"val_loss", 0.32011}, {"val_acc", 0.88231}}};
}

events::RunBegin run_begin() {
  return {.device = "cpu",
          .threads = 1,
          .seed = 42,
          .parameters = 1101770,
          .options = {{"optimizer", "Adam(lr=0.001)"}, {"epochs", "2"}},
          .notes = {"freed memory is kept"},
          .folder = "runs/fashion",
          .resumed = false};
}

events::Progress progress(int64_t batch, Stage stage = Stage::train) {
  return {.stage = stage,
          .epoch = 1,
          .epochs = 20,
          .batch = batch,
          .batches = 469,
          .seconds = 0.0124 * static_cast<double>(batch),
          .values = {{"loss", 0.31239}, {"acc", 0.88912}}};
}

void play(Console& console) {
  History history;
  console.on_run_begin(run_begin());
  for (int64_t number = 1; number <= 2; ++number) {
    console.on_stage_begin({.stage = Stage::train, .epoch = number, .epochs = 2, .batches = 469});
    console.on_progress({.stage = Stage::train,
                         .epoch = number,
                         .epochs = 2,
                         .batch = 469,
                         .batches = 469,
                         .seconds = 4.69,
                         .values = {{"loss", 0.5}}});
    if (number == 2) console.on_message({.level = events::Message::Level::warning, .text = "the rate is 0"});
    console.on_message({.level = events::Message::Level::info, .text = "saved"});
    history.add(epoch(number));
    console.on_epoch_end({.epoch = history.last(), .epochs = 2, .run_seconds = 6.0, .best = number == 1});
  }
  history.set_best({.monitor = "val_acc", .epoch = 1, .value = 0.88231});
  history.set_stop_reason("all 2 epochs done");
  console.on_run_end({.history = history, .seconds = 62, .folder = "runs/fashion"});
}

std::string played(ConsoleOptions options) {
  std::ostringstream stream;
  options.stream = &stream;
  {
    Console console(options);
    play(console);
  }
  return stream.str();
}

// What a terminal shows in the end: carriage return, erase to the end of the line, one line up, and no other control
// sequence.
std::vector<std::string> screen(const std::string& text) {
  std::vector<std::string> lines(1);
  size_t row = 0;
  size_t column = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') {
      if (++row == lines.size()) lines.emplace_back();
      column = 0;
    } else if (text[i] == '\r') {
      column = 0;
    } else if (text.compare(i, 3, "\x1b[K") == 0) {
      lines[row].resize(std::min(lines[row].size(), column));
      i += 2;
    } else if (text.compare(i, 3, "\x1b[A") == 0) {
      row -= 1;
      i += 2;
    } else {
      lines[row].resize(std::max(lines[row].size(), column + 1), ' ');
      lines[row][column++] = text[i];
    }
  }
  while (lines.size() > row + 1 && lines.back().empty()) lines.pop_back();
  return lines;
}

class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, value, 1);
  }
  ~Environment() {
    if (before_) {
      setenv(name_, before_->c_str(), 1);
    } else {
      unsetenv(name_);
    }
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

TEST(Console, PlainLinesWhereThereIsNoTerminal) {
  EXPECT_EQ(played({}),
            "training on cpu, 1 thread, seed 42, 1,101,770 parameters\n"
            "  optimizer=Adam(lr=0.001), epochs=2\n"
            "  freed memory is kept\n"
            "  run folder: runs/fashion\n"
            "saved\n"
            "epoch 1/2   5.9 s  train_loss 0.9000  train_acc 1.0000  val_loss 0.3201  val_acc 0.8823  *best\n"
            "warning: the rate is 0\n"
            "saved\n"
            "epoch 2/2  11.8 s  train_loss 0.4500  train_acc 1.0000  val_loss 0.3201  val_acc 0.8823\n"
            "stopped after 1:02: all 2 epochs done\n"
            "best val_acc 0.8823 at epoch 1\n"
            "run folder: runs/fashion\n");
}

TEST(Console, QuietSaysTheLinesTheWarningsAndTheEnd) {
  EXPECT_EQ(played({.live = true, .verbosity = Verbosity::quiet, .digits = 2}),
            "epoch 1/2   5.9 s  train_loss 0.90  train_acc 1.00  val_loss 0.32  val_acc 0.88  *best\n"
            "warning: the rate is 0\n"
            "epoch 2/2  11.8 s  train_loss 0.45  train_acc 1.00  val_loss 0.32  val_acc 0.88\n"
            "stopped after 1:02: all 2 epochs done\n"
            "best val_acc 0.88 at epoch 1\n"
            "run folder: runs/fashion\n");
}

TEST(Console, SilentSaysNothing) {
  EXPECT_EQ(played({.live = true, .verbosity = Verbosity::silent, .colour = true}), "");
}

TEST(Console, VerboseAddsTheTimeOfAStep) {
  EXPECT_NE(played({.verbosity = Verbosity::verbose}).find("epoch 1/2   5.9 s  10.0 ms/step  train_loss"),
            std::string::npos);
}

TEST(Console, TheBarIsRedrawnInPlaceAndReplacedByTheLine) {
  std::ostringstream stream;
  Console console({.live = true, .colour = false, .unicode = true, .width = 110, .stream = &stream});
  console.on_stage_begin({.stage = Stage::train, .epoch = 1, .epochs = 20, .batches = 469});
  console.on_progress(progress(212));
  EXPECT_EQ(stream.str(),
            "\repoch  1/20                          0/469\x1b[K"
            "\repoch  1/20  ━━━━━━━━━             212/469   0:03 left  12.4 ms/step  loss 0.3124  acc 0.8891\x1b[K");
  console.on_epoch_end({.epoch = epoch(1), .epochs = 20, .run_seconds = 6, .best = true});
  EXPECT_EQ(
      screen(stream.str()),
      (std::vector<std::string>{
          "epoch  1/20   5.9 s  train_loss 0.9000  train_acc 1.0000  val_loss 0.3201  val_acc 0.8823  *best", ""}));
}

TEST(Console, LiveLeavesTheSameLinesOnTheScreen) {
  std::istringstream plain(played({}));
  std::vector<std::string> lines;
  for (std::string line; std::getline(plain, line);) lines.push_back(line);
  lines.emplace_back();
  EXPECT_EQ(screen(played({.live = true, .colour = false, .unicode = false, .width = 100})), lines);
}

TEST(Console, MessagesDoNotTearTheBar) {
  std::ostringstream stream;
  Console console({.live = true, .colour = false, .unicode = false, .width = 60, .stream = &stream});
  console.on_progress(progress(235));
  console.on_message({.level = events::Message::Level::info, .text = "two lines,\nno more\n"});
  EXPECT_EQ(screen(stream.str()),
            (std::vector<std::string>{"two lines,", "no more",
                                      "epoch  1/20  [====>     ]  235/469   0:03 left  loss 0.3124"}));
}

TEST(Console, ABarLeftStandingEndsItsLine) {
  std::ostringstream stream;
  { Console({.live = true, .width = 40, .stream = &stream}).on_progress(progress(3)); }
  EXPECT_EQ(stream.str().back(), '\n');
}

TEST(Console, PassesOutsideOfFitHaveABarAndNoLine) {
  const events::Progress over{.stage = Stage::test,
                              .epoch = 0,
                              .epochs = {},
                              .batch = 79,
                              .batches = 79,
                              .seconds = 1.58,
                              .values = {{"loss", 0.3}}};
  const auto text = [&](ConsoleOptions options) {
    std::ostringstream stream;
    options.stream = &stream;
    Console console(options);
    console.on_stage_begin({.stage = Stage::test, .epoch = 0, .epochs = {}, .batches = 79});
    console.on_progress(over);
    return stream.str();
  };
  EXPECT_EQ(text({}), "");
  EXPECT_EQ(text({.verbosity = Verbosity::verbose}), "test   1.6 s  20.0 ms/step  loss 0.3000\n");
  const std::string live = text({.live = true, .unicode = false, .width = 60});
  EXPECT_NE(live.find("test  [==================]  79/79"), std::string::npos) << live;
  EXPECT_EQ(screen(live), (std::vector<std::string>{""}));
}

TEST(Console, AResumedRunSaysSo) {
  std::ostringstream stream;
  events::RunBegin run = run_begin();
  run.resumed = true;
  run.folder.reset();
  run.options.assign(12, {"patience", "1234567"});
  Console({.width = 60, .stream = &stream}).on_run_begin(run);
  std::istringstream lines(stream.str());
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "training continued on cpu, 1 thread, seed 42, 1,101,770 parameters");
  while (std::getline(lines, line)) EXPECT_LE(line.size(), 60u) << line;
  EXPECT_EQ(stream.str().find("run folder"), std::string::npos);
}

TEST(Console, ColoursOnlyWhenAsked) {
  EXPECT_EQ(played({}).find('\x1b'), std::string::npos);
  EXPECT_NE(played({.colour = true}).find("\x1b[32m*best\x1b[0m"), std::string::npos);
  EXPECT_EQ(played({.live = true, .colour = false}).find("\x1b["), played({.live = true}).find("\x1b[K"));
}

TEST(Console, NoColorIsRespected) {
  {
    const Environment refused("NO_COLOR", "1");
    EXPECT_TRUE(terminal::refuses_colour());
  }
  const Environment empty("NO_COLOR", "");
  EXPECT_FALSE(terminal::refuses_colour());
}

TEST(Console, TwoLinesShowTheRestOfTheRunTheRatesAndTheBest) {
  std::ostringstream stream;
  Console console({.live = true, .colour = false, .unicode = false, .width = 70, .stream = &stream, .lines = 2});
  History history;
  console.on_run_begin({.device = "cpu", .threads = 1, .parameters = 1, .history = &history});
  console.on_stage_begin({.stage = Stage::train, .epoch = 1, .epochs = 20, .batches = 469});
  console.on_step({.epoch = 1, .step = 50, .samples = 1600, .values = {{"train_loss", 1}, {"lr", 0.001}}});
  console.on_progress(progress(235));
  // An epoch takes 469 x 12.4 ms: half of one and 19 more are to come, 113.4 s.
  EXPECT_EQ(screen(stream.str()),
            (std::vector<std::string>{"training on cpu, 1 thread, seed 0, 1 parameter",
                                      "epoch  1/20  [===>    ]  235/469   0:03 left  loss 0.3124  acc 0.8891",
                                      "  run 1:53 left  lr 0.001"}));
  console.on_message({.level = events::Message::Level::info, .text = "saved"});
  history.add({.number = 1, .steps = 469, .seconds = 10, .values = {{"val_acc", 0.5}}, .settings = {{"lr", 0.5}}});
  history.set_best({.monitor = "val_acc", .epoch = 1, .value = 0.5});
  console.on_epoch_end({.epoch = history.last(), .epochs = 20, .run_seconds = 10, .best = true});
  EXPECT_EQ(screen(stream.str()), (std::vector<std::string>{"training on cpu, 1 thread, seed 0, 1 parameter", "saved",
                                                            "epoch  1/20  10.0 s  val_acc 0.5000  *best", ""}));
  events::Progress second = progress(235);
  second.epoch = 2;
  console.on_progress(second);
  console.on_progress(second);
  const std::vector<std::string> shown = screen(stream.str());
  ASSERT_EQ(shown.size(), 5u);
  EXPECT_EQ(shown[4], "  run 3:07 left  lr 0.5  best val_acc 0.5000 at epoch 1");  // 19 x 10 s - 235 x 12.4 ms
}

TEST(Console, TheSecondLineFitsEveryWidth) {
  const terminal::RunStatus status{.seconds_left = 100.0,
                                   .rates = {{"lr", 0.001}, {"lr_精度", 1e-5}},
                                   .best = History::Best{.monitor = "val_acc", .epoch = 3, .value = 0.5}};
  for (int width = 0; width < 90; ++width) {
    EXPECT_LE(terminal::columns(terminal::draw_status(status, {.width = width})), width);
  }
  EXPECT_EQ(terminal::draw_status(status, {.width = 20}), "  run 1:40 left");
  EXPECT_EQ(terminal::draw_status({}, {}), "");
}

TEST(Console, ALineEveryNBatchesWhereThereIsNoTerminal) {
  std::ostringstream stream;
  Console console({.stream = &stream, .every = 100});
  console.on_stage_begin({.stage = Stage::train, .epoch = 1, .epochs = 20, .batches = 469});
  for (int64_t batch = 7; batch <= 469; batch += 7) console.on_progress(progress(batch));
  EXPECT_EQ(stream.str(),
            "epoch  1/20  105/469  12.4 ms/step  loss 0.3124  acc 0.8891\n"
            "epoch  1/20  203/469  12.4 ms/step  loss 0.3124  acc 0.8891\n"
            "epoch  1/20  301/469  12.4 ms/step  loss 0.3124  acc 0.8891\n"
            "epoch  1/20  406/469  12.4 ms/step  loss 0.3124  acc 0.8891\n");
}

TEST(Console, TheEndTellsTheBestOfEachValueAndTheRates) {
  std::ostringstream stream;
  Console console({.stream = &stream});
  History history;
  history.add({.number = 1, .steps = 1, .values = {{"val_loss", 0.5}, {"val_acc", 0.25}, {"odd", 1}}});
  history.add({.number = 2,
               .steps = 2,
               .values = {{"val_loss", std::numeric_limits<double>::quiet_NaN()}, {"val_acc", 0.75}, {"odd", 2}},
               .settings = {{"lr", 0.001}, {"momentum", 0.9}}});
  history.set_stop_reason("all 2 epochs done");
  console.on_run_end({.history = history,
                      .seconds = 2,
                      .directions = {{"val_loss", Direction::down}, {"val_acc", Direction::up}, {"odd", {}}}});
  EXPECT_EQ(stream.str(),
            "stopped after 2.0 s: all 2 epochs done\n"
            "best of each value:\n"
            "  val_loss 0.5000 (epoch 1), val_acc 0.7500 (epoch 2)\n"
            "at the end:  lr 0.0010\n");
}

class FailingBuffer : public std::streambuf {
 protected:
  int overflow(int) override { throw 1; }
};

TEST(Console, AFailingStreamDoesNotCrash) {
  FailingBuffer buffer;
  for (const bool throws : {false, true}) {
    std::ostream stream(&buffer);
    if (throws) stream.exceptions(std::ios::badbit | std::ios::failbit);
    Console console({.live = true, .colour = true, .width = 80, .stream = &stream});
    EXPECT_NO_THROW(play(console));
  }
  std::ostream nowhere(nullptr);
  Console console({.stream = &nowhere});
  EXPECT_NO_THROW(play(console));
}

TEST(Bar, NeverExceedsTheWidth) {
  events::Progress odd = progress(212, Stage::validation);
  odd.values = {{"größe", -1e-7}, {"精度", 0.5}, {"a\nb\x1b[2J", std::numeric_limits<double>::quiet_NaN()}};
  events::Progress endless = progress(7);
  endless.batches = 0;
  endless.epochs.reset();
  for (const bool unicode : {true, false}) {
    for (int width = 0; width <= 140; ++width) {
      for (const events::Progress& each : {progress(0), progress(212), progress(469), odd, endless}) {
        const std::string bar =
            terminal::draw_bar(each, {.width = width, .digits = 4, .colour = false, .unicode = unicode});
        EXPECT_LE(terminal::columns(bar), width) << bar;
        EXPECT_EQ(bar.find_first_of("\n\x1b"), std::string::npos);
      }
    }
  }
}

TEST(Bar, DropsPartsWhenNarrow) {
  const auto bar = [](int width) {
    return terminal::draw_bar(progress(212), {.width = width, .digits = 4, .colour = false, .unicode = false});
  };
  EXPECT_EQ(bar(95), "epoch  1/20  [=======>          ]  212/469   0:03 left  12.4 ms/step  loss 0.3124  acc 0.8891");
  EXPECT_EQ(bar(84), "epoch  1/20  [===>     ]  212/469   0:03 left  12.4 ms/step  loss 0.3124  acc 0.8891");
  EXPECT_EQ(bar(75), "epoch  1/20  [=====>        ]  212/469   0:03 left  loss 0.3124  acc 0.8891");
  EXPECT_EQ(bar(58), "epoch  1/20  [===>     ]  212/469   0:03 left  loss 0.3124");
  EXPECT_EQ(bar(45), "epoch  1/20  [==>     ]  212/469  loss 0.3124");
  EXPECT_EQ(bar(34), "epoch  1/20  212/469  loss 0.3124");
  EXPECT_EQ(bar(20), "epoch  1/20  212/469");
  EXPECT_EQ(bar(12), "epoch  1/20");
  EXPECT_EQ(bar(5), "epoch");
}

TEST(Bar, KeepsItsColumnsFromTrainingToValidation) {
  EXPECT_EQ(terminal::pass_label(Stage::train, 3, 20), "epoch  3/20");
  EXPECT_EQ(terminal::pass_label(Stage::validation, 3, 20), "val    3/20");
  EXPECT_EQ(terminal::pass_label(Stage::train, 3, {}), "epoch   3");
  EXPECT_EQ(terminal::pass_label(Stage::predict, 0, {}), "predict");
}

TEST(Bar, TimesAreReadable) {
  EXPECT_EQ(terminal::step_time_text(0.00008), "0.08 ms");
  EXPECT_EQ(terminal::step_time_text(0.0124), "12.4 ms");
  EXPECT_EQ(terminal::step_time_text(0.25), "250 ms");
  EXPECT_EQ(terminal::step_time_text(1.25), "1.25 s");
  EXPECT_EQ(terminal::time_text(59.96), "1:00");
  EXPECT_EQ(terminal::value_text(0, 3), "0.000");
  EXPECT_EQ(terminal::value_text(12, 3), "12");
}

TEST(Terminal, MeasuresAndClipsUtf8) {
  EXPECT_EQ(terminal::columns("größe"), 5);
  EXPECT_EQ(terminal::columns("精度"), 4);
  EXPECT_EQ(terminal::columns("e\u0301"), 1);
  EXPECT_EQ(terminal::columns("\xff\xc3"), 2);
  EXPECT_EQ(terminal::clip("精度", 3), "精");
  EXPECT_EQ(terminal::clip("größe", 3), "grö");
}

TEST(Terminal, ReadsTheLocale) {
  const Environment all("LC_ALL", "");
  const Environment type("LC_CTYPE", "");
  const Environment language("LANG", "de_DE.utf8");
  EXPECT_TRUE(terminal::is_utf8());
  const Environment plain("LC_CTYPE", "C");
  EXPECT_FALSE(terminal::is_utf8());
}

TEST(Terminal, AStringIsNoTerminal) {
  const std::ostringstream stream;
  EXPECT_FALSE(terminal::is_terminal(stream));
  const Environment columns("COLUMNS", "123");
  EXPECT_EQ(terminal::width(stream), 123);
}

}  // namespace
}  // namespace athanor::console_test
