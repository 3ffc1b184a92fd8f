// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/mlflow_folder.hpp"

#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/track/append_file.hpp"
#include "athanor/track/cut_file.hpp"
#include "athanor/track/random_id.hpp"

namespace athanor::track {
namespace {

namespace fs = std::filesystem;

// Of MLflow's RunStatus.
enum MlflowStatus { status_running = 1, status_finished = 3, status_failed = 4, status_killed = 5 };

// JSON is YAML.
std::string yaml_of(const Json& object) {
  std::string text;
  for (const auto& [name, value] : object.items()) text += name + ": " + value.dump() + "\n";
  return text;
}

/// The value of a line `name: value` in a file of ours or of MLflow's.
std::string yaml_text(const fs::path& path, const std::string& name) {
  std::ifstream stream(path);
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with(name + ": ")) continue;
    std::string value = line.substr(name.size() + 2);
    if (value.size() >= 2 && value.front() == '"') {
      const Json parsed = Json::parse(value, nullptr, /*allow_exceptions=*/false);
      return parsed.is_string() ? parsed.get<std::string>() : value;
    }
    if (value.size() >= 2 && value.front() == '\'' && value.back() == '\'') value = value.substr(1, value.size() - 2);
    return value;
  }
  return {};
}

std::string file_url(const fs::path& path) { return "file://" + fs::absolute(path).lexically_normal().string(); }

void write_text(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  write_file_atomically(path, std::string_view(text));
}

std::string number_text(const Json& value) {
  if (value.is_string()) return value == "NaN" ? "nan" : value == "Infinity" ? "inf" : "-inf";
  return value.dump();
}

/// The last number of a line `TIME VALUE STEP`.
int64_t step_of_line(std::string_view line) {
  const size_t blank = line.rfind(' ');
  return blank == std::string_view::npos ? 0 : std::atoll(std::string(line.substr(blank + 1)).c_str());
}

}  // namespace

fs::path MlflowFolder::experiment(const std::string& name) {
  for (const auto& entry : fs::directory_iterator(root_)) {
    const std::string found = entry.path().filename().string();
    if (found.starts_with('.') || !fs::is_regular_file(entry.path() / "meta.yaml")) continue;
    if (yaml_text(entry.path() / "meta.yaml", "name") == name) return entry.path();
  }
  const std::string id = name == "Default" ? "0" : "1" + random_text(17, "0123456789");
  fs::path path = root_ / id;
  fs::create_directories(path);
  const int64_t now = milliseconds_since_1970();
  write_text(path / "meta.yaml", yaml_of({{"artifact_location", file_url(path)},
                                          {"creation_time", now},
                                          {"experiment_id", id},
                                          {"last_update_time", now},
                                          {"lifecycle_stage", "active"},
                                          {"name", name}}));
  return path;
}

void MlflowFolder::write_meta(int status, const Json& end_time) const {
  Json meta = meta_;
  meta["status"] = status;
  meta["end_time"] = end_time;
  write_text(run_ / "meta.yaml", yaml_of(meta));
}

/// What was logged after that step did not happen.
void MlflowFolder::cut(int64_t step) const {
  if (!fs::is_directory(run_ / "metrics")) return;
  for (const auto& entry : fs::recursive_directory_iterator(run_ / "metrics")) {
    if (entry.is_regular_file()) {
      cut_behind(entry.path(), step, [](std::string_view line) { return LinePlace{.step = step_of_line(line)}; });
    }
  }
}

void MlflowFolder::begin(const Json& record) {
  fs::create_directories(root_);
  const fs::path place = experiment(record.at("experiment").get<std::string>());
  const auto key = record.at("key").get<std::string>();
  run_ = place / key;
  int64_t start = record.at("time").get<int64_t>();
  if (fs::is_regular_file(run_ / "meta.yaml")) {
    start = std::atoll(yaml_text(run_ / "meta.yaml", "start_time").c_str());
    cut(record.at("step").get<int64_t>());
  }
  const auto name = record.at("name").get<std::string>();
  meta_ = {{"artifact_uri", file_url(run_ / "artifacts")},
           {"entry_point_name", ""},
           {"experiment_id", place.filename().string()},
           {"lifecycle_stage", "active"},
           {"run_id", key},
           {"run_name", name},
           {"run_uuid", key},
           {"source_name", ""},
           {"source_type", 4},
           {"source_version", ""},
           {"start_time", start},
           {"tags", Json::array()},
           {"user_id", ""}};
  for (const char* each : {"metrics", "params", "tags", "artifacts"}) fs::create_directories(run_ / each);
  write_meta(status_running, nullptr);
  write_text(run_ / "tags" / "mlflow.runName", name);
  for (const auto& [tag, value] : record.at("tags").items()) write_text(run_ / "tags" / tag, value.get<std::string>());
  for (const auto& [param, value] : record.at("params").items()) {
    const fs::path path = run_ / "params" / param;
    const auto text = value.get<std::string>();
    std::ifstream stream(path, std::ios::binary);
    if (!stream) {
      write_text(path, text);
    } else if (std::string(std::istreambuf_iterator<char>(stream), {}) != text) {
      write_text(run_ / "tags" / ("option." + param), text);
    }
  }
}

void MlflowFolder::put(const Json& record, Spool::Need) {
  const auto what = record.at("do").get<std::string>();
  try {
    if (what == "begin") {
      begin(record);
    } else if (what == "values") {
      const std::string time = std::to_string(record.at("time").get<int64_t>());
      const std::string step = std::to_string(record.at("step").get<int64_t>());
      for (const auto& [name, value] : record.at("values").items()) {
        AppendFile file(run_ / "metrics" / name);
        if (file.was_torn()) file.write("\n");
        file.write(time + " " + number_text(value) + " " + step + "\n");
        file.flush();
      }
    } else if (what == "artifact") {
      fs::copy_file(folder_ / record.at("file").get<std::string>(),
                    run_ / "artifacts" / record.at("name").get<std::string>(), fs::copy_options::overwrite_existing);
    } else {
      const auto status = record.at("status").get<std::string>();
      write_meta(status == "FINISHED" ? status_finished
                 : status == "KILLED" ? status_killed
                                      : status_failed,
                 record.at("time"));
    }
  } catch (const fs::filesystem_error& error) {
    throw Error({.what = "a run can't be written for MLflow",
                 .where = root_.string(),
                 .got = error.what(),
                 .todo = "choose a place that this user may write to"});
  }
}

}  // namespace athanor::track
