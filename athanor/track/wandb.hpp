// SPDX-License-Identifier: Apache-2.0
// Runs for Weights & Biases: written as offline runs, which `wandb sync` uploads.
//
//     model.fit(train, {.validation = test, .run = "runs/fashion", .track = {athanor::track::wandb("fashion")}});
//     // wandb sync runs/fashion/wandb/offline-run-*
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "athanor/train/events.hpp"

namespace athanor::track {

struct WandbOptions {
  /// Empty: the name of the run folder.
  std::string name = {};
  /// Runs that are shown together.
  std::string group = {};
  std::vector<std::string> tags{};
  /// Beside the options of the run. A value that is JSON (a number, true, a list) becomes that, another one text.
  std::vector<std::pair<std::string, std::string>> config{};
  /// Whose project it is: a person or a team. Empty: whoever uploads.
  std::string entity = {};
  /// Files that become an artifact at the end, type `model`, where they are there; relative ones lie in the run folder.
  std::vector<std::filesystem::path> artifacts = {"best.safetensors", "options.json"};
  /// Where the folder of the offline run is made. Unset: `wandb` in the run folder; a run that has none is an Error
  /// then.
  std::optional<std::filesystem::path> folder = {};
  /// What was written is handed to the system after this time at the latest, and at the end of each epoch.
  std::chrono::milliseconds flush_every{2000};
  /// The memory of events that wait to be written. When it is full, the step waits and the end of the run says so.
  size_t queue_bytes = size_t{16} << 20;
};

/// Writes `offline-run-DATE_TIME-ID/run-ID.wandb` with `files/` beside it: `config.yaml`, `wandb-summary.json`,
/// `wandb-metadata.json`, `output.log` (the lines of the terminal), `media/`. No network is used; `wandb sync` uploads
/// the folder, from this machine or another one that sees the same paths. Throws Error for a project without a name.
///
/// - W&B's step is the number of optimizer steps. Values of an epoch under their names, those of a step under `step/`;
///   what has the same step is one row, written when the step is over. NaN and infinity are written as they are.
/// - Options and `config` are the run's config, flattened (`optimizer.lr`).
/// - The summary holds the last values, and `best/MONITOR` with `best/epoch`.
/// - What `Trainer::record` is given: histograms, images, texts, tables with pictures in their cells.
/// - The `artifacts` as one of type `model`, called `run-ID-model`.
///
/// A run that goes on in its folder keeps its id: each session has a folder of its own with it, and rows begin behind
/// the step where it goes on. What sessions before wrote behind that step is cut out of their logs, as `marks.jsonl`
/// beside them says; upload them in the order of their names with `wandb sync --append`.
[[nodiscard]] std::shared_ptr<Listener> wandb(std::string project, WandbOptions options = {});

}  // namespace athanor::track
