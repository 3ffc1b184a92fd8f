// SPDX-License-Identifier: Apache-2.0
// Event files byte by byte against those of the real protocol buffers, and as the real TensorBoard reads them.
#include "athanor/track/event_file.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <iostream>
#include <limits>
#include <map>
#include <sstream>
#include <string>

#include "athanor/track/crc32c.hpp"
#include "athanor/track/hparams.hpp"
#include "athanor/track/tensorboard.hpp"
#include "athanor/train/listener_group.hpp"
#include "tests/core/error_of.hpp"
#include "tests/track/tracking.hpp"

namespace athanor::testing::event_file_test {
namespace {

namespace fs = std::filesystem;
using namespace track;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string hex(std::string_view bytes) {
  constexpr const char* digits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

events::Histogram histogram() {
  return {.minimum = -1,
          .maximum = 2,
          .count = 6,
          .sum = 3,
          .sum_of_squares = 9,
          .edges = {-1, 0, 1, 2},
          .counts = {1, 2, 3}};
}

// RFC 3720, B.4.
TEST(Crc32c, GivesTheChecksumsOfTheRfc) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43U);
  std::string rising;
  for (char c = 0; c < 32; ++c) rising += c;
  EXPECT_EQ(crc32c(rising), 0x46DD794EU);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(crc32c(""), 0U);
}

// tensorboard_peer.py record > tensorboard_reference.txt
TEST(EventFile, HasTheBytesOfTheRealProtocolBuffers) {
  std::map<std::string, std::string> reference;
  std::istringstream lines(text_of(ATHANOR_SOURCE_DIR "/tests/track/tensorboard_reference.txt"));
  for (std::string name, bytes; lines >> name >> bytes;) reference[name] = bytes;
  ASSERT_EQ(reference.size(), 11u);

  const auto event_of = [](const auto& fill) {
    SummaryMessage summary;
    fill(summary);
    ProtobufMessage event;
    event.real(1, 1.5).integer(2, 300).message(5, summary.message());
    return hex(frame_record(event.data()));
  };
  EXPECT_EQ(event_of([](SummaryMessage& s) { s.scalar("größe/a b", 0.25); }), reference["scalar"]);
  EXPECT_EQ(event_of([](SummaryMessage& s) { s.scalar("nan", std::numeric_limits<double>::quiet_NaN()); }),
            reference["nan"]);
  EXPECT_EQ(event_of([](SummaryMessage& s) { s.histogram("weights", histogram()); }), reference["histogram"]);
  EXPECT_EQ(
      event_of([](SummaryMessage& s) { s.image("image", {.bytes = "PNG", .height = 2, .width = 300, .channels = 3}); }),
      reference["image"]);
  EXPECT_EQ(event_of([](SummaryMessage& s) { s.text("text", "größe"); }), reference["text"]);
  EXPECT_EQ(event_of([](SummaryMessage& s) {
              s.plugin("_hparams_/session_start_info", "hparams", hparams_session_start({{"lr", "0.001"}}, 2.5));
            }),
            reference["session_start"]);
  EXPECT_EQ(event_of([](SummaryMessage& s) {
              s.plugin("_hparams_/session_end_info", "hparams", hparams_session_end(SessionStatus::success, 2.5));
            }),
            reference["session_end"]);
}

TEST(EventFile, SessionAndVersionHaveTheBytesToo) {
  const TemporaryFolder folder;
  std::map<std::string, std::string> reference;
  std::istringstream lines(text_of(ATHANOR_SOURCE_DIR "/tests/track/tensorboard_reference.txt"));
  for (std::string name, bytes; lines >> name >> bytes;) reference[name] = bytes;
  {
    EventFile file = EventFile::at(folder.path() / "file");
    file.begin_session(300, 1.5);
    file.flush();
  }
  const std::string bytes = text_of(folder.path() / "file");
  const size_t first = reference["version"].size() / 2;
  ASSERT_GT(bytes.size(), first);
  EXPECT_EQ(hex(bytes.substr(first)), reference["session"]);
  // The wall time of the first record is now: 8 bytes behind the frame of 12 and the tag, and with them the checksum.
  EXPECT_EQ(hex(bytes.substr(0, 13)), reference["version"].substr(0, 26));
  EXPECT_EQ(hex(bytes.substr(21, first - 25)), reference["version"].substr(42, 2 * first - 50));
}

TEST(EventFile, RefusesAHistogramThatDoesNotFit) {
  SummaryMessage summary;
  events::Histogram wrong = histogram();
  wrong.edges.pop_back();
  const Error::Parts parts = error_of([&] { return summary.histogram("weights/fc", wrong), 0; });
  EXPECT_EQ(parts.where, "weights/fc");
  EXPECT_EQ(parts.got, "3 edges, 3 counts");
}

TEST(EventFile, AFullDiskIsAnErrorWithTheWordsOfTheSystem) {
  const Error::Parts parts = error_of([] {
    EventFile file = EventFile::at("/dev/full");
    file.flush();
    return 0;
  });
  EXPECT_EQ(parts.where, "/dev/full");
  EXPECT_EQ(parts.got, "No space left on device");
  EXPECT_EQ(parts.todo, "make room on that disk");
}

TEST(Png, RefusesWhatIsNoPicture) {
  for (const at::Tensor& wrong : {at::Tensor(), at::ones({2, 4, 4}), at::ones({4, 3, 4, 4}), at::ones({0, 4}),
                                  at::ones({4, 4}, at::TensorOptions().dtype(at::kLong))}) {
    EXPECT_THAT(error_of([&] { return encode_png(wrong); }).expected, HasSubstr("(C, H, W) with 1, 3 or 4 channels"));
  }
}

TEST(TensorBoard, TrainingAndValidationOfOneMetricAreOneTag) {
  const std::vector<std::string> quantities{"loss", "acc", "top_acc"};
  const auto place = [&](std::string_view name) {
    const TensorBoardPlace found = tensorboard_place(name, quantities);
    return found.run + ":" + found.tag;
  };
  EXPECT_EQ(place("train_loss"), "train:loss");
  EXPECT_EQ(place("val_loss"), "val:loss");
  EXPECT_EQ(place("val_f1/a b"), "val:f1/a b");
  EXPECT_EQ(place("clean_acc"), "clean:acc");
  EXPECT_EQ(place("clean_top_acc"), "clean:top_acc");
  EXPECT_EQ(place("../..//x_acc"), ".._..__x:acc");
  EXPECT_EQ(place(".._acc"), "_..:acc");
  EXPECT_EQ(place("cores"), "train:cores");
  EXPECT_EQ(place("_acc"), "train:_acc");
}

void tell_media(Listener& listener) {
  listener.on_media({.name = "weights/fc", .step = 7, .content = histogram()});
  listener.on_media({.name = "a picture",
                     .step = 7,
                     .content = events::Image{at::tensor({0.0F, 0.5F, 1.0F, -1.0F}).reshape({2, 2})}});
  listener.on_media(
      {.name = "a picture", .step = 8, .content = events::Image{at::arange(6, at::kByte).reshape({3, 1, 2})}});
  listener.on_media({.name = "note", .step = 7, .content = events::Text{"**größe**"}});
}

TEST(TensorBoard, TheRealOneReadsWhatWasWritten) {
  const TemporaryFolder folder;
  {
    const auto tracker = tensorboard();
    ScriptedRun(folder.path()).tell(*tracker);
  }
  {
    // A second process goes on in the middle of the second epoch: what it logged after that is hidden.
    const auto tracker = tensorboard({.folder = folder.path() / "tensorboard"});
    History history;
    history.add({.number = 1, .steps = 60, .values = {}});
    tracker->on_run_begin({.device = "cpu", .seed = 42, .resumed = true, .history = &history});
    tracker->on_step({.epoch = 2, .step = 90, .samples = 1, .values = {{"train_loss", 0.125}}});
    history.add({.number = 2, .steps = 110, .values = {{"train_loss", 2}, {"val_loss", 3}}});
    tracker->on_epoch_end({.epoch = history.last(), .epochs = 2});
    tell_media(*tracker);
    history.set_best({.monitor = "val_loss", .epoch = 1, .value = 0.5});
    tracker->on_run_end({.history = history});
  }
  const PythonOutput output = run_python("tensorboard_peer.py read " + folder.path().string());
  if (output.status == package_is_missing) {
    std::cout << "the package tensorboard is not there; only the recorded bytes were compared\n";
    return;
  }
  ASSERT_EQ(output.status, 0) << output.text;
  std::vector<std::string> read = lines_of(output.text);
  const auto starting = [&](const std::string& beginning) {
    std::vector<std::string> found;
    for (const std::string& line : read) {
      if (line.starts_with(beginning)) found.push_back(line.substr(beginning.size()));
    }
    return found;
  };
  EXPECT_THAT(starting("scalars tensorboard/train loss "), ElementsAre("110 2", "60 0.5"));
  EXPECT_THAT(starting("scalars tensorboard/val loss "), ElementsAre("110 3", "60 0.75"));
  EXPECT_THAT(starting("scalars tensorboard/clean loss "), ElementsAre("120 nan", "60 nan"));
  EXPECT_THAT(starting("scalars tensorboard/train odd "), ElementsAre("60 -inf"));
  EXPECT_THAT(starting("scalars tensorboard/train step/loss "), ElementsAre("50 1", "90 0.125"));
  EXPECT_THAT(starting("scalars tensorboard/train step/gradient_norm "), ElementsAre("50 inf"));
  EXPECT_THAT(starting("scalars tensorboard/train step/lr "), ElementsAre("50 0.001"));
  EXPECT_THAT(starting("scalars tensorboard/train settings/lr "), ElementsAre("60 0.001"));
  EXPECT_THAT(starting("scalars tensorboard/train top 1/größe, \"x\" "), ElementsAre("60 0.25"));
  EXPECT_THAT(starting("scalars tensorboard best/val_loss "), ElementsAre("110 0.5"));
  EXPECT_THAT(starting("histograms tensorboard weights/fc "), ElementsAre("7 -1..0:1 0..1:2 1..2:3"));
  // 0.5 is 127.5 of 255, rounded to even.
  EXPECT_THAT(starting("images tensorboard a picture "), ElementsAre("7 L 2x2 0080ff00", "8 RGB 2x1 000204010305"));
  EXPECT_THAT(starting("text tensorboard note "), ElementsAre("7 **größe**"));
  EXPECT_THAT(starting("text tensorboard run/options ").front(), HasSubstr("\\n| a\\|b | 1 2 |\\n"));
  EXPECT_THAT(starting("hparam lr "), ElementsAre("number_value 0.001"));
  EXPECT_THAT(starting("hparam optimizer "), ElementsAre("string_value Adam"));
  EXPECT_THAT(starting("hparam shuffle "), ElementsAre("bool_value True"));
  EXPECT_THAT(starting("metric val loss "), ElementsAre("110 3"));
  EXPECT_THAT(starting("session "), ElementsAre("tensorboard STATUS_SUCCESS"));
  EXPECT_EQ(HasFailure(), false) << output.text;
}

struct Warnings : Listener {
  void on_message(const events::Message& message) override {
    if (message.level == events::Message::Level::warning) texts.push_back(message.text);
  }
  std::vector<std::string> texts;
};

// Longer files are refused by the system, as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(TensorBoard, AFullDiskSwitchesItOffAndTheRunGoesOn) {
  const TemporaryFolder folder;
  const auto warnings = std::make_shared<Warnings>();
  {
    const FileSizeLimit limit(4096);
    ListenerGroup group({warnings, tensorboard({.flush_every = std::chrono::milliseconds(0)})});
    History history;
    group.on_run_begin({.device = "cpu", .folder = folder.path(), .history = &history});
    for (int64_t step = 1; step <= 1000; ++step) group.on_step({.step = step, .values = {{"train_loss", 1}}});
    EXPECT_NO_THROW(group.on_run_end({.history = history}));
  }
  ASSERT_EQ(warnings->texts.size(), 1u);
  EXPECT_THAT(
      warnings->texts[0],
      HasSubstr("the TensorBoard tracker failed and is switched off, training goes on: a file can't be written"));
  EXPECT_THAT(warnings->texts[0], HasSubstr("File too large"));
}

TEST(TensorBoard, AFolderThatCannotBeMadeSwitchesItOff) {
  const auto warnings = std::make_shared<Warnings>();
  ListenerGroup group({warnings, tensorboard({.folder = "/dev/null/events"})});
  ScriptedRun("/nowhere").tell(group);
  ASSERT_EQ(warnings->texts.size(), 3u) << "two of the script's own";
  EXPECT_THAT(warnings->texts, Contains(HasSubstr("/dev/null")));
}

TEST(TensorBoard, ARunWithoutAFolderIsNamed) {
  const auto warnings = std::make_shared<Warnings>();
  ListenerGroup group({warnings, tensorboard()});
  History history;
  group.on_run_begin({.history = &history});
  group.on_run_end({.history = history});
  ASSERT_EQ(warnings->texts.size(), 1u);
  EXPECT_THAT(warnings->texts[0], HasSubstr("give it, or a folder to the run"));
}

TEST(TensorBoard, EveryScalarGoesThroughAQueueThatIsSmall) {
  const TemporaryFolder folder;
  const auto tracker = tensorboard({.queue_bytes = size_t{1} << 14});
  History history;
  tracker->on_run_begin({.device = "cpu", .folder = folder.path(), .history = &history});
  constexpr int64_t steps = 20000;
  for (int64_t step = 1; step <= steps; ++step) {
    tracker->on_step({.epoch = 1, .step = step, .samples = step, .values = {{"train_loss", 1}, {"lr", 0.1}}});
  }
  tracker->on_run_end({.history = history});
  std::string written;
  for (const auto& entry : fs::recursive_directory_iterator(folder.path())) {
    if (entry.is_regular_file()) written += text_of(entry.path());
  }
  for (const char* tag : {"step/loss", "step/lr"}) {
    int64_t count = 0;
    for (size_t place = written.find(tag); place != std::string::npos; place = written.find(tag, place + 1)) ++count;
    EXPECT_EQ(count, steps) << tag;
  }
}

}  // namespace
}  // namespace athanor::testing::event_file_test
