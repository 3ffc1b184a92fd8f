// SPDX-License-Identifier: Apache-2.0
// Runs for MLflow: over HTTP to a server, or into a folder that MLflow reads.
//
//     model.fit(train, {.validation = test, .run = "runs/fashion",
//                       .track = {athanor::track::mlflow("http://localhost:5000", {.experiment = "fashion"})}});
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "athanor/train/events.hpp"

namespace athanor::track {

struct MlflowOptions {
  /// Made when the server does not have it.
  std::string experiment = "Default";
  /// Empty: the name of the run folder.
  std::string run_name = {};
  std::vector<std::pair<std::string, std::string>> tags{};
  /// Files that are uploaded at the end of the run, where they are there; relative ones lie in the run folder.
  std::vector<std::filesystem::path> artifacts = {"history.csv", "curves.svg", "best.safetensors"};
  /// Where the spool lies, and which run of MLflow this is. Unset: `mlflow` in the run folder; a run that has none is
  /// an Error then.
  std::optional<std::filesystem::path> folder = {};
  /// The disk that the spool may take. When it is full, values of single steps are dropped, and the end of the run says
  /// how many; what comes once an epoch or a run is still taken, until it is an eighth above this bound.
  size_t spool_bytes = size_t{256} << 20;
  /// How long the end of the run waits for the server. What is not sent then stays in the spool.
  std::chrono::milliseconds end_limit{10000};
  /// Values are collected for so long before they are sent together.
  std::chrono::milliseconds send_every{1000};
  /// After a failure; it doubles with each one, up to a minute.
  std::chrono::milliseconds first_pause{500};
  /// The longest silence of the server before a request counts as failed.
  std::chrono::milliseconds silence{20000};
  /// The memory of events that wait to be written into the spool. When it is full, the step waits.
  size_t queue_bytes = size_t{16} << 20;
};

/// `url`: `http://host:port`, `https://host/prefix`, or `file:FOLDER` (`file:mlruns`, `file:///data/mlruns`), the
/// layout of MLflow's file store (MLflow 3 reads it with MLFLOW_ALLOW_FILE_STORE=true). Throws Error for another url.
///
/// - Values of an epoch under their names (`train_loss`, `val_loss`, `lr`), those of a step at the interval of
///   `log_every` under `step/`. MLflow's step is the number of optimizer steps. NaN and infinity are sent as they are;
///   a server with a database keeps an infinity as the largest number.
/// - Options as parameters, flattened (`optimizer.lr`), cut at 500 bytes. MLflow can't change a parameter: one that has
///   another value when a run goes on becomes the tag `option.NAME`.
/// - At the end the `artifacts`, through the server when it is a proxy for them (`mlflow server` as it comes is), and
///   the status: FINISHED, KILLED after a signal, FAILED after an exception.
///
/// Characters that MLflow does not take in names become `_`.
///
/// Nothing waits for the server: events go into a spool on disk, and a thread sends them, again and again with growing
/// pauses (up to a minute, or as long as the server asks for, no longer) while the server is away, busy or answers
/// nonsense. What the server refuses (400) is given up, and the end of the run says so. With a refused login (401, 403)
/// or a run that was deleted (404) the thread stops and everything stays. The end of the run waits `end_limit` at most
/// and says what is left: the next run in the same folder sends it, or `send_spool`. After a crash records may be sent
/// twice; MLflow keeps one of them.
///
/// A run that goes on in its folder goes on in the same run of MLflow, whose tag `resumed_at_step` says where. MLflow
/// can't delete points: what was logged after the checkpoint stays, and the same steps come a second time. In a folder
/// they are cut away.
///
/// `MLFLOW_TRACKING_TOKEN`, or `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, are read from the environment
/// and never written to the disk.
[[nodiscard]] std::shared_ptr<Listener> mlflow(std::string url, MlflowOptions options = {});

struct SpoolReport {
  int64_t sent = 0;          ///< Records that the service took.
  int64_t waiting = 0;       ///< Records that are left.
  int64_t refused = 0;       ///< Records that the service would not take, and that are given up.
  std::string problem = {};  ///< Why something is left or was refused; empty when all is well.
};

/// Sends what a run could not send, for `limit` at most. `folder`: the run folder, or that of the spool. Throws Error
/// when there is no spool there, or a running program holds it.
SpoolReport send_spool(const std::filesystem::path& folder,
                       std::chrono::milliseconds limit = std::chrono::milliseconds(60000));

}  // namespace athanor::track
