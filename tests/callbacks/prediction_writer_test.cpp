// SPDX-License-Identifier: Apache-2.0
// Files of predictions: their order, what Python reads from them, and that they are whole.
#include "athanor/callbacks/prediction_writer.hpp"

#include <stdlib.h>

#include <fstream>
#include <sstream>

#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/data/combine.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::prediction_writer_test {
namespace {

using namespace athanor::literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class PredictionFiles : public ::testing::Test {
 protected:
  PredictionFiles() {
    std::string name = (fs::temp_directory_path() / "athanor-predictions-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~PredictionFiles() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string text_of(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(folder_ / name).rdbuf();
    return text.str();
  }
  [[nodiscard]] std::string python(const std::string& name) const {
    const std::string command = std::string(ATHANOR_TEST_PYTHON) +
                                " " ATHANOR_SOURCE_DIR "/tests/callbacks/prediction_writer_peer.py " +
                                (folder_ / name).string() + " 2>&1";
    std::string output;
    FILE* pipe = ::popen(command.c_str(), "r");
    std::array<char, 4096> piece{};
    for (size_t size = 0; (size = std::fread(piece.data(), 1, piece.size(), pipe)) > 0;)
      output.append(piece.data(), size);
    ::pclose(pipe);
    return output;
  }
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      if (entry.is_regular_file()) names.push_back(fs::relative(entry.path(), folder_).string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  fs::path folder_;
};

/// Its predictions are what `of` makes of its input.
class Made : public Task {
 public:
  explicit Made(std::function<Tree(const torch::Tensor&)> of) : of_(std::move(of)) {}
  StepOutput training_step(const Batch& batch, StepContext&) override {
    return {at::Tensor(), of_(batch.input.tensor())};
  }
  Optimizers configure_optimizers() override { return optim::Adam().on(net); }
  torch::nn::Linear net = register_net("net", torch::nn::Linear(1, 1));

 private:
  std::function<Tree(const torch::Tensor&)> of_;
};

// A shuffled loader hands the samples out in another order; the file has that of the data set.
TEST_F(PredictionFiles, AreInTheOrderOfTheDataSet) {
  const torch::Tensor input = torch::arange(22).to(torch::kFloat).view({22, 1}).expand({22, 3}).contiguous();
  const torch::Tensor target = torch::arange(22) * 10;
  Made task([](const torch::Tensor& x) { return Tree(x + 0.5); });
  Trainer trainer(
      quiet(1_epochs,
            {PredictionWriter({.path = folder_ / "new" / "{name}.safetensors", .targets = true, .indices = true})}));
  const Loader shuffled(Dataset(Tree(input), Tree(target)), {.batch_size = 5, .shuffle = true});
  trainer.evaluate(task, Data(shuffled).named("held"));
  const SafetensorsFile file(folder_ / "new" / "held.safetensors");
  EXPECT_TRUE(torch::equal(file.tensor("predictions"), input + 0.5));
  EXPECT_TRUE(torch::equal(file.tensor("targets"), target));
  EXPECT_TRUE(torch::equal(file.tensor("indices"), torch::arange(22)));
  EXPECT_THAT(files(), ElementsAre("new/held.safetensors"));
}

TEST_F(PredictionFiles, ArePythonsToRead) {
  const torch::Tensor input = torch::arange(10).to(torch::kDouble).div(7).view({5, 2});
  Made task([](const torch::Tensor& x) {
    return Tree{{"logits", Tree(x.to(torch::kFloat))}, {"label", Tree(x.argmax(1))}};
  });
  const auto write = [&](const char* name, bool extras) {
    Trainer trainer(
        quiet(1_epochs, {PredictionWriter({.path = folder_ / name, .targets = extras, .indices = extras})}));
    static_cast<void>(trainer.predict(task, Data(input, Tree(input.sum(1)))).all());
  };
  write("a.safetensors", true);
  write("b.csv", true);
  write("c.csv", false);
  // Sums of number times place, by hand: n/7 times n + 1 over n = 0 … 9 is 330/7.
  double logits = 0;
  for (int64_t i = 0; i < 10; ++i)
    logits += static_cast<double>(input.view(-1)[i].item<float>()) * static_cast<double>(i + 1);
  double targets = 0;
  for (int64_t i = 0; i < 5; ++i) targets += input.sum(1)[i].item<double>() * static_cast<double>(i + 1);
  std::istringstream lines(python("a.safetensors"));
  std::string name, dtype, shape;
  double sum = 0;
  lines >> name >> dtype >> shape >> sum;
  EXPECT_EQ(name + " " + dtype + " " + shape, "indices int64 5");
  EXPECT_EQ(sum, 0 + 2 + 6 + 12 + 20);
  lines >> name >> dtype >> shape >> sum;
  EXPECT_EQ(name + " " + dtype + " " + shape, "predictions.label int64 5");
  EXPECT_EQ(sum, 15);
  lines >> name >> dtype >> shape >> sum;
  EXPECT_EQ(name + " " + dtype + " " + shape, "predictions.logits float32 5x2");
  EXPECT_NEAR(sum, logits, 1e-12);
  EXPECT_NEAR(sum, 330.0 / 7, 1e-5);
  lines >> name >> dtype >> shape >> sum;
  EXPECT_EQ(name + " " + dtype + " " + shape, "targets float64 5");
  EXPECT_NEAR(sum, targets, 1e-12);

  EXPECT_THAT(text_of("b.csv"), HasSubstr("index,predictions.logits_0,predictions.logits_1,predictions.label,targets\n"
                                          "0,0,0.14285715,1,0.14285714285714285\n"
                                          "1,0.2857143,"));
  EXPECT_EQ(text_of("c.csv").substr(0, text_of("c.csv").find('\n')),
            "predictions.logits_0,predictions.logits_1,predictions.label");
  std::istringstream table(python("b.csv"));
  table >> name >> dtype >> shape >> sum;
  EXPECT_EQ(name + " " + shape, "index 5");
  EXPECT_EQ(sum, 40);
  EXPECT_THAT(table.str(), HasSubstr("targets float64 5"));
}

// Every float32 and float64 comes back from its text as the same number.
TEST_F(PredictionFiles, NumbersOfATableReadBackAsTheSame) {
  torch::manual_seed(1);
  const torch::Tensor input = torch::randn({200}, torch::kDouble).exp().pow(9);
  for (const auto dtype : {torch::kFloat, torch::kDouble}) {
    Made task([&](const torch::Tensor& x) { return Tree(x.to(dtype)); });
    Trainer trainer(quiet(1_epochs, {PredictionWriter({.path = folder_ / "x.csv"})}));
    trainer.evaluate(task, Data(input, Tree()));
    std::istringstream lines(text_of("x.csv"));
    std::string line;
    std::getline(lines, line);
    EXPECT_EQ(line, "predictions");
    for (int64_t i = 0; i < 200; ++i) {
      ASSERT_TRUE(std::getline(lines, line));
      const double expected = input[i].to(dtype).item<double>();
      EXPECT_EQ(dtype == torch::kFloat ? static_cast<double>(std::stof(line)) : std::stod(line), expected);
    }
  }
}

TEST_F(PredictionFiles, APassThatIsLeftEarlyWritesNothingAndTheOldFileStays) {
  Made task([](const torch::Tensor& x) { return Tree(x); });
  Trainer trainer(quiet(1_epochs, {PredictionWriter({.path = folder_ / "p.csv"})}));
  trainer.evaluate(task, Data(torch::ones({6}), Tree()));
  const std::string before = text_of("p.csv");
  EXPECT_EQ(before, "predictions\n1\n1\n1\n1\n1\n1\n");
  {
    PredictionStream stream = trainer.predict(task, Data(torch::zeros({9})));
    static_cast<void>(stream.next());
  }
  EXPECT_EQ(text_of("p.csv"), before);
  Trainer limited(quiet(1_epochs, {PredictionWriter({.path = folder_ / "p.csv", .csv_limit = 5})}));
  const Error::Parts parts = error_of([&] { return limited.evaluate(task, Data(torch::zeros({6}), Tree())); });
  EXPECT_EQ(parts.got, "6");
  EXPECT_EQ(parts.expected, "at most 5");
  EXPECT_EQ(text_of("p.csv"), before);
  static_cast<void>(trainer.predict(task, Data(torch::zeros({2}))).all());
  EXPECT_EQ(text_of("p.csv"), "predictions\n0\n0\n");
  EXPECT_THAT(files(), ElementsAre("p.csv"));
}

TEST_F(PredictionFiles, PartsOfACombinedLoaderComeOneAfterTheOther) {
  const auto part = [](double from) {
    return Loader(Dataset(Tree(torch::arange(6) + from)), {.batch_size = 2, .shuffle = true});
  };
  Made task([](const torch::Tensor& x) { return Tree(x); });
  Trainer trainer(quiet(1_epochs, {PredictionWriter({.path = folder_ / "p.safetensors", .indices = true})}));
  trainer.evaluate(task, Data(combine({{"a", part(0)}, {"b", part(100)}}, {.how = Combine::alternate})));
  const SafetensorsFile file(folder_ / "p.safetensors");
  EXPECT_TRUE(torch::equal(file.tensor("parts"), torch::arange(12).div(6, "floor")));
  EXPECT_TRUE(torch::equal(file.tensor("indices"), torch::arange(12).remainder(6)));
  EXPECT_TRUE(torch::equal(file.tensor("predictions").to(torch::kLong),
                           torch::cat({torch::arange(6), torch::arange(100, 106)})));
}

TEST_F(PredictionFiles, WhatCanNotBeWrittenIsRefused) {
  EXPECT_EQ(error_of([] { return PredictionWriter({.path = "x.npz"}); }).got, "x.npz");
  EXPECT_EQ(error_of([] { return PredictionWriter({.path = "x.csv", .stages = {Stage::train}}); }).where,
            "PredictionWriterOptions::stages");
  const auto refused = [&](PredictionWriterOptions options, std::function<Tree(const torch::Tensor&)> of) {
    Made task(std::move(of));
    Trainer trainer(quiet(1_epochs, {PredictionWriter(std::move(options))}));
    return error_of([&] { return trainer.predict(task, Data(torch::ones({5}))).all(); });
  };
  std::ofstream(folder_ / "file") << "x";
  int steps = 0;
  const auto count = [&](const torch::Tensor& x) {
    ++steps;
    return Tree(x);
  };
  EXPECT_THAT(refused({.path = folder_ / "file" / "x.csv"}, count).what, HasSubstr(""));
  EXPECT_EQ(steps, 0) << "a folder that can't be written is found before the first batch";
  EXPECT_THAT(refused({.path = folder_ / "x.csv"}, [](const torch::Tensor& x) { return Tree(x.mean()); }).got,
              HasSubstr("float32 ()"));
  EXPECT_EQ(refused({.path = folder_ / "x.csv", .targets = true}, count).where, "PredictionWriterOptions::targets");
  EXPECT_THAT(refused({.path = folder_ / "x.csv"}, [](const torch::Tensor&) { return Tree(); }).what,
              HasSubstr("no predictions"));
  EXPECT_THAT(files(), ElementsAre("file"));
}

}  // namespace
}  // namespace athanor::testing::prediction_writer_test
