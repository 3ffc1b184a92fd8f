// SPDX-License-Identifier: Apache-2.0
// Callbacks that show pictures: what reaches the trackers, that no bit of the run changes, and what they refuse.
#include "athanor/track/show.hpp"

#include <gmock/gmock.h>
#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <set>

#include "athanor/nn/loss.hpp"
#include "tests/core/error_of.hpp"
#include "tests/track/figures.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::show_test {
namespace {

using namespace athanor::literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct ConvNet : torch::nn::Module {
  ConvNet() {
    torch::manual_seed(2);
    conv = register_module("conv", torch::nn::Conv2d(1, 4, 3));
    drop = register_module("drop", torch::nn::Dropout(0.2));
    out = register_module("out", torch::nn::Linear(144, 3));
  }
  torch::Tensor forward(const torch::Tensor& images) { return out(drop(torch::relu(conv(images)).flatten(1))); }
  torch::nn::Conv2d conv = nullptr;
  torch::nn::Dropout drop = nullptr;
  torch::nn::Linear out = nullptr;
};

class Images : public Task {
 public:
  StepOutput training_step(const Batch& batch, StepContext&) override {
    const torch::Tensor logits = net->forward(batch.input.tensor());
    return {torch::cross_entropy_loss(logits, batch.target.tensor()), logits};
  }
  Optimizers configure_optimizers() override { return optim::Adam().on(parameters()); }
  std::shared_ptr<ConvNet> net = register_net("net", std::make_shared<ConvNet>());
};

struct Gallery : Listener {
  void on_media(const events::Media& media) override {
    const bool single_sample = media.name.starts_with("worst/") && media.name.back() <= '9';  // from TopSamples itself
    if (const auto* image = std::get_if<events::Image>(&media.content); image != nullptr && !single_sample) {
      images.insert(media.name);
      EXPECT_EQ(image->pixels.scalar_type(), torch::kByte);
      EXPECT_EQ(image->pixels.size(0), 3);
    }
    if (const auto* text = std::get_if<events::Text>(&media.content)) texts[media.name] = text->markdown;
    ++count;
  }
  void on_message(const events::Message& message) override { messages.push_back(message.text); }
  std::set<std::string> images;
  std::map<std::string, std::string> texts;
  std::vector<std::string> messages;
  int count = 0;
};

Data images_of(int64_t count, uint64_t seed) {
  torch::manual_seed(seed);
  const torch::Tensor target = torch::arange(count).remainder(3);
  return {torch::rand({count, 1, 8, 8}) * 0.5 + target.view({-1, 1, 1, 1}) * 0.2, target};
}

struct Shown {
  Tree weights;
  std::shared_ptr<Gallery> gallery = std::make_shared<Gallery>();
};

Shown train(Callbacks callbacks, const std::optional<std::filesystem::path>& run = {},
            Data validation = images_of(20, 8), bool test = false) {
  Shown shown;
  TrainerOptions options = quiet(2_epochs, std::move(callbacks));
  options.track = {shown.gallery};
  options.run = run;
  Images task;
  Trainer trainer(options);
  trainer.fit(task, images_of(24, 7), validation);
  if (test) trainer.evaluate(task, images_of(20, 9));
  shown.weights = weights_of(task);
  return shown;
}

Callbacks all_of_them(const ShowOptions& show = {}) {
  auto top = std::make_shared<TopSamples>(loss::cross_entropy, TopSamplesOptions{.k = 4});
  auto classes = std::make_shared<ClassReport>(ClassReportOptions{.stage = show.stage, .names = {"a", "b", "c"}});
  auto statistics = std::make_shared<LayerStatistics>(LayerStatisticsOptions{.every = 2_steps, .histograms = true});
  return {top,
          classes,
          statistics,
          ShowPredictions({.grid = {.title = "Predictions", .count = 6, .names = {"a", "b", "c"}}, .show = show}),
          ShowTopSamples(top, {.best = true, .show = show}),
          ShowClasses(classes, {.show = show}),
          ShowCalibration({.show = show}),
          ShowEmbeddings({.layer = "conv", .count = 15, .show = show}),
          ShowGradCam({.layer = "conv", .count = 3, .predicted = false, .show = show}),
          ShowLayers({.layers = {"conv", "out"}, .statistics = statistics, .show = show})};
}

TEST(Show, EveryPictureReachesTheTrackersAndTheFolder) {
  const TemporaryFolder folder;
  const auto run = folder.path() / "run";
  const Shown shown = train(all_of_them(), run);
  EXPECT_THAT(shown.gallery->images,
              ElementsAre("activations/conv", "activations/out", "best/val", "calibration/val", "classes/val",
                          "confusion/val", "embeddings/val", "filters/conv", "filters/out", "grad-cam/val", "layers",
                          "predictions/val", "worst/val"));
  EXPECT_THAT(shown.gallery->texts["classes/val"], HasSubstr("| a | "));
  std::string arguments = "understanding_peer.py svg";
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(run / "figures")) {
    arguments += " " + entry.path().string();
    ++files;
  }
  EXPECT_EQ(files, 13u);
  const PythonOutput python = run_python(arguments);
  for (const std::string& line : lines_of(python.text)) EXPECT_TRUE(line.starts_with("ok ")) << line;
  EXPECT_EQ(lines_of(python.text).size(), files);
}

TEST(Show, ChangesNoBitOfTheRun) {
  const Shown with = train(all_of_them({.theme = Theme::dark, .scale = 0.5, .files = false}));
  EXPECT_GT(with.gallery->count, 20);
  expect_same(with.weights, train({}).weights);
}

TEST(Show, OfATestPassInTheFolder) {
  const TemporaryFolder folder;
  train(all_of_them({.stage = Stage::test, .scale = 0.5}), folder.path() / "run", images_of(20, 8), true);
  for (const char* name : {"grad-cam-test", "confusion-test", "worst-test", "calibration-test", "embeddings-test"}) {
    EXPECT_TRUE(std::filesystem::exists(folder.path() / "run" / "figures" / (std::string(name) + ".svg"))) << name;
  }
}

TEST(Show, NanIsShownOrWarnedOfAndEndsNoRun) {
  struct Broken {
    void on_validation_begin(Trainer& trainer) const {
      const torch::NoGradGuard no_grad;
      weight(trainer).fill_(NAN);
    }
    void on_check(Trainer& trainer) const {
      const torch::NoGradGuard no_grad;
      weight(trainer).fill_(0.1);
    }
    static torch::Tensor weight(Trainer& trainer) {
      return dynamic_cast<Images&>(trainer.task()).net->conv->weight.select(0, 0).select(0, 0);
    }
  };
  const Shown shown = train({Broken{}, ShowCalibration(), ShowEmbeddings({.layer = "conv"}),
                             ShowGradCam({.layer = "conv"}), ShowLayers({.layers = {"conv"}}), ShowPredictions()},
                            {}, images_of(20, 8));
  EXPECT_THAT(shown.gallery->messages, Contains("calibration/val: no picture, predictions are NaN"));
  EXPECT_THAT(shown.gallery->messages, Contains("embeddings/val: no picture, embeddings are not finite"));
  EXPECT_THAT(shown.gallery->messages, Contains("filters/conv: no picture, weights are not finite"));
  EXPECT_THAT(shown.gallery->images, Contains("predictions/val"));
  Data broken = images_of(20, 8);
  torch::Tensor images = torch::rand({20, 1, 8, 8});
  images[3][0][1][1] = NAN;
  const Shown magenta = train({ShowPredictions()}, {}, Data(images, torch::arange(20).remainder(3)));
  EXPECT_THAT(magenta.gallery->images, ElementsAre("predictions/val"));
}

TEST(Show, RefusesLayersThatAreNotThereBeforeTheFirstStep) {
  const auto error = error_of([] { return train({ShowGradCam({.layer = "conv2"})}).weights.size(); });
  EXPECT_EQ(error.where, "ShowGradCam, before the first step");
  EXPECT_EQ(error.expected, "one of conv, drop, out");
  EXPECT_THAT(error.todo, HasSubstr("did you mean conv?"));
  EXPECT_EQ(error_of([] { return train({ShowEmbeddings({.layer = "x"})}).weights.size(); }).got, "x");
  EXPECT_EQ(error_of([] { return train({ShowLayers({.layers = {"x"}})}).weights.size(); }).got, "x");
  EXPECT_THAT(
      error_of([] { return ShowCalibration({.show = {.stage = Stage::train}}).watches(Moment::save); }).expected,
      HasSubstr("Stage::validation or Stage::test"));
  EXPECT_EQ(error_of([] { return ShowClasses(nullptr).watches(Moment::save); }).got, "a null pointer");
  EXPECT_EQ(error_of([] { return ShowLayers({}).watches(Moment::save); }).what, "no layers are to be shown");
  EXPECT_EQ(error_of([] { return ShowGradCam({.count = 0}).watches(Moment::save); }).got, "0");
}

}  // namespace
}  // namespace athanor::testing::show_test
