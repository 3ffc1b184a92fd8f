// SPDX-License-Identifier: Apache-2.0
// Records of a run as calls of MLflow's REST API, version 2.0.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "athanor/track/http.hpp"
#include "athanor/track/mlflow_records.hpp"
#include "athanor/track/spool_sender.hpp"

namespace athanor::track {

/// Keeps the ids that the server gave in `run.json` of the folder, so that another program can go on.
class MlflowServer : public Delivery {
 public:
  /// Throws Error for a url that is none.
  MlflowServer(const std::string& url, std::filesystem::path folder, std::chrono::milliseconds silence);

  size_t deliver(std::span<const Spool::Record> records) override;
  void cancel() noexcept override { http_.cancel(); }

 private:
  struct Point;

  Json checked(const HttpAnswer& answer, const std::string& call) const;
  Json get(const std::string& call, const std::vector<std::pair<std::string, std::string>>& query);
  Json post(const std::string& call, const Json& body);
  void begin(const Json& record);
  std::string experiment_id(const std::string& name);
  void find_run(const Json& record, const std::string& experiment);
  void create_run(const Json& record, const std::string& experiment);
  void log_params(const Json& record);
  void log_metrics(const std::vector<Point>& points);
  void upload(const Json& record);
  void require_run() const;

  HttpClient http_;
  std::filesystem::path folder_;
  Json run_ = Json::object();  // key, run_id, artifact_uri
};

}  // namespace athanor::track
