// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/report.hpp"

#include "athanor/core/text.hpp"
#include "tests/core/error_of.hpp"
#include "tests/track/tracking.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::report_test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
namespace fs = std::filesystem;

PythonOutput parsed(const fs::path& report) { return run_python("report_peer.py '" + report.string() + "'"); }

TEST(Report, IsWellFormedAndItsValuesAreThoseOfTheHistory) {
  const TemporaryFolder folder;
  TrainerOptions options = quiet(Duration::epochs(3));
  options.run = folder.path() / "a <b>run & more";
  options.header = {{"<script>alert(1)</script>", "\"quoted\" & größe\x01"}};
  options.track = {track::report()};
  Classifier task;
  Trainer trainer(std::move(options));
  const History history = trainer.fit(task, data_of(clouds(48)), data_of(clouds(12, 2)));
  const fs::path report = *trainer.folder() / "report.html";
  const PythonOutput output = parsed(report);
  ASSERT_EQ(output.status, 0) << output.text;
  std::string head = "-|epoch|steps|time";
  const std::vector<std::string> names = history.names();
  for (const std::string& name : names) head += "|" + name;
  EXPECT_THAT(output.text, HasSubstr(head));
  for (const auto& epoch : history.epochs()) {
    std::string row =
        "|" + std::to_string(epoch.number) + "|" + std::to_string(epoch.steps) + "|" + format_seconds(epoch.seconds);
    for (const std::string& name : names) {
      auto value = epoch.values.find(name);
      if (!value) value = epoch.settings.find(name);
      row += "|" + (value ? shortest(*value) : "nothing");
    }
    EXPECT_THAT(output.text, HasSubstr(row));
  }
  EXPECT_THAT(output.text,
              AllOf(HasSubstr("text: a <b>run & more"), HasSubstr("text: <script>alert(1)</script>"),
                    HasSubstr("text: \"quoted\" & größe"), HasSubstr("text: forward"), HasSubstr("all 3 epochs done")));
  EXPECT_THAT(text_of(report), HasSubstr("<tr><td>norm</td>\n<td>BatchNorm1d</td>\n<td>(4, 8)</td>\n<td>16</td>"));
  const std::string svg = text_of(*trainer.folder() / "times.svg");
  EXPECT_THAT(svg, HasSubstr("<svg"));
  EXPECT_THAT(svg, HasSubstr("backward"));
}

TEST(Report, MarksTheBestEpochOnce) {
  History history;
  for (int64_t number = 1; number <= 5000; ++number) {
    history.add({.number = number, .steps = number, .values = {{"val_loss", static_cast<double>((number - 777) * 2)}}});
  }
  history.set_best({.monitor = "val_loss", .epoch = 777, .value = 0});
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "report.html") << track::report_html(history, {.title = "Long"});
  const PythonOutput output = parsed(folder.path() / "report.html");
  ASSERT_EQ(output.status, 0) << output.text;
  EXPECT_THAT(output.text, HasSubstr("best|777|777|0:00|0\n"));
  EXPECT_EQ(output.text.find("best|"), output.text.rfind("best|"));
  EXPECT_THAT(output.text, HasSubstr("-|5000|5000|0:00|8446\n"));
  EXPECT_THAT(output.text, HasSubstr("text: One row in 3 is shown."));
}

TEST(Report, NaNAndInfinityAndNoEpochsAtAllAreShown) {
  const TemporaryFolder folder;
  History history;
  std::ofstream(folder.path() / "empty.html") << track::report_html(history, {});
  EXPECT_EQ(parsed(folder.path() / "empty.html").status, 0);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  history.add({.number = 1, .steps = 3, .values = {{"train_loss", std::nan("")}, {"odd", -infinity}}});
  std::ofstream(folder.path() / "odd.html") << track::report_html(history, {.outcome = "line\nand line"});
  const PythonOutput output = parsed(folder.path() / "odd.html");
  EXPECT_EQ(output.status, 0) << output.text;
  EXPECT_THAT(output.text, HasSubstr("|1|3|0:00|nan|-inf\n"));
}

TEST(Report, TellsOfARunThatBroke) {
  const TemporaryFolder folder;
  TrainerOptions options = quiet(Duration::epochs(3), {Hooks{.epoch_end = [](Trainer& trainer) {
                                   if (trainer.position().epoch == 2) throw std::runtime_error("the <disk> is full");
                                 }}});
  options.run = folder.path() / "broken";
  options.track = {track::report()};
  Classifier task;
  Trainer trainer(std::move(options));
  EXPECT_THROW(trainer.fit(task, data_of(clouds(12))), std::runtime_error);
  const PythonOutput output = parsed(folder.path() / "broken" / "report.html");
  EXPECT_EQ(output.status, 0) << output.text;
  EXPECT_THAT(output.text, HasSubstr("broken off: the <disk> is full"));
}

TEST(Report, NeedsAFile) {
  const std::shared_ptr<Listener> report = track::report();
  EXPECT_THAT(error_of([&] { report->on_run_begin({}); }).todo, HasSubstr("give it, or a folder to the run"));
}

}  // namespace
}  // namespace athanor::testing::report_test
