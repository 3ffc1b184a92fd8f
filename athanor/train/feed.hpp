// SPDX-License-Identifier: Apache-2.0
// Data together with what is done with them.
//
//     trainer.fit(task, {.train = train,
//                        .validation = {clean.named("clean"), athanor::Feed(noisy.named("noisy"), {.loss = false})}});
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "athanor/data/data.hpp"
#include "athanor/metrics/metric.hpp"
#include "athanor/train/step.hpp"

namespace athanor {

using StepFunction = std::function<StepOutput(const Batch&, StepContext&)>;

struct FeedOptions {
  /// Instead of the task's. For training data: a state that is loaded with Trainer::load_state has to come from a run
  /// with the task's; a run folder is resumed with these.
  std::optional<Metrics> metrics = {};
  /// Whether the loss is a value of this data; always true of training data, else `fit` throws Error.
  bool loss = true;
  /// Instead of the task's step for the stage.
  StepFunction step = {};
};

/// Data, and how they differ from others of the same stage. Their name, `Data::named`, prefixes their values.
struct Feed {
  Data data;
  FeedOptions options;
  Feed();
  Feed(Data data, FeedOptions options = {});
  Feed(const Feed& other);
  Feed(Feed&& other) noexcept;
  Feed& operator=(const Feed& other);
  Feed& operator=(Feed&& other) noexcept;
  ~Feed();
};

/// What `fit` trains on. Several training loaders are one by `athanor::combine`. Validation data are passed over one
/// after the other; several need a name each.
struct Feeds {
  Feed train = {};
  std::vector<Feed> validation{};
};

}  // namespace athanor
