// SPDX-License-Identifier: Apache-2.0
// The live page around a real run: it shows, stops and saves it, and changes nothing else.
#include "athanor/track/dashboard.hpp"

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "athanor/callbacks/checkpoints.hpp"
#include "athanor/track/points_file.hpp"
#include "athanor/track/run_log.hpp"
#include "tests/track/http.hpp"
#include "tests/track/tracking.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::dashboard_test {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
namespace fs = std::filesystem;

/// Keeps the messages, and finds the address of the page among them.
class Ear : public Listener {
 public:
  void on_message(const events::Message& message) override { texts.push_back(message.text); }
  [[nodiscard]] int port() const {
    const std::string text = address();
    return text.empty() ? 0 : std::stoi(text.substr(text.find("127.0.0.1:") + 10));
  }
  [[nodiscard]] std::string token() const {
    const std::string text = address();
    return "X-Athanor-Token: " + text.substr(text.find("token=") + 6, 32) + "\r\n";
  }
  std::vector<std::string> texts;

 private:
  [[nodiscard]] std::string address() const {
    for (const std::string& text : texts) {
      if (text.starts_with("live page: ")) return text;
    }
    return {};
  }
};

struct Watched {
  std::shared_ptr<Ear> ear = std::make_shared<Ear>();
  TemporaryFolder folder;
  TrainerOptions options(Callbacks callbacks = {}) const {
    TrainerOptions options = quiet(Duration::epochs(4), std::move(callbacks));
    options.run = folder.path() / "runs" / "one";
    options.log_every = Duration::steps(1);
    options.track = {track::dashboard({.port = 0}), ear};
    return options;
  }
};

TEST(Dashboard, ChangesNoBitOfTheRun) {
  const Examples examples = clouds(48);
  Classifier with;
  Classifier without;
  const Watched watched;
  Trainer trainer(watched.options());
  const History shown = trainer.fit(with, data_of(examples), data_of(clouds(12, 2)));
  Trainer plain(quiet(Duration::epochs(4)));
  const History hidden = plain.fit(without, data_of(examples), data_of(clouds(12, 2)));
  expect_same(weights_of(with), weights_of(without));
  expect_same(shown, hidden);
  EXPECT_GT(watched.ear->port(), 0);
}

TEST(Dashboard, ShowsTheRunWhileItTrainsAndAfterwards) {
  const Watched watched;
  json during;
  Classifier task;
  Trainer trainer(watched.options({Hooks{.epoch_end = [&](Trainer& each) {
    if (each.position().epoch != 3) return;
    // Written by another thread, some moments later.
    for (int i = 0; i < 100; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      during = json::parse(http_get(watched.ear->port(), "/api/runs").body)["runs"][0];
      if (during["epoch"] >= 2 && during["epochs"].is_number()) break;  // until then history.csv is shown
    }
  }}}));
  const History history = trainer.fit(task, data_of(clouds(48)), data_of(clouds(12, 2)));
  EXPECT_EQ(during["name"], "one");
  EXPECT_EQ(during["state"], "running");
  EXPECT_EQ(during["epochs"], 4);
  EXPECT_GE(during["epoch"], 2);
  const int port = watched.ear->port();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const json run = json::parse(http_get(port, "/api/run?run=0").body);
  EXPECT_EQ(run["state"], "ended");
  EXPECT_EQ(run["reason"], "all 4 epochs done");
  const std::string token = watched.ear->token().substr(17, 32);
  EXPECT_THAT(text_of(watched.folder.path() / "runs" / "one" / "points.bin"), Not(HasSubstr(token)));
  EXPECT_THAT(run["times"], SizeIs(static_cast<size_t>(StepPhase::count_)));
  const json curves =
      json::parse(http_get(port, "/api/curves?runs=0&name=e:val_loss&name=s:train_loss&name=s:lr").body)["curves"];
  ASSERT_EQ(curves.size(), 3U);
  EXPECT_EQ(curves[1]["size"], 48);
  const std::vector<double> wanted = history["val_loss"];
  for (size_t i = 0; i < wanted.size(); ++i) {
    // Curves are sent with seven digits.
    EXPECT_NEAR(curves[0]["y"][i].get<double>(), wanted[i], 5e-7 * wanted[i]);
  }
  EXPECT_EQ(curves[2]["y"][0], 0.02);
}

TEST(Dashboard, StopsTheRunCleanly) {
  const Watched watched;
  Classifier task;
  HttpAnswer answer;
  Trainer trainer(watched.options({Hooks{.step_end = [&](Trainer& each) {
    if (each.position().step == 14) {
      answer = http(watched.ear->port(), "POST", "/api/stop", watched.ear->token());
    }
  }}}));
  const History history = trainer.fit(task, data_of(clouds(48)), data_of(clouds(12, 2)));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(history.stop_reason(), "stopped on the live page");
  EXPECT_EQ(trainer.position().step, 14);
  EXPECT_EQ(http(watched.ear->port(), "POST", "/api/stop", watched.ear->token()).status, 409);
  EXPECT_EQ(trainer.stop_requested(), true);
  Trainer another(quiet(Duration::epochs(1)));
  EXPECT_EQ(another.fit(task, data_of(clouds(48))).stop_reason(), "all 1 epoch done");
}

size_t checkpoints_in(const fs::path& folder) {
  std::error_code none;
  size_t count = 0;
  for (fs::directory_iterator each(folder, none), end; !none && each != end; ++each) {
    count += each->path().filename().string().find("-step-") != std::string::npos ? 1 : 0;
  }
  return count;
}

TEST(Dashboard, SavesAfterTheRunningStep) {
  const Watched watched;
  Classifier task;
  HttpAnswer answer;
  Trainer trainer(
      watched.options({Hooks{.step_end =
                                 [&](Trainer& each) {
                                   if (each.position().step != 14) return;
                                   answer = http(watched.ear->port(), "POST", "/api/save", watched.ear->token());
                                 }},
                       Checkpoints({.every = {}, .keep_best = 0, .at_end = false, .in_background = false})}));
  trainer.fit(task, data_of(clouds(48)));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(checkpoints_in(watched.folder.path() / "runs" / "one" / "checkpoints"), 1U);
  EXPECT_TRUE(fs::exists(watched.folder.path() / "runs" / "one" / "checkpoints" / "000001-epoch-2-step-14"));
}

TEST(Dashboard, SaysWhenNobodySaves) {
  const Watched watched;
  Classifier task;
  HttpAnswer answer;
  Trainer trainer(watched.options({Hooks{
      .epoch_end = [&](Trainer&) { answer = http(watched.ear->port(), "POST", "/api/save", watched.ear->token()); }}}));
  trainer.fit(task, data_of(clouds(12)));
  EXPECT_EQ(answer.status, 409);
  EXPECT_THAT(answer.body, HasSubstr("add athanor::Checkpoints()"));
}

/// Puts a folder where the points should lie.
class Saboteur : public Listener {
 public:
  void on_run_begin(const events::RunBegin& run) override { fs::create_directories(*run.folder / "points.bin"); }
};

TEST(Dashboard, NeverEndsTheRun) {
  const Watched watched;
  TrainerOptions options = watched.options();
  options.track.insert(options.track.begin(), std::make_shared<Saboteur>());
  Classifier task;
  Trainer trainer(std::move(options));
  EXPECT_EQ(trainer.fit(task, data_of(clouds(12))).epochs().size(), 4U);
  EXPECT_THAT(watched.ear->texts, Contains(HasSubstr("the live page failed and is switched off")));
}

TEST(Dashboard, GivesARunWithoutFolderATemporaryOne) {
  const auto ear = std::make_shared<Ear>();
  std::string folder;
  {
    TrainerOptions options = quiet(Duration::epochs(2));
    options.track = {track::dashboard({.port = 0}), ear};
    Classifier task;
    Trainer trainer(std::move(options));
    trainer.fit(task, data_of(clouds(12)));
    const json state = json::parse(http_get(ear->port(), "/api/state").body);
    folder = state["folder"];
    EXPECT_TRUE(fs::exists(fs::path(folder) / "run" / "points.bin"));
  }
  EXPECT_FALSE(fs::exists(folder));
}

TEST(Dashboard, ShowsALoopOfItsOwn) {
  const auto ear = std::make_shared<Ear>();
  const TemporaryFolder folder;
  RunLog log({.epochs = 2,
              .run = folder.path() / "trees",
              .verbosity = Verbosity::silent,
              .track = {track::dashboard({.port = 0}), ear}});
  do {
    log.step({{"train_loss", 0.5}});
  } while (log.epoch());
  const HttpAnswer answer = http(ear->port(), "POST", "/api/save", ear->token());
  EXPECT_EQ(answer.status, 409);
  EXPECT_THAT(answer.body, HasSubstr("save_now"));
  log.end();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(json::parse(http_get(ear->port(), "/api/run?run=0").body)["state"], "ended");
  EXPECT_EQ(http(ear->port(), "POST", "/api/stop", ear->token()).status, 409);
}

TEST(Dashboard, StopsAndSavesALoopOfItsOwn) {
  const auto ear = std::make_shared<Ear>();
  std::vector<int64_t> saved;
  RunLog log({.save_now = [&](int64_t step) { saved.push_back(step); },
              .verbosity = Verbosity::silent,
              .track = {track::dashboard({.port = 0}), ear}});
  int64_t steps = 0;
  do {
    for (int batch = 0; batch < 10 && !log.should_stop(); ++batch) {
      steps += 1;
      if (steps == 12) {
        EXPECT_EQ(http(ear->port(), "POST", "/api/save", "X-Athanor-Token: wrong\r\n").status, 403);
        EXPECT_EQ(http(ear->port(), "POST", "/api/save", ear->token()).status, 200);
        EXPECT_THAT(saved, IsEmpty()) << "it is saved on the thread of the loop";
      }
      if (steps == 14) {
        EXPECT_EQ(http(ear->port(), "POST", "/api/stop", ear->token()).status, 200);
      }
      log.step({{"train_loss", 0.5}});
    }
  } while (log.epoch());
  EXPECT_EQ(steps, 14);
  EXPECT_EQ(saved, (std::vector<int64_t>{12}));
  EXPECT_THAT(ear->texts, Contains("saved on request, at step 12"));
  EXPECT_EQ(log.end().stop_reason(), "stopped on the live page");
  EXPECT_EQ(log.history().epochs().size(), 2U);
}

TEST(Dashboard, GoesOnWithASecondCallOfFit) {
  const Watched watched;
  Classifier task;
  Trainer trainer(watched.options());
  trainer.fit(task, data_of(clouds(12)));
  const int port = watched.ear->port();
  trainer.fit(task, data_of(clouds(12)));
  EXPECT_EQ(watched.ear->port(), port);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const json curves = json::parse(http_get(port, "/api/curves?runs=0&name=s:train_loss").body)["curves"];
  EXPECT_EQ(curves[0]["size"], 24);
}

TEST(Points, AreWrittenWithoutAPage) {
  const TemporaryFolder folder;
  TrainerOptions options = quiet(Duration::epochs(2));
  options.run = folder.path() / "one";
  options.track = {track::points()};
  Classifier task;
  Trainer trainer(std::move(options));
  trainer.fit(task, data_of(clouds(12)));
  EXPECT_GT(fs::file_size(folder.path() / "one" / "points.bin"), 500U);
}

}  // namespace
}  // namespace athanor::testing::dashboard_test
