// SPDX-License-Identifier: Apache-2.0
// Metrics of text, tags, token ids and ranking in a Trainer; and a run with them that is interrupted at any update goes
// on to the same bits.
#include <random>

#include "athanor/metrics/metrics.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::text_training_test {
namespace {

constexpr int64_t epochs = 2;

const std::vector<std::string> words = {"cat", "dog", "größe"};

std::string spelled(std::span<const int64_t> ids) {
  std::string text;
  for (const int64_t id : ids) text += (text.empty() ? "" : " ") + words.at(static_cast<size_t>(id));
  return text;
}

/// Points with the words of their classes: texts go through a data set, batches and slices of batches.
struct NamedClouds {
  Examples examples;

  int64_t size() const { return examples.target.size(0); }
  Sample get(int64_t index) const {
    const auto label = examples.target[index].item<int64_t>();
    const std::string word = words.at(static_cast<size_t>(label));
    return {examples.input[index], Tree{{"label", examples.target[index]},
                                        {"text", Tree::list({Tree("a " + word), Tree("the " + word)})},
                                        {"query", Tree(index / 5)}}};
  }
};

/// Says the word of the class that it holds to be the likeliest.
class Speaker : public Classifier {
 public:
  using Classifier::Classifier;
  StepOutput training_step(const Batch& batch, StepContext&) override {
    const torch::Tensor logits = net->forward(batch.input.tensor());
    Tree::List said;
    const torch::Tensor likeliest = logits.argmax(1);
    for (int64_t i = 0; i < likeliest.size(0); ++i) {
      said.emplace_back("the " + words.at(static_cast<size_t>(likeliest[i].item<int64_t>())));
    }
    return {torch::cross_entropy_loss(logits, batch.target["label"].tensor()),
            Tree{{"scores", logits}, {"text", Tree(std::move(said))}}};
  }
  Metrics configure_metrics(Stage) override {
    return {metrics::accuracy(), metrics::bleu({.smoothing = metrics::BleuSmoothing::add_k, .max_order = 2}),
            metrics::rouge_n(1), metrics::exact_match(), metrics::perplexity()};
  }
};

/// Classes as tags, as token ids, and as documents.
class Tagger : public Classifier {
 public:
  using Classifier::Classifier;
  StepOutput training_step(const Batch& batch, StepContext&) override {
    const torch::Tensor logits = net->forward(batch.input.tensor());
    const torch::Tensor target = batch.target["label"].tensor();
    const torch::Tensor relevant = (target == 0).to(torch::kLong);
    return {torch::cross_entropy_loss(logits, target),
            Tree{{"scores", logits.softmax(1).select(1, 0)}, {"tags", logits.argmax(1).unsqueeze(1)}},
            Tree{{"target", relevant}, {"query", batch.target["query"].tensor()}, {"tags", target.unsqueeze(1)}}};
  }
  Metrics configure_metrics(Stage) override {
    return {metrics::span_f1({.average = metrics::Average::macro, .names = {"O", "B-PER", "B-LOC"}}),
            metrics::retrieval_ndcg({.k = 3}), metrics::retrieval_map()};
  }
};

/// Token ids, decoded.
class Writer : public Classifier {
 public:
  using Classifier::Classifier;
  StepOutput training_step(const Batch& batch, StepContext&) override {
    const torch::Tensor logits = net->forward(batch.input.tensor());
    const torch::Tensor target = batch.target["label"].tensor();
    return {torch::cross_entropy_loss(logits, target), logits.argmax(1).unsqueeze(1), target.unsqueeze(1)};
  }
  Metrics configure_metrics(Stage) override {
    return {metrics::decoded(metrics::wer(), spelled), metrics::decoded(metrics::cer(), spelled)};
  }
};

Data named(int64_t samples, uint64_t seed = 1) { return Dataset(NamedClouds{clouds(samples, seed)}); }

template <class T>
void check_resuming(const std::vector<std::string>& names) {
  std::vector<Tree> saved;
  Trainer undisturbed(quiet(Duration::epochs(epochs),
                            {Hooks{.step_end = [&](Trainer& trainer) { saved.push_back(trainer.save_state()); }}}));
  T task;
  const History history = undisturbed.fit(task, named(22), named(10, 2));
  const Tree end = undisturbed.save_state();
  for (const std::string& name : names) {
    EXPECT_TRUE(history.last().values.find("val_" + name).has_value()) << name;
  }
  const uint32_t seed = std::random_device()();
  std::mt19937 random(seed);
  for (int round = 0; round < 3; ++round) {
    const size_t step = random() % saved.size();
    SCOPED_TRACE("seed " + std::to_string(seed) + ", after step " + std::to_string(step + 1));
    T again(99);
    Trainer trainer(quiet(Duration::epochs(epochs), {Hooks()}));
    trainer.load_state(again, saved[step]);
    const History resumed = trainer.fit(again, named(22), named(10, 2));
    expect_same(history, resumed);
    expect_same(end, trainer.save_state());
  }
}

TEST(TextTraining, TextsOfAStepAreMeasuredAndResumed) {
  // Perplexity takes the first tensors, BLEU and its kin the entry "text".
  check_resuming<Speaker>({"acc", "bleu", "rouge1", "exact_match", "perplexity"});
}

TEST(TextTraining, TagsAndQueriesOfAStepAreMeasuredAndResumed) {
  check_resuming<Tagger>({"span_f1", "ndcg_at_3", "map"});
}

TEST(TextTraining, TokenIdsAreDecodedMeasuredAndResumed) { check_resuming<Writer>({"wer", "cer"}); }

TEST(TextTraining, ExactMatchOfWordsIsTheAccuracyOfClasses) {
  Speaker task;
  Trainer trainer(quiet(Duration::epochs(1)));
  const History history = trainer.fit(task, named(22), named(10, 2));
  const auto& values = history.last().values;
  EXPECT_DOUBLE_EQ(values["val_exact_match"], values["val_acc"]);
  EXPECT_DOUBLE_EQ(values["train_exact_match"], values["train_acc"]);
}

TEST(TextTraining, SlicesOfABatchHoldTheirOwnTexts) {
  TrainerOptions options = quiet(Duration::epochs(1));
  options.accumulate = 2;
  Speaker task;
  const History history = Trainer(options).fit(task, named(22), named(10, 2));
  EXPECT_DOUBLE_EQ(history.last().values["train_exact_match"], history.last().values["train_acc"]);
}

}  // namespace
}  // namespace athanor::testing::text_training_test
