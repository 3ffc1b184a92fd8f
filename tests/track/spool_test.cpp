// SPDX-License-Identifier: Apache-2.0
// A spool that is killed, damaged and full, and a sender whose service is away.
#include "athanor/track/spool.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>

#include "athanor/track/spool_sender.hpp"
#include "tests/core/error_of.hpp"
#include "tests/track/tracking.hpp"

namespace athanor::testing::spool_test {
namespace {

namespace fs = std::filesystem;
using namespace track;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> contents(Spool& spool, size_t count = 1000) {
  std::vector<std::string> texts;
  for (const Spool::Record& record : spool.oldest(count, size_t{1} << 30)) texts.push_back(record.content);
  return texts;
}

std::vector<fs::path> record_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with("records-")) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST(Spool, KeepsItsRecordsAndWhatWasAcknowledged) {
  const TemporaryFolder folder;
  {
    Spool spool(folder.path());
    for (const char* text : {"a", "b", "c"}) EXPECT_TRUE(spool.append(text));
    EXPECT_THAT(contents(spool), ElementsAre("a", "b", "c"));
    spool.acknowledge(spool.oldest(2, 100)[1]);
    EXPECT_THAT(contents(spool), ElementsAre("c"));
  }
  Spool spool(folder.path());
  EXPECT_EQ(spool.waiting(), 1);
  spool.append("d");
  const auto records = spool.oldest(10, 1000);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].content, "c");
  EXPECT_EQ(records[1].number, 4);
  spool.acknowledge(records[1]);
  EXPECT_EQ(spool.waiting(), 0);
  EXPECT_EQ(spool.bytes(), 0u);
  EXPECT_THAT(record_files(folder.path()), IsEmpty());
}

TEST(Spool, GivesNoMoreBytesThanAskedForButOneRecord) {
  const TemporaryFolder folder;
  Spool spool(folder.path());
  for (int i = 0; i < 4; ++i) spool.append(std::string(100, 'x'));
  EXPECT_EQ(spool.oldest(10, 250).size(), 2u);
  EXPECT_EQ(spool.oldest(10, 1).size(), 1u);
}

TEST(Spool, ATornEndCostsOnlyTheLastRecord) {
  const TemporaryFolder folder;
  {
    Spool spool(folder.path());
    spool.append("whole");
    spool.append("torn");
  }
  const fs::path file = record_files(folder.path())[0];
  for (size_t cut = 1; cut < 20; ++cut) {
    const std::string bytes = text_of(file);
    const TemporaryFolder other;
    std::ofstream(other.path() / file.filename(), std::ios::binary) << bytes.substr(0, bytes.size() - cut);
    Spool spool(other.path());
    EXPECT_THAT(contents(spool), ElementsAre("whole")) << cut;
    spool.append("next");
    EXPECT_THAT(contents(spool), ElementsAre("whole", "next")) << cut;
  }
}

TEST(Spool, ADamagedRecordCostsTheRestOfItsFile) {
  const TemporaryFolder folder;
  {
    Spool spool(folder.path());
    for (const char* text : {"one", "two", "three"}) spool.append(text);
  }
  const fs::path file = record_files(folder.path())[0];
  std::string bytes = text_of(file);
  bytes[bytes.find("two")] ^= 1;
  std::ofstream(file, std::ios::binary) << bytes;
  Spool spool(folder.path());
  spool.append("four");
  EXPECT_THAT(contents(spool), ElementsAre("one", "four"));
}

TEST(Spool, IsBoundedAndRemovesFilesThatAreSent) {
  const TemporaryFolder folder;
  Spool spool(folder.path(), 8192);
  const std::string record(1000, 'x');
  int taken = 0;
  while (spool.append(record)) taken += 1;
  EXPECT_EQ(taken, 8192 / 1016);
  EXPECT_TRUE(spool.append(record, Spool::Need::essential)) << "an eighth more";
  EXPECT_FALSE(spool.append(record, Spool::Need::essential));
  EXPECT_EQ(spool.dropped(), 2);
  EXPECT_LE(spool.bytes(), 8192u + 8192 / 8);
  const auto all = spool.oldest(100, 1 << 20);
  ASSERT_EQ(all.size(), 9u);
  spool.acknowledge(all[4]);
  EXPECT_EQ(record_files(folder.path()).size(), 4u);
  EXPECT_TRUE(spool.append(record));
  EXPECT_EQ(spool.waiting(), 5);
}

TEST(Spool, SurvivesAKilledProgram) {
  const TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    Spool spool(folder.path());
    for (int i = 0; i < 100; ++i) spool.append("record " + std::to_string(i));
    spool.acknowledge(spool.oldest(40, 1 << 20).back());
    ::_exit(0);  // no destructor, no flush
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  Spool spool(folder.path());
  EXPECT_EQ(spool.waiting(), 60);
  EXPECT_EQ(contents(spool).front(), "record 40");
}

TEST(Spool, BelongsToOne) {
  const TemporaryFolder folder;
  const Spool spool(folder.path());
  EXPECT_THAT(error_of([&] { return Spool(folder.path()).waiting(); }).where, HasSubstr(folder.path().string()));
}

// What a service does next.
class ScriptedDelivery : public Delivery {
 public:
  size_t deliver(std::span<const Spool::Record> records) override {
    std::unique_lock lock(mutex);
    calls += 1;
    if (hangs) {
      wake.wait(lock, [&] { return cancelled; });
      throw DeliveryProblem(DeliveryProblem::Kind::later, "broken off");
    }
    if (!script.empty()) {
      const auto problem = script.front();
      script.erase(script.begin());
      throw problem;
    }
    const size_t count = std::min<size_t>(records.size(), 2);
    for (const auto& record : records.subspan(0, count)) received.push_back(record.content);
    return count;
  }
  void cancel() noexcept override {
    const std::lock_guard lock(mutex);
    cancelled = true;
    wake.notify_all();
  }

  std::mutex mutex;
  std::condition_variable wake;
  bool hangs = false;
  bool cancelled = false;
  int calls = 0;
  std::vector<DeliveryProblem> script;
  std::vector<std::string> received;
};

constexpr SenderOptions quick{.every = 1ms, .first_pause = 5ms, .longest_pause = 40ms};

struct Sending {
  explicit Sending(SenderOptions options = quick) : options(options) {}
  void begin() { sender = std::make_unique<SpoolSender>(spool, delivery, options); }
  TemporaryFolder folder;
  SenderOptions options;
  std::shared_ptr<Spool> spool = std::make_shared<Spool>(folder.path());
  std::shared_ptr<ScriptedDelivery> delivery = std::make_shared<ScriptedDelivery>();
  std::unique_ptr<SpoolSender> sender;
};

TEST(SpoolSender, SendsInOrderAndTriesAgain) {
  Sending sending;
  using Kind = DeliveryProblem::Kind;
  sending.delivery->script = {{Kind::later, "down"}, {Kind::later, "busy", 20ms}, {Kind::refused, "no such name"}};
  for (const char* text : {"a", "b", "c", "d"}) sending.spool->append(text);
  sending.begin();
  sending.sender->finish(5s);
  EXPECT_THAT(sending.delivery->received, ElementsAre("b", "c", "d"));
  const auto standing = sending.sender->standing();
  EXPECT_EQ(standing.waiting, 0);
  EXPECT_EQ(standing.refused, 1);
  EXPECT_EQ(standing.refusal, "no such name");
  EXPECT_EQ(standing.problem, "");
}

TEST(SpoolSender, AServiceThatIsAwayKeepsNobodyWaitingAndLosesNothing) {
  Sending sending;
  sending.delivery->script = std::vector<DeliveryProblem>(1000, {DeliveryProblem::Kind::later, "away"});
  sending.spool->append("a");
  sending.begin();
  const auto begin = std::chrono::steady_clock::now();
  sending.sender->finish(100ms);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
  EXPECT_EQ(sending.sender->standing().waiting, 1);
  EXPECT_EQ(sending.sender->standing().problem, "away");
  // Pauses of 5, 10, 20 and then 40 ms, less a quarter: in 100 ms no more than 7 calls.
  EXPECT_LE(sending.delivery->calls, 8);
}

TEST(SpoolSender, ACallThatHangsIsBrokenOffAtTheEnd) {
  Sending sending;
  sending.delivery->hangs = true;
  sending.spool->append("a");
  sending.begin();
  const auto begin = std::chrono::steady_clock::now();
  sending.sender->finish(50ms);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
  EXPECT_TRUE(sending.delivery->cancelled);
  EXPECT_EQ(sending.sender->standing().waiting, 1);
}

TEST(SpoolSender, AClosedServiceIsAskedOnce) {
  Sending sending;
  sending.delivery->script = {{DeliveryProblem::Kind::closed, "the login is refused"}};
  sending.spool->append("a");
  sending.begin();
  sending.sender->finish(5s);
  EXPECT_EQ(sending.delivery->calls, 1);
  EXPECT_EQ(sending.sender->standing().waiting, 1);
  EXPECT_EQ(sending.sender->standing().problem, "the login is refused");
}

}  // namespace
}  // namespace athanor::testing::spool_test
