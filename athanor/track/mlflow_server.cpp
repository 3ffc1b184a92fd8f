// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/mlflow_server.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/track/base64.hpp"
#include "athanor/track/flat_options.hpp"

namespace athanor::track {
namespace {

using Kind = DeliveryProblem::Kind;

// What one call of log-batch may hold.
constexpr size_t most_metrics = 1000;
constexpr size_t most_params = 100;
constexpr std::string_view artifact_scheme = "mlflow-artifacts:";

std::string environment_variable(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

std::vector<std::pair<std::string, std::string>> headers_from_environment() {
  const std::string token = environment_variable("MLFLOW_TRACKING_TOKEN");
  const std::string user = environment_variable("MLFLOW_TRACKING_USERNAME");
  if (!user.empty()) {
    return {{"Authorization", "Basic " + base64(user + ":" + environment_variable("MLFLOW_TRACKING_PASSWORD"))}};
  }
  if (!token.empty()) return {{"Authorization", "Bearer " + token}};
  return {};
}

std::string text_in(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

Json parsed(const std::string& text) { return Json::parse(text, nullptr, /*allow_exceptions=*/false); }

}  // namespace

struct MlflowServer::Point {
  std::string key;
  Json value;
  int64_t time;
  int64_t step;
};

MlflowServer::MlflowServer(const std::string& url, std::filesystem::path folder, std::chrono::milliseconds silence)
    : http_(url, {.silence = silence, .headers = headers_from_environment()}), folder_(std::move(folder)) {
  std::ifstream stream(folder_ / "run.json");
  if (Json kept = Json::parse(stream, nullptr, /*allow_exceptions=*/false); kept.is_object()) run_ = std::move(kept);
}

/// The object of an answer, or what is to be done without one.
Json MlflowServer::checked(const HttpAnswer& answer, const std::string& call) const {
  Json body = parsed(answer.body);
  if (answer.status == 200) {
    if (!body.is_object()) throw DeliveryProblem(Kind::later, call + ": the answer is not JSON");
    return body;
  }
  std::string text = call + ": " + std::to_string(answer.status);
  const std::string code = body.is_object() ? text_in(body, "error_code") : "";
  if (!code.empty()) text += " " + code;
  if (body.is_object() && !text_in(body, "message").empty()) text += ": " + cut_text(text_in(body, "message"), 300);
  const bool busy = answer.status == 408 || answer.status == 425 || answer.status == 429;
  if (busy || answer.status >= 500) {
    std::optional<std::chrono::milliseconds> pause;
    if (answer.retry_after) pause = std::min(*answer.retry_after, std::chrono::seconds(3600));
    throw DeliveryProblem(Kind::later, text, pause);
  }
  throw DeliveryProblem(answer.status == 400 ? Kind::refused : Kind::closed, text);
}

Json MlflowServer::get(const std::string& call, const std::vector<std::pair<std::string, std::string>>& query) {
  std::string path = "/api/2.0/mlflow/" + call;
  char separator = '?';
  for (const auto& [name, value] : query) {
    path += std::exchange(separator, '&') + name + "=" + url_encoded(value);
  }
  return checked(http_.get(path), call);
}

Json MlflowServer::post(const std::string& call, const Json& body) {
  return checked(http_.post_json("/api/2.0/mlflow/" + call, body.dump(-1, ' ', false, Json::error_handler_t::replace)),
                 call);
}

std::string MlflowServer::experiment_id(const std::string& name) {
  const std::string path = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=" + url_encoded(name);
  const HttpAnswer answer = http_.get(path);
  if (answer.status == 404) {
    if (const Json body = parsed(answer.body);
        !body.is_object() || text_in(body, "error_code") != "RESOURCE_DOES_NOT_EXIST") {
      throw DeliveryProblem(Kind::closed, "experiments/get-by-name: 404: this does not look like a server of MLflow");
    }
    return text_in(post("experiments/create", {{"name", name}}), "experiment_id");
  }
  const Json body = checked(answer, "experiments/get-by-name");
  const Json experiment = body.value("experiment", Json::object());
  if (text_in(experiment, "lifecycle_stage") == "deleted") {
    throw DeliveryProblem(Kind::closed, "the experiment '" + name + "' is deleted: restore it, or take another name");
  }
  return text_in(experiment, "experiment_id");
}

/// A call that made the run may have been lost on its way back.
void MlflowServer::find_run(const Json& record, const std::string& experiment) {
  const Json answer = post("runs/search", {{"experiment_ids", {experiment}},
                                           {"filter", "tags.athanor_run = '" + text_in(record, "key") + "'"},
                                           {"max_results", 1}});
  const Json runs = answer.value("runs", Json::array());
  if (runs.empty()) return;
  const Json info = runs[0].value("info", Json::object());
  run_ = {{"key", text_in(record, "key")},
          {"run_id", text_in(info, "run_id")},
          {"artifact_uri", text_in(info, "artifact_uri")}};
}

void MlflowServer::create_run(const Json& record, const std::string& experiment) {
  Json tags = Json::array({{{"key", "athanor_run"}, {"value", text_in(record, "key")}}});
  Json body = {{"experiment_id", experiment}, {"start_time", record.value("time", int64_t{0})}, {"tags", tags}};
  if (const std::string name = text_in(record, "name"); !name.empty()) body["run_name"] = name;
  const Json info = post("runs/create", body).value("run", Json::object()).value("info", Json::object());
  run_ = {{"key", text_in(record, "key")},
          {"run_id", text_in(info, "run_id")},
          {"artifact_uri", text_in(info, "artifact_uri")}};
}

void MlflowServer::begin(const Json& record) {
  try {
    bool goes_on = text_in(run_, "key") == text_in(record, "key");
    if (!goes_on) {
      run_ = Json::object();
      const std::string experiment = experiment_id(text_in(record, "experiment"));
      find_run(record, experiment);
      goes_on = !text_in(run_, "run_id").empty();
      if (!goes_on) create_run(record, experiment);
      if (text_in(run_, "run_id").empty()) throw DeliveryProblem(Kind::later, "the server gave the run no run_id");
      write_file_atomically(folder_ / "run.json", run_.dump() + "\n");
    }
    if (goes_on) post("runs/update", {{"run_id", text_in(run_, "run_id")}, {"status", "RUNNING"}});
    log_params(record);
  } catch (const DeliveryProblem& problem) {
    // Without a run there is nothing to send to.
    if (problem.kind != Kind::refused) throw;
    throw DeliveryProblem(Kind::closed, problem.what());
  }
}

void MlflowServer::log_params(const Json& record) {
  const std::string run_id = text_in(run_, "run_id");
  const Json known = get("runs/get", {{"run_id", run_id}}).value("run", Json::object()).value("data", Json::object());
  std::map<std::string, std::string> before;
  for (const Json& param : known.value("params", Json::array()))
    before[text_in(param, "key")] = text_in(param, "value");
  Json params = Json::array();
  Json tags = Json::array();
  const Json given_tags = record.value("tags", Json::object());
  for (const auto& [name, value] : given_tags.items()) tags.push_back({{"key", name}, {"value", value}});
  const Json given_params = record.value("params", Json::object());
  for (const auto& [name, value] : given_params.items()) {
    const auto found = before.find(name);
    if (found == before.end()) {
      params.push_back({{"key", name}, {"value", value}});
    } else if (found->second != value.get<std::string>()) {
      tags.push_back({{"key", cut_text("option." + name, 250)}, {"value", value}});
    }
  }
  const auto in_parts = [&](const char* kind, const Json& all) {
    for (size_t begin = 0; begin < all.size(); begin += most_params) {
      Json part = Json::array();
      for (size_t i = begin; i < std::min(begin + most_params, all.size()); ++i) part.push_back(all[i]);
      post("runs/log-batch", {{"run_id", run_id}, {kind, part}});
    }
  };
  in_parts("params", params);
  in_parts("tags", tags);
}

void MlflowServer::log_metrics(const std::vector<Point>& points) {
  for (size_t begin = 0; begin < points.size(); begin += most_metrics) {
    Json metrics = Json::array();
    for (size_t i = begin; i < std::min(begin + most_metrics, points.size()); ++i) {
      const Point& point = points[i];
      metrics.push_back({{"key", point.key}, {"value", point.value}, {"timestamp", point.time}, {"step", point.step}});
    }
    post("runs/log-batch", {{"run_id", text_in(run_, "run_id")}, {"metrics", std::move(metrics)}});
  }
}

void MlflowServer::upload(const Json& record) {
  const std::filesystem::path file = folder_ / text_in(record, "file");
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(file, ignored)) {
    throw DeliveryProblem(Kind::refused, "the artifact " + file.string() + " is no longer there");
  }
  std::string place = text_in(run_, "artifact_uri");
  if (!place.starts_with(artifact_scheme)) {
    throw DeliveryProblem(Kind::refused, "the server is no proxy for artifacts, which lie at " + place +
                                             "; start it with --serve-artifacts, or copy " + file.string());
  }
  place.erase(0, artifact_scheme.size());
  if (place.starts_with("//")) place.erase(0, std::min(place.find('/', 2), place.size()));
  const std::string name = text_in(record, "name");
  const HttpAnswer answer =
      http_.put_file("/api/2.0/mlflow-artifacts/artifacts" + url_encoded(place + "/" + name), file);
  if (answer.status == 413)
    throw DeliveryProblem(Kind::refused, "the artifact " + name + " is too large for the server");
  checked(
      {.status = answer.status, .body = answer.status == 200 ? "{}" : answer.body, .retry_after = answer.retry_after},
      "the artifact " + name);
}

void MlflowServer::require_run() const {
  if (text_in(run_, "run_id").empty()) {
    throw DeliveryProblem(Kind::refused, "it is not known which run a record belongs to");
  }
}

size_t MlflowServer::deliver(std::span<const Spool::Record> records) {
  const Json record = parsed(records.front().content);
  const std::string what = record.is_object() ? text_in(record, "do") : "";
  if (what == "begin") {
    begin(record);
    return 1;
  }
  require_run();
  if (what == "artifact") {
    upload(record);
    return 1;
  }
  if (what == "end") {
    post("runs/update", {{"run_id", text_in(run_, "run_id")},
                         {"status", text_in(record, "status")},
                         {"end_time", record.value("time", int64_t{0})}});
    return 1;
  }
  if (what != "values") throw DeliveryProblem(Kind::refused, "a record of the spool can't be read");
  std::vector<Point> points;
  size_t count = 0;
  for (; count < records.size(); ++count) {
    const Json each = count == 0 ? record : parsed(records[count].content);
    if (!each.is_object() || text_in(each, "do") != "values") break;
    const Json values = each.value("values", Json::object());
    if (count > 0 && points.size() + values.size() > most_metrics) break;
    for (const auto& [name, value] : values.items()) {
      points.push_back({name, value, each.value("time", int64_t{0}), each.value("step", int64_t{0})});
    }
  }
  log_metrics(points);
  return count;
}

}  // namespace athanor::track
