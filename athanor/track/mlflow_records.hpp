// SPDX-License-Identifier: Apache-2.0
// What a run tells MLflow, as records that can wait in a spool: JSON objects, each with `do`:
//
//     {"do": "begin", "key", "experiment", "name", "tags", "params", "time", "resumed", "step"}
//     {"do": "values", "time", "step", "values": {NAME: NUMBER | "NaN" | "Infinity" | "-Infinity"}}
//     {"do": "artifact", "file", "name"}
//     {"do": "end", "status": "FINISHED" | "FAILED" | "KILLED", "time"}
//
// `key` is the run's own name for itself, 32 hexadecimal digits; times are in milliseconds since 1970.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "athanor/track/mlflow.hpp"
#include "athanor/track/spool.hpp"

namespace athanor::track {

using Json = nlohmann::ordered_json;

/// Where records go.
class MlflowSink {
 public:
  virtual ~MlflowSink();
  virtual void put(const Json& record, Spool::Need need) = 0;
  /// The run is over; waits as long as the sink is allowed to.
  virtual void close() = 0;
  /// What a person should know about it.
  [[nodiscard]] virtual std::string remark() const = 0;
};

/// Makes a sink for a run; `folder` is the one of the spool.
using MlflowSinks = std::function<std::unique_ptr<MlflowSink>(const std::filesystem::path& folder)>;

/// Turns the events of a run into records. For one thread; `remark` from any.
class MlflowRecorder : public Listener {
 public:
  MlflowRecorder(MlflowOptions options, MlflowSinks sinks);
  ~MlflowRecorder() override;
  [[nodiscard]] std::string name() const override { return "the MLflow tracker"; }
  [[nodiscard]] std::string remark() const override;
  void on_run_begin(const events::RunBegin& run) override;
  void on_step(const events::Step& step) override;
  void on_epoch_end(const events::EpochEnd& end) override;
  void on_run_end(const events::RunEnd& end) override;
  void on_run_broken(const events::RunBroken& broken) override;
  void on_evaluation(const events::Evaluation& evaluation) override;

 private:
  [[nodiscard]] std::filesystem::path spool_folder(const std::optional<std::filesystem::path>& run_folder) const;
  void open(const std::optional<std::filesystem::path>& run_folder);
  void begin(bool resumed, int64_t step, Json params);
  void put_values(int64_t step, const Values& values, const std::string& prefix, Spool::Need need);
  void put_artifacts();
  void end(const char* status);

  MlflowOptions options_;
  MlflowSinks sinks_;
  std::optional<std::filesystem::path> run_folder_;
  std::filesystem::path folder_;
  mutable std::mutex mutex_;  // of the sink as a place, for `remark`
  std::shared_ptr<MlflowSink> sink_;
  bool open_ = false;
};

/// A name as MLflow takes it: letters, digits and `_-. /`, at most 250 bytes, no empty parts and no `..` between
/// slashes.
[[nodiscard]] std::string mlflow_name(std::string_view name);

/// Milliseconds since 1970.
[[nodiscard]] int64_t milliseconds_since_1970();

}  // namespace athanor::track
