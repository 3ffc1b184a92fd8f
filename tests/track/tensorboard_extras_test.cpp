// SPDX-License-Identifier: Apache-2.0
// Graphs, precision-recall curves, embeddings and tables, byte by byte and as the real TensorBoard reads them.
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <iostream>
#include <map>

#include "athanor/track/digest.hpp"
#include "athanor/track/event_file.hpp"
#include "athanor/track/precision_recall.hpp"
#include "athanor/track/projector.hpp"
#include "athanor/track/sample_table.hpp"
#include "athanor/track/tensorboard.hpp"
#include "athanor/train/layer_sight.hpp"
#include "tests/core/error_of.hpp"
#include "tests/track/tracking.hpp"

namespace athanor::testing::tensorboard_extras_test {
namespace {

using namespace track;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::map<std::string, std::string> reference() {
  std::map<std::string, std::string> lines;
  std::istringstream stream(text_of(ATHANOR_SOURCE_DIR "/tests/track/tensorboard_reference.txt"));
  for (std::string name, bytes; stream >> name >> bytes;) lines[name] = bytes;
  return lines;
}

// 3 cats and 2 others: at the threshold 0 all are called cats, at 1 one cat is.
events::PrecisionRecall cats() {
  return {.points = {{.true_positives = 3, .false_positives = 2, .true_negatives = 0, .false_negatives = 0},
                     {.true_positives = 1, .false_positives = 0, .true_negatives = 2, .false_negatives = 2}}};
}

TEST(TensorBoardExtras, HaveTheBytesOfTheRealProtocolBuffers) {
  auto expected = reference();
  SummaryMessage summary;
  summary.precision_recall("cats", cats());
  ProtobufMessage event;
  event.real(1, 1.5).integer(2, 300).message(5, summary.message());
  EXPECT_EQ(hex_text(frame_record(event.data())), expected["curve"]);
  const events::Graph graph{
      .nodes = {{.name = "input", .operation = "Placeholder"},
                {.name = "fc/0", .operation = "Linear", .inputs = {"input"}, .attributes = {{"weight", "(2, 3)"}}}}};
  ProtobufMessage whole;
  whole.real(1, 1.5).message(4, graph_message(graph));
  EXPECT_EQ(hex_text(frame_record(whole.data())), expected["graph"]);
}

TEST(PrecisionRecall, CountsAtTheThresholds) {
  // At 0, 0.5 and 1.
  const auto curve =
      precision_recall(at::tensor({0.0, 0.49, 0.5, 0.75, 1.0}, at::kDouble), at::tensor({0, 1, 0, 1, 1}, at::kLong), 3);
  std::vector<std::vector<double>> counts;
  for (const auto& point : curve.points) {
    counts.push_back({point.true_positives, point.false_positives, point.true_negatives, point.false_negatives});
  }
  EXPECT_THAT(counts, ElementsAre(ElementsAre(3, 2, 0, 0), ElementsAre(2, 1, 1, 1), ElementsAre(1, 0, 2, 2)));
}

// 7/126 and its like must not fall below their own threshold by rounding.
TEST(PrecisionRecall, AScoreThatIsAThresholdReachesIt) {
  for (int64_t i = 0; i < 127; ++i) {
    const auto curve =
        precision_recall(at::tensor({static_cast<double>(i) / 126.0}, at::kDouble), at::tensor({1}, at::kLong));
    for (int64_t at = 0; at < 127; ++at) {
      EXPECT_EQ(curve.points[static_cast<size_t>(at)].true_positives, at <= i ? 1 : 0) << i << " " << at;
    }
  }
}

TEST(PrecisionRecall, RefusesWhatDoesNotFit) {
  const at::Tensor scores = at::ones({2});
  const at::Tensor targets = at::ones({2}, at::TensorOptions().dtype(at::kLong));
  EXPECT_THAT(error_of([&] { return precision_recall(scores, scores); }).expected, HasSubstr("bool or integer (N)"));
  EXPECT_THAT(error_of([&] { return precision_recall(scores, targets, 1); }).got, HasSubstr("1 thresholds"));
  EXPECT_THAT(error_of([&] { return precision_recall(scores * 2, targets); }).where, HasSubstr("sample 0"));
  EXPECT_EQ(error_of([&] { return precision_recall(scores, targets * 3); }).got, "1, 3");
  SummaryMessage summary;
  EXPECT_EQ(error_of([&] { return summary.precision_recall("x", {}), 0; }).where, "x");
}

struct SmallNet : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x) { return out(body->forward(x)); }
  torch::nn::Sequential body =
      register_module("body", torch::nn::Sequential(torch::nn::Linear(3, 4), torch::nn::ReLU()));
  torch::nn::Linear out = register_module("out", torch::nn::Linear(torch::nn::LinearOptions(4, 2).bias(false)));
};

events::Graph small_graph() {
  const auto net = std::make_shared<SmallNet>();
  LayerSight sight({{.name = "net", .module = net}});
  const torch::Tensor batch = torch::ones({5, 3});
  sight.watch([&] { return net->forward(batch); });
  return sight.graph();
}

TEST(SampleTable, ShowsWhatASampleIs) {
  RankedSample sample{.index = 7, .value = 2.5};
  sample.input = at::tensor({-1.0F, 3.0F, 1.0F, -1.0F}).reshape({1, 2, 2});
  sample.prediction = at::tensor({0.1F, 0.7F, 0.2F});
  sample.target = at::tensor(2, at::kLong);
  const events::Table table = sample_table({sample});
  EXPECT_THAT(table.columns, ElementsAre("rank", "index", "value", "target", "prediction", "input"));
  const auto number = [&](size_t column) { return std::get<double>(table.rows.at(0).at(column)); };
  EXPECT_EQ(number(0), 1);
  EXPECT_EQ(number(1), 7);
  EXPECT_EQ(number(2), 2.5);
  EXPECT_EQ(number(3), 2);
  EXPECT_EQ(number(4), 1);
  const at::Tensor pixels = std::get<events::Image>(table.rows[0][5]).pixels;
  EXPECT_TRUE(at::equal(pixels, at::tensor({0.0F, 1.0F, 0.5F, 0.0F}).reshape({1, 2, 2})));
}

events::Embedding embedding() {
  return {.vectors = at::arange(6, at::kFloat).reshape({3, 2}),
          .columns = {"name", "class"},
          .labels = {{"a\tb", "1"}, {"größe", "2"}, {"c", "3"}},
          .pictures = at::ones({3, 1, 4, 5})};
}

TEST(Projector, RefusesWhatDoesNotFit) {
  const TemporaryFolder folder;
  const auto refusal = [&](auto change) {
    events::Embedding wrong = embedding();
    change(wrong);
    return error_of([&] { return write_embedding(folder.path(), "words", 1, wrong), 0; });
  };
  EXPECT_EQ(refusal([](auto& e) { e.vectors = at::ones({3}); }).expected, "(N, D), not empty");
  EXPECT_EQ(refusal([](auto& e) { e.labels.pop_back(); }).got, "2 labels");
  EXPECT_EQ(refusal([](auto& e) { e.labels[1].pop_back(); }).got, "1 texts of a label");
  EXPECT_EQ(refusal([](auto& e) { e.pictures = at::ones({2, 1, 4, 4}); }).where, "words");
}

TEST(TensorBoardExtras, TheRealOneReadsWhatWasWritten) {
  const TemporaryFolder folder;
  for (int session = 0; session < 2; ++session) {
    const auto tracker = tensorboard({.folder = folder.path() / "run"});
    History history;
    tracker->on_run_begin({.history = &history});
    tracker->on_media({.name = "cats", .step = 7, .content = cats()});
    tracker->on_media({.name = "graph", .step = 7, .content = small_graph()});
    tracker->on_media({.name = "words/fc", .step = 7, .content = embedding()});
    tracker->on_media({.name = "worst",
                       .step = 7,
                       .content = events::Table{.columns = {"name", "value", "input"},
                                                .rows = {{"a|b", 0.5, events::Image{at::ones({1, 2})}}}}});
    tracker->on_run_end({.history = history});
    tracker->on_evaluation({.step = 7, .values = {{"test_acc", 0.25}}});
  }
  const PythonOutput output = run_python("tensorboard_peer.py read " + folder.path().string());
  if (output.status == package_is_missing) {
    std::cout << "the package tensorboard is not there; only the recorded bytes were compared\n";
    return;
  }
  ASSERT_EQ(output.status, 0) << output.text;
  const auto read = lines_of(output.text);
  EXPECT_THAT(read, Contains("pr_curves run cats 7 (6, 2) 3 1 2 0 0 2 0 2 0.6 1 1 0.333333"));
  EXPECT_THAT(read, Contains("node run input Placeholder   []"));
  EXPECT_THAT(read, Contains("node run body/0 Linear input bias=(4) weight=(4, 3) [[5, 4]]"));
  EXPECT_THAT(read, Contains("node run out Linear body/1 weight=(2, 4) [[5, 2]]"));
  EXPECT_EQ(std::count(read.begin(), read.end(), "embedding words/fc:7 (3, 2) 15"), 1);
  EXPECT_THAT(read, Contains("labels words/fc:7 name\tclass|a b\t1|größe\t2|c\t3"));
  EXPECT_THAT(read, Contains("sprite words/fc:7 L (10, 8) of (5, 4)"));
  EXPECT_THAT(read, Contains(HasSubstr("| a\\|b | 0.5000 | picture 1 |")));
  EXPECT_THAT(read, Contains("images run worst/picture 1 7 L 2x1 ffff"));
  EXPECT_THAT(read, Contains("scalars run/test evaluation/acc 7 0.25"));
  EXPECT_FALSE(HasFailure()) << output.text;
}

}  // namespace
}  // namespace athanor::testing::tensorboard_extras_test
