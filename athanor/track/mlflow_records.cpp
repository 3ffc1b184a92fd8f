// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/mlflow_records.hpp"

#include <cmath>
#include <fstream>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/utf8.hpp"
#include "athanor/track/event_file.hpp"
#include "athanor/track/flat_options.hpp"
#include "athanor/track/json_numbers.hpp"
#include "athanor/track/random_id.hpp"

namespace athanor::track {
namespace {

constexpr size_t longest_name = 250;
constexpr size_t longest_value = 500;

std::string key_in(const std::filesystem::path& folder) {
  std::string key;
  std::ifstream(folder / "key") >> key;
  return key;
}

bool stopped_by_signal(const std::string& reason) { return reason.starts_with("stopped by SIG"); }

}  // namespace

MlflowSink::~MlflowSink() = default;

std::string mlflow_name(std::string_view name) {
  std::string result;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
    if (plain || std::string_view("_-. ").find(c) != std::string_view::npos) {
      result += c;
    } else if (c == '/') {
      if (result.empty() || result.ends_with('/')) result += '_';
      result += c;
    } else {
      result += '_';
    }
  }
  if (result.empty() || result.ends_with('/')) result += '_';
  // MLflow's names are paths below a folder.
  for (size_t begin = 0; begin <= result.size();) {
    const size_t end = std::min(result.find('/', begin), result.size());
    const std::string_view part = std::string_view(result).substr(begin, end - begin);
    if (part == "." || part == "..") result[begin] = '_';
    begin = end + 1;
  }
  if (result.size() > longest_name) result.resize(longest_name);
  if (result.ends_with('/')) result.back() = '_';
  return result;
}

int64_t milliseconds_since_1970() { return static_cast<int64_t>(std::llround(wall_clock() * 1e3)); }

MlflowRecorder::MlflowRecorder(MlflowOptions options, MlflowSinks sinks)
    : options_(std::move(options)), sinks_(std::move(sinks)) {}

MlflowRecorder::~MlflowRecorder() = default;

std::string MlflowRecorder::remark() const {
  std::shared_ptr<MlflowSink> sink;
  {
    const std::lock_guard lock(mutex_);
    sink = sink_;
  }
  return sink == nullptr ? "" : sink->remark();
}

std::filesystem::path MlflowRecorder::spool_folder(const std::optional<std::filesystem::path>& run_folder) const {
  if (options_.folder) return *options_.folder;
  if (run_folder) return *run_folder / "mlflow";
  throw Error({.what = "the MLflow tracker needs a folder for what is not sent yet",
               .where = "MlflowOptions::folder",
               .todo = "give it, or a folder to the run, where it will be mlflow"});
}

void MlflowRecorder::open(const std::optional<std::filesystem::path>& run_folder) {
  {
    const std::lock_guard lock(mutex_);
    sink_.reset();  // the folder belongs to one at a time
  }
  run_folder_ = run_folder;
  folder_ = spool_folder(run_folder);
  require_writable_directory(folder_);
  std::shared_ptr<MlflowSink> sink = sinks_(folder_);
  const std::lock_guard lock(mutex_);
  sink_ = std::move(sink);
}

void MlflowRecorder::begin(bool resumed, int64_t step, Json params) {
  std::string key = resumed ? key_in(folder_) : "";
  resumed = !key.empty();
  if (!resumed) {
    key = random_hex(32);
    write_file_atomically(folder_ / "key", key + "\n");
  }
  std::string run_name = options_.run_name;
  if (run_name.empty() && run_folder_)
    run_name = std::filesystem::absolute(*run_folder_).lexically_normal().filename().string();
  Json tags = Json::object();
  for (const auto& [name, value] : options_.tags) tags[mlflow_name(name)] = cut_text(valid_utf8(value), 5000);
  if (resumed) tags["resumed_at_step"] = std::to_string(step);
  sink_->put({{"do", "begin"},
              {"key", key},
              {"experiment", valid_utf8(options_.experiment)},
              {"name", valid_utf8(run_name)},
              {"tags", std::move(tags)},
              {"params", std::move(params)},
              {"time", milliseconds_since_1970()},
              {"resumed", resumed},
              {"step", step}},
             Spool::Need::essential);
  open_ = true;
}

void MlflowRecorder::on_run_begin(const events::RunBegin& run) {
  open_ = false;
  open(run.folder);
  Json params = Json::object();
  for (const auto& [name, value] : flat_options(run)) params[mlflow_name(name)] = cut_text(value, longest_value);
  begin(run.resumed, run.step, std::move(params));
}

void MlflowRecorder::put_values(int64_t step, const Values& values, const std::string& prefix, Spool::Need need) {
  if (!open_ || values.empty()) return;
  Json object = Json::object();
  for (const auto& [name, value] : values) object[mlflow_name(prefix + name)] = json_number(value);
  sink_->put({{"do", "values"}, {"time", milliseconds_since_1970()}, {"step", step}, {"values", std::move(object)}},
             need);
}

void MlflowRecorder::on_step(const events::Step& step) {
  Values values;
  for (const auto& [name, value] : step.values) values.set(name.starts_with("train_") ? name.substr(6) : name, value);
  put_values(step.step, values, "step/", Spool::Need::ordinary);
}

void MlflowRecorder::on_epoch_end(const events::EpochEnd& end) {
  Values values = end.epoch.values;
  values.merge(end.epoch.settings);
  put_values(end.epoch.steps, values, "", Spool::Need::essential);
}

void MlflowRecorder::put_artifacts() {
  for (const std::filesystem::path& artifact : options_.artifacts) {
    const std::filesystem::path file = artifact.is_absolute() || !run_folder_ ? artifact : *run_folder_ / artifact;
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(file, ignored)) continue;
    // Beside the spool it is found again when the folder of the run was moved.
    const bool beside = run_folder_ && !options_.folder && artifact.is_relative();
    sink_->put({{"do", "artifact"},
                {"file",
                 beside ? (std::filesystem::path("..") / artifact).string() : std::filesystem::absolute(file).string()},
                {"name", file.filename().string()}},
               Spool::Need::essential);
  }
}

void MlflowRecorder::end(const char* status) {
  if (!std::exchange(open_, false)) return;
  sink_->put({{"do", "end"}, {"status", status}, {"time", milliseconds_since_1970()}}, Spool::Need::essential);
  sink_->close();
}

void MlflowRecorder::on_run_end(const events::RunEnd& end_of_run) {
  if (!open_) return;
  if (const auto& best = end_of_run.history.best(); best && best->epoch > 0) {
    const int64_t step = end_of_run.history.empty() ? 0 : end_of_run.history.last().steps;
    put_values(step, Values{{best->monitor, best->value}}, "best/", Spool::Need::essential);
  }
  put_artifacts();
  end(stopped_by_signal(end_of_run.history.stop_reason()) ? "KILLED" : "FINISHED");
}

void MlflowRecorder::on_run_broken(const events::RunBroken&) { end("FAILED"); }

void MlflowRecorder::on_evaluation(const events::Evaluation& evaluation) {
  if (open_) {
    put_values(evaluation.step, evaluation.values, "", Spool::Need::essential);
    return;
  }
  if (!options_.folder && !evaluation.folder) return;
  open(evaluation.folder);
  begin(/*resumed=*/true, evaluation.step, Json::object());
  put_values(evaluation.step, evaluation.values, "", Spool::Need::essential);
  end("FINISHED");
}

}  // namespace athanor::track
