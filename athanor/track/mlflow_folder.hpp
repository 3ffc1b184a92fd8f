// SPDX-License-Identifier: Apache-2.0
// Records of a run as the files of MLflow's file store.
#pragma once

#include <filesystem>
#include <string>

#include "athanor/track/mlflow_records.hpp"

namespace athanor::track {

/// Writes below `root` at once, without a spool: `EXPERIMENT/RUN/{meta.yaml, metrics, params, tags, artifacts}`.
class MlflowFolder : public MlflowSink {
 public:
  /// `folder`: where the recorder keeps its key; names of artifacts are relative to it.
  MlflowFolder(std::filesystem::path root, std::filesystem::path folder)
      : root_(std::move(root)), folder_(std::move(folder)) {}

  /// Throws Error when a file can't be written.
  void put(const Json& record, Spool::Need need) override;
  void close() override {}
  [[nodiscard]] std::string remark() const override { return {}; }

 private:
  std::filesystem::path experiment(const std::string& name);
  void begin(const Json& record);
  void cut(int64_t step) const;
  void write_meta(int status, const Json& end_time) const;

  std::filesystem::path root_;
  std::filesystem::path folder_;
  std::filesystem::path run_;  // the folder of the run
  Json meta_ = Json::object();
};

}  // namespace athanor::track
