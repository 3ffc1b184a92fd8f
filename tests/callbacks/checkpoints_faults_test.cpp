// SPDX-License-Identifier: Apache-2.0
// Disks that are full or can't flush, folders that go away, signals: the last good checkpoint is whole, and a message
// says what happened.
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <thread>

#include "athanor/core/folder.hpp"
#include "tests/callbacks/run_again.hpp"
#include "tests/core/error_of.hpp"

namespace {

/// A system call that fails on files whose path has `part` in it, once `after` of them have succeeded.
struct Fault {
  enum Call { none, write_call, fsync_call, rename_call, mkdir_call };
  std::atomic<Call> call{none};
  std::atomic<int> code{0};
  std::atomic<int> after{0};
  std::atomic<int> met{0};
  const char* part = "";

  bool hits(Call which, const std::string& path) {
    if (call.load() != which || path.find(part) == std::string::npos) return false;
    if (met.fetch_add(1) < after) return false;
    errno = code;
    return true;
  }
};
Fault fault;

std::string path_of(int descriptor) {
  char path[4096];
  const ssize_t length = ::readlink(("/proc/self/fd/" + std::to_string(descriptor)).c_str(), path, sizeof path);
  return {path, length > 0 ? static_cast<size_t>(length) : 0};
}

}  // namespace

// These stand before those of the C library, for this program and the libraries that it uses.
extern "C" {
ssize_t write(int descriptor, const void* bytes, size_t count) {
  if (fault.call != Fault::none && fault.hits(Fault::write_call, path_of(descriptor))) return -1;
  return ::syscall(SYS_write, descriptor, bytes, count);
}
int fsync(int descriptor) {
  if (fault.call != Fault::none && fault.hits(Fault::fsync_call, path_of(descriptor))) return -1;
  return static_cast<int>(::syscall(SYS_fsync, descriptor));
}
int rename(const char* from, const char* to) noexcept {
  if (fault.call != Fault::none && fault.hits(Fault::rename_call, to)) return -1;
  return static_cast<int>(::syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to));
}
int mkdir(const char* path, mode_t mode) noexcept {
  if (fault.call != Fault::none && fault.hits(Fault::mkdir_call, path)) return -1;
  return static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}
}

namespace athanor::testing::checkpoints_faults_test {
namespace {

namespace fs = std::filesystem;
using namespace athanor::literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class CheckpointFaults : public RunTest {
 protected:
  ~CheckpointFaults() override { fault.call = Fault::none; }

  /// From the second epoch on the call fails; the first `after` of them still succeed.
  void train_with(Fault::Call call, int code, int after, bool stop = false) {
    const auto checkpoints =
        std::make_shared<Checkpoints>(CheckpointsOptions{.keep_last = 1, .keep_best = 0, .stop_on_failure = stop});
    TrainerOptions options = with_checkpoints(run);
    options.callbacks.back() = Callback(checkpoints);
    options.track.push_back(messages);
    options.callbacks.insert(options.callbacks.begin(), Hooks{.epoch_begin = [=](Trainer& trainer) {
                               if (trainer.position().epoch != 2) return;
                               ASSERT_TRUE(checkpoints->newest());  // the first one is on the disk
                               fault.part = "/checkpoints";
                               fault.code = code;
                               fault.after = after;
                               fault.met = 0;
                               fault.call = call;
                             }});
    Classifier task(1);
    Trainer trainer(options);
    history = trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
    fault.call = Fault::none;
  }
  void expect_the_first_is_whole() const {
    const auto names = saved();
    ASSERT_THAT(names, Contains("000001-epoch-1-step-6"));
    for (const std::string& name : names) {
      EXPECT_NO_THROW(static_cast<void>(read_checkpoint(run / "checkpoints" / name))) << name;
    }
    for (const auto& entry : fs::directory_iterator(run / "checkpoints")) {
      EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr(".tmp")));
    }
  }
  std::shared_ptr<Messages> messages = std::make_shared<Messages>();
  History history;
};

TEST_F(CheckpointFaults, AFullDiskIsSaidAndTrainingGoesOn) {
  for (int after = 0; after < 8; ++after) {
    SCOPED_TRACE("full after " + std::to_string(after) + " writes");
    fs::remove_all(run);
    messages->warnings.clear();
    train_with(Fault::write_call, ENOSPC, after);
    EXPECT_EQ(history.epochs().size(), 3u);
    EXPECT_THAT(messages->warnings, Contains(::testing::AllOf(HasSubstr("a checkpoint could not be written"),
                                                              HasSubstr("No space left on device"))));
    EXPECT_THAT(messages->warnings, Contains(HasSubstr("the last good one: ")));
    expect_the_first_is_whole();
  }
}

TEST_F(CheckpointFaults, FlushingRenamingAndMakingFoldersMayFail) {
  for (const auto& [call, code] :
       {std::pair{Fault::fsync_call, EIO}, std::pair{Fault::rename_call, EIO}, std::pair{Fault::mkdir_call, EROFS}}) {
    for (int after = 0; after < (call == Fault::mkdir_call ? 1 : 5); ++after) {
      SCOPED_TRACE(std::to_string(call) + " fails after " + std::to_string(after));
      fs::remove_all(run);
      messages->warnings.clear();
      train_with(call, code, after);
      EXPECT_EQ(history.epochs().size(), 3u);
      EXPECT_THAT(messages->warnings, Contains(HasSubstr("a checkpoint could not be written")));
      expect_the_first_is_whole();
    }
  }
}

TEST_F(CheckpointFaults, AFullDiskEndsTheRunWhenThatIsWanted) {
  const Error::Parts parts = error_of([&] { train_with(Fault::write_call, ENOSPC, 0, /*stop=*/true); });
  EXPECT_EQ(parts.got, "No space left on device");
  fault.call = Fault::none;
  expect_the_first_is_whole();
}

TEST_F(CheckpointFaults, ARunAfterAFullDiskEndsAsIfThereHadBeenNone) {
  Classifier whole_task(1);
  Trainer whole(with_checkpoints(root / "whole"));
  const History expected = whole.fit(whole_task, data_of(clouds(22)), data_of(clouds(10, 2)));
  train_with(Fault::write_call, ENOSPC, 3);
  expect_same(expected, history);
  TrainerOptions options = with_checkpoints(run, {.keep_last = 1, .keep_best = 0});
  options.callbacks.insert(options.callbacks.begin(), Hooks{});
  Classifier again(99);
  Trainer trainer(options);
  expect_same(expected, trainer.fit(again, data_of(clouds(22)), data_of(clouds(10, 2))));
  EXPECT_EQ(trainer.resumed_from()->filename(), "000001-epoch-1-step-6");
}

TEST_F(CheckpointFaults, AFolderThatIsRenamedAway) {
  TrainerOptions options = with_checkpoints(run, {.keep_last = 1, .keep_best = 0});
  options.track.push_back(messages);
  options.callbacks.emplace_back(Hooks{.epoch_begin = [&](Trainer& trainer) {
    if (trainer.position().epoch == 3) fs::rename(run / "checkpoints", root / "away");
  }});
  Classifier task(1);
  Trainer trainer(options);
  EXPECT_EQ(trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2))).epochs().size(), 3u);
  EXPECT_THAT(messages->warnings, Contains(HasSubstr("was the folder renamed or removed?")));
  for (const RunCheckpoint& each : list_checkpoints_in(root / "away")) {
    EXPECT_NO_THROW(static_cast<void>(read_checkpoint(each.path)));
  }
  EXPECT_FALSE(list_checkpoints_in(root / "away").empty());
}

TEST_F(CheckpointFaults, AFolderThatCanNotBeMadeIsRefusedBeforeTheFirstStep) {
  std::ofstream(root / "file") << "x";
  Classifier task(1);
  TrainerOptions options = quiet(1_epochs, {Checkpoints({.folder = root / "file" / "inside", .keep_best = 0})});
  Trainer trainer(options);
  EXPECT_EQ(error_of([&] { trainer.fit(task, data_of(clouds(22))); }).what, "a folder can't be created");
  EXPECT_EQ(trainer.position().step, 0);
}

// The order of checkpoints is that of their numbers, whatever files and clocks say.
TEST_F(CheckpointFaults, AClockThatIsSetBack) {
  Classifier task(1);
  {
    Trainer trainer(with_checkpoints(run, {.keep_last = 100, .keep_best = 0}));
    trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
  }
  const auto past = fs::file_time_type::clock::now() - std::chrono::hours(24 * 365);
  fs::last_write_time(run / "checkpoints" / saved().back(), past);
  fs::last_write_time(run / "checkpoints" / saved().back() / "manifest.json", past);
  Classifier again(99);
  Trainer trainer(with_checkpoints(run, {.keep_last = 2, .keep_best = 0}, 4));
  trainer.fit(again, data_of(clouds(22)), data_of(clouds(10, 2)));
  EXPECT_EQ(trainer.resumed_from()->filename(), "000003-epoch-3-step-18");
  EXPECT_THAT(saved(), ElementsAre("000003-epoch-3-step-18", "000004-epoch-4-step-24"));
}

// ---- signals

class CheckpointSignals : public RunTest {
 protected:
  History train(TrainerOptions options) {
    options.track.push_back(messages);
    Classifier task(99);
    Trainer trainer(options);
    const History history = trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
    interrupted = trainer.interrupted();
    return history;
  }
  TrainerOptions options(const fs::path& folder, Hooks hooks, Signals signals = Signals::stop) {
    TrainerOptions made = with_checkpoints(folder, {.every = {}, .keep_last = 1, .keep_best = 0});
    made.callbacks.emplace_back(std::move(hooks));
    made.callbacks.emplace_back(At(Moment::validation_batch_end, [this](Trainer& trainer, MomentInfo&) {
      if (in_validation > 0 && trainer.position().step == in_validation) ::raise(SIGTERM);
      validation_batches += 1;
    }));
    made.host.signals = signals;
    return made;
  }
  History undisturbed() { return train(options(root / "whole", {})); }
  std::shared_ptr<Messages> messages = std::make_shared<Messages>();
  int interrupted = 0;
  int64_t in_validation = 0;
  int validation_batches = 0;
};

TEST_F(CheckpointSignals, FinishTheStepSaveAndSayHowToGoOn) {
  const History whole = undisturbed();
  for (const int64_t step : {1, 6, 8, 18}) {
    SCOPED_TRACE(step);
    fs::remove_all(run);
    const History first = train(options(run, {.step_end = [=](Trainer& trainer) {
                                          if (trainer.position().step == step) ::raise(SIGTERM);
                                        }}));
    EXPECT_EQ(interrupted, SIGTERM);
    EXPECT_EQ(first.stop_reason(), "stopped by SIGTERM");
    EXPECT_THAT(messages->texts, Contains(HasSubstr("start the program again with resume = auto")));
    ASSERT_EQ(saved().size(), 1u);
    EXPECT_THAT(saved()[0], HasSubstr("-step-" + std::to_string(step)));
    expect_same(whole, train(options(run, {})));
    EXPECT_EQ(interrupted, 0);
  }
}

TEST_F(CheckpointSignals, WithinAValidationToo) {
  for (const auto& every : {Duration::epochs(1), Duration::epochs(0.5)}) {
    TrainerOptions clean = options(root / "clean", {});
    clean.validate_every = every;
    fs::remove_all(root / "clean");
    const History expected = train(clean);
    fs::remove_all(run);
    TrainerOptions made = options(run, {});
    made.validate_every = every;
    in_validation = every == Duration::epochs(1) ? 12 : 9;
    validation_batches = 0;
    const History first = train(made);
    EXPECT_EQ(interrupted, SIGTERM);
    EXPECT_EQ(first.last().steps, 6);
    EXPECT_EQ(validation_batches % 3, 1) << "the rest of the validation was left out";
    in_validation = 0;
    expect_same(expected, train(made));
  }
}

TEST_F(CheckpointSignals, WithoutASignalTheHostMayInterruptByAFunction) {
  const History whole = undisturbed();
  const History first = train(options(run,
                                      {.step_end =
                                           [](Trainer& trainer) {
                                             if (trainer.position().step == 7) trainer.interrupt(SIGUSR2);
                                           }},
                                      Signals::untouched));
  EXPECT_EQ(first.stop_reason(), "stopped by SIGUSR2");
  EXPECT_EQ(first.last().steps, 6);
  expect_same(whole, train(options(run, {})));
}

TEST_F(CheckpointSignals, ARunThatIsToGoOnHasCheckpointsByItself) {
  const auto bare = [&](const fs::path& folder, bool resumed, Signals signals) {
    TrainerOptions made = options(folder,
                                  {.step_end =
                                       [&](Trainer& trainer) {
                                         if (interrupted == 0 && trainer.position().step == 8)
                                           trainer.interrupt(SIGTERM);
                                       }},
                                  signals);
    std::erase_if(made.callbacks, [](const Callback& each) { return each.key() == Checkpoints().key(); });
    made.resume = resumed ? Resume::automatic() : Resume::never();
    return made;
  };
  interrupted = -1;
  const History whole = train(bare(root / "whole", true, Signals::untouched));
  for (const bool resumed : {true, false}) {
    SCOPED_TRACE(resumed);
    fs::remove_all(run);
    interrupted = 0;
    train(bare(run, resumed, resumed ? Signals::untouched : Signals::stop));
    EXPECT_EQ(interrupted, SIGTERM);
    EXPECT_THAT(saved(), ::testing::Not(::testing::IsEmpty()));
    expect_same(whole, train(bare(run, true, Signals::untouched)));
  }
  interrupted = -1;
  train(bare(root / "plain", false, Signals::untouched));
  EXPECT_FALSE(fs::exists(root / "plain" / "checkpoints")) << "nobody asked for them";
}

TEST_F(CheckpointSignals, WithoutAFolderItIsSaidThatNothingIsSaved) {
  struct Notes : Listener {
    void on_run_begin(const events::RunBegin& begin) override { all = begin.notes; }
    std::vector<std::string> all;
  };
  const auto notes = std::make_shared<Notes>();
  TrainerOptions made = quiet(1_epochs);
  made.host.signals = Signals::stop;
  made.track = {notes};
  train(std::move(made));
  EXPECT_THAT(notes->all, Contains(HasSubstr("nothing is saved at a signal")));
}

TEST_F(CheckpointSignals, DoNotWaitForTheLeastDuration) {
  TrainerOptions made = options(run, {.step_end = [](Trainer& trainer) {
                                  if (trainer.position().step == 7) ::raise(SIGTERM);
                                }});
  made.min_duration = 3_epochs;
  EXPECT_EQ(train(made).last().steps, 6);
}

class CheckpointSignalsDeathTest : public CheckpointSignals {};

TEST_F(CheckpointSignalsDeathTest, ExitWith128AndTheNumberAndTheSaveIsOnTheDisk) {
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) {
    fs::remove_all(run);
    EXPECT_EXIT(
        {
          TrainerOptions made = options(run,
                                        {.step_end =
                                             [=](Trainer& trainer) {
                                               if (trainer.position().step == 8) ::raise(signal);
                                             }},
                                        Signals::exit);
          made.host.further_signal = SIGUSR1;
          made.host.threads = 1;
          train(made);
        },
        ::testing::ExitedWithCode(128 + signal), "");
    ASSERT_EQ(saved().size(), 1u);
    EXPECT_NO_THROW(static_cast<void>(read_checkpoint(run / "checkpoints" / saved()[0])));
  }
}

}  // namespace
}  // namespace athanor::testing::checkpoints_faults_test
