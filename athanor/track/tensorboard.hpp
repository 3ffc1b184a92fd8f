// SPDX-License-Identifier: Apache-2.0
// Runs for TensorBoard: event files of our own writing.
//
//     model.fit(train, {.validation = test, .run = "runs/fashion", .track = {athanor::track::tensorboard()}});
//     // tensorboard --logdir runs
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/train/events.hpp"

namespace athanor::track {

struct TensorBoardOptions {
  /// Where the event files go. Unset: `tensorboard` in the folder of the run; a run that has none is an Error then.
  std::optional<std::filesystem::path> folder = {};
  /// What was written is handed to the system after this time at the latest, and at the end of each epoch.
  std::chrono::milliseconds flush_every{2000};
  /// The memory of events that wait to be written. When it is full, the step waits and the end of the run says so.
  size_t queue_bytes = size_t{16} << 20;
};

/// Writes on a thread of its own, without loss. The axis is the number of optimizer steps.
///
/// - Values of an epoch: `train_loss` and `val_loss` are the tag `loss` of the runs `train` and `val`, and so on one
///   chart; the same for validation data of other names. `lr` and other settings under `settings/`.
/// - Values of a step, at the interval of `log_every`: `step/loss`, `step/lr`, … of the run `train`.
/// - What `Trainer::record` is given: histograms, images, text, precision-recall curves, graphs; embeddings for the
///   PROJECTOR page as files beside the events; tables as text, with the pictures of their cells as `NAME/picture N`.
/// - Values of `evaluate` outside of `fit` under `evaluation/`, at the step where the run stands.
/// - The options of the run for the HPARAMS page, whose scores are the last values, and `best/MONITOR`.
///
/// NaN and infinity are written as they are. A run that goes on in the same folder hides what was logged after the step
/// where it goes on. A name is UTF-8; what is not becomes a question mark. An unwritable folder or a full disk switches
/// the tracker off, with a warning.
[[nodiscard]] std::shared_ptr<Listener> tensorboard(TensorBoardOptions options = {});

/// The place of a value: which run of TensorBoard, which tag there.
struct TensorBoardPlace {
  std::string run;
  std::string tag;
};
/// `val_loss` is `loss` of the run `val`; `clean_loss` is `loss` of `clean` where `loss` is among `quantities`, what
/// training measures; everything else stands under its whole name in the run `train`. A run is always a plain folder
/// name.
[[nodiscard]] TensorBoardPlace tensorboard_place(std::string_view name, const std::vector<std::string>& quantities);

}  // namespace athanor::track
