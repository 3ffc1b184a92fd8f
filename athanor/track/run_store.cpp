// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/run_store.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "athanor/core/utf8.hpp"

namespace athanor::track {
namespace {

namespace fs = std::filesystem;
using StoreJson = nlohmann::ordered_json;

constexpr size_t most_runs = 20000;

StoreJson store_json_of(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

std::string dump(const StoreJson& json) { return json.dump(-1, ' ', false, StoreJson::error_handler_t::replace); }

const char* state_name(const StoredRun& run) {
  if (run.state == StoredRun::State::ended) return "ended";
  if (run.state == StoredRun::State::broken) return "broken";
  return run.is_silent() ? "silent" : "running";
}

StoreJson brief(const StoredRun& run, size_t number) {
  StoreJson json = {{"run", number}, {"name", run.name}, {"state", state_name(run)}};
  json["begun"] = run.begun;
  json["last"] = run.last_event;
  json["ended"] = run.ended;
  json["step"] = run.rows.empty() ? 0 : run.rows.back().step;
  json["epoch"] = run.epoch_marks.empty() ? 0.0 : run.epoch_marks.back().epochs;
  json["epochs"] = run.epochs ? StoreJson(*run.epochs) : StoreJson();
  json["reason"] = run.reason;
  json["problem"] = run.problem;
  if (run.best) {
    json["best"] = {
        {"monitor", run.best->monitor}, {"epoch", run.best->epoch}, {"value", store_json_of(run.best->value)}};
    if (const auto row = run.row_of_epoch(static_cast<double>(run.best->epoch))) {
      json["best"]["step"] = row->step;
      json["best"]["time"] = row->time - run.begun;
    }
  }
  if (run.progress) {
    json["progress"] = {{"stage", run.progress->stage},
                        {"epoch", run.progress->epoch},
                        {"batch", run.progress->batch},
                        {"batches", run.progress->batches},
                        {"seconds", run.progress->seconds}};
  }
  json["options"] = run.options;
  StoreJson& values = json["values"] = StoreJson::array();
  for (const std::string& name : run.epoch_names) {
    const StoredCurve& curve = run.epoch_curves.at(name);
    if (!curve.values.empty()) values.push_back({name, store_json_of(curve.values.back())});
  }
  StoreJson& curves = json["curves"] = StoreJson::array();
  for (const auto& [name, curve] : run.step_curves) curves.push_back({"s:" + name, curve.values.size(), curve.varies});
  for (const std::string& name : run.epoch_names) {
    const StoredCurve& curve = run.epoch_curves.at(name);
    curves.push_back({"e:" + name, curve.values.size(), curve.varies});
  }
  return json;
}

/// That of a run that rests, with what time changes.
StoreJson brief_of_resting(const std::string& text, const StoredRun& run) {
  StoreJson json = StoreJson::parse(text, nullptr, /*allow_exceptions=*/false);
  json["state"] = state_name(run);
  return json;
}

/// Numbers as short as a picture needs them.
void write_number(std::string& out, double value, bool exact) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char buffer[32];
  const auto end = exact ? std::to_chars(buffer, buffer + sizeof buffer, value).ptr
                         : std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::general, 7).ptr;
  out.append(buffer, end);
}

void write_numbers(std::string& out, const char* name, const std::vector<double>& values, bool exact) {
  out.append(",\"").append(name).append("\":[");
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ',';
    write_number(out, values[i], exact);
  }
  out += ']';
}

}  // namespace

RunStore::RunStore(RunStoreOptions options) : options_(std::move(options)) {}

void RunStore::add(const fs::path& folder) {
  const auto known =
      std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) { return entry->run.folder == folder; });
  if (known != entries_.end() || entries_.size() >= most_runs) return;
  const fs::path relative = folder.lexically_relative(options_.folder);
  const std::string name = relative.empty() || relative == "." ? folder.filename().string() : relative.string();
  entries_.push_back(std::make_unique<Entry>(Entry{StoredRun(name, folder)}));
}

void RunStore::scan(const fs::path& folder, int depth) {
  if (StoredRun::is_run(folder)) return add(folder);
  if (depth == 0) return;
  std::error_code problem;
  std::vector<fs::path> below;
  for (fs::directory_iterator each(folder, fs::directory_options::skip_permission_denied, problem), end;
       !problem && each != end; each.increment(problem)) {
    std::error_code none;
    if (each->path().filename().string().starts_with(".") || !each->is_directory(none)) continue;
    if (each->is_symlink(none)) continue;
    below.push_back(each->path());
  }
  std::sort(below.begin(), below.end());
  for (const fs::path& each : below) scan(each, depth - 1);
}

uint64_t RunStore::look() {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  const bool first = version_ == 1 && looked_.time_since_epoch().count() == 0;
  if (!first && now - looked_ < options_.look_every) return version_;
  if (first || now - scanned_ >= options_.scan_every) {
    scan(options_.folder.lexically_normal(), options_.depth);
    scanned_ = now;
  }
  bool changed = false;
  for (const auto& entry : entries_) {
    if (!entry->run.refresh()) continue;
    entry->changed = version_ + 1;
    changed = true;
    measure(*entry);
    make_room(*entry);
  }
  if (changed) version_ += 1;
  looked_ = std::chrono::steady_clock::now();
  return version_;
}

void RunStore::measure(Entry& entry) const {
  bytes_ -= entry.bytes;
  entry.bytes = entry.run.memory();
  bytes_ += entry.bytes;
  entry.used = ++uses_;
  entry.brief = {};
}

void RunStore::make_room(const Entry& keep) const {
  while (bytes_ > options_.bytes) {
    size_t oldest = entries_.size();
    for (size_t i = 0; i < entries_.size(); ++i) {
      const Entry& entry = *entries_[i];
      if (&entry == &keep || entry.bytes == 0) continue;
      if (oldest == entries_.size() || entry.used < entries_[oldest]->used) oldest = i;
    }
    if (oldest == entries_.size()) return;
    Entry& entry = *entries_[oldest];
    entry.brief = dump(brief(entry.run, oldest));
    entry.run.rest();
    bytes_ -= std::exchange(entry.bytes, 0);
  }
}

const StoredRun& RunStore::awake(size_t number) const {
  Entry& entry = *entries_[number];
  entry.used = ++uses_;
  if (!entry.run.is_resting()) return entry.run;
  entry.run.wake();
  measure(entry);
  make_room(entry);
  return entry.run;
}

size_t RunStore::memory() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

std::string RunStore::runs_json(uint64_t since) const {
  const std::lock_guard lock(mutex_);
  StoreJson json = {{"version", version_}};
  StoreJson& runs = json["runs"] = StoreJson::array();
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = *entries_[i];
    if (entry.changed <= since) continue;
    runs.push_back(entry.run.is_resting() ? brief_of_resting(entry.brief, entry.run) : brief(entry.run, i));
  }
  return dump(json);
}

std::string RunStore::run_json(size_t number) const {
  const std::lock_guard lock(mutex_);
  if (number >= entries_.size()) return {};
  const StoredRun& run = awake(number);
  StoreJson json = brief(run, number);
  json["device"] = run.device;
  json["threads"] = run.threads;
  json["parameters"] = run.parameters;
  json["seed"] = run.seed;
  json["notes"] = run.notes;
  json["verdict"] = run.verdict;
  json["times"] = run.times;
  StoreJson& messages = json["messages"] = StoreJson::array();
  for (const auto& note : run.messages) {
    messages.push_back({{"time", note.time}, {"warning", note.warning}, {"text", note.text}});
  }
  StoreJson& texts = json["texts"] = StoreJson::array();
  for (const auto& [name, text] : run.texts) {
    texts.push_back({{"name", name}, {"step", text.step}, {"markdown", text.markdown}});
  }
  StoreJson& histograms = json["histograms"] = StoreJson::array();
  for (const auto& [name, each] : run.histograms) {
    histograms.push_back({{"name", name}, {"step", each.step}, {"edges", each.edges}, {"counts", each.counts}});
  }
  StoreJson& pictures = json["pictures"] = StoreJson::array();
  for (size_t i = 0; i < run.pictures.size(); ++i) {
    const auto& picture = run.pictures[i];
    pictures.push_back({{"picture", run.first_picture + i},
                        {"name", picture.name},
                        {"step", picture.step},
                        {"width", picture.width},
                        {"height", picture.height}});
  }
  return dump(json);
}

std::string RunStore::curves_json(const CurvesQuery& query) const {
  const std::lock_guard lock(mutex_);
  std::string out = "{\"curves\":[";
  bool first = true;
  for (const size_t number : query.runs) {
    if (number >= entries_.size()) continue;
    const StoredRun& run = awake(number);
    for (const std::string& name : query.names) {
      const auto& curves = name.starts_with("s:") ? run.step_curves : run.epoch_curves;
      const auto found = name.size() < 2 ? curves.end() : curves.find(name.substr(2));
      if (found == curves.end()) continue;
      const CurvePoints points = curve_points(run.view(found->second, query.axis), query.request);
      out += first ? "" : ",";
      first = false;
      out += "{\"run\":" + std::to_string(number) + ",\"name\":" + dump(name);
      out += ",\"not_finite\":" + std::to_string(points.not_finite);
      out += ",\"size\":" + std::to_string(found->second.values.size());
      write_numbers(out, "x", points.x, /*exact=*/query.axis == RunAxis::step);
      write_numbers(out, "y", points.y, /*exact=*/false);
      out += '}';
    }
  }
  return out + "]}";
}

std::string RunStore::picture(size_t run, size_t number) const {
  const std::lock_guard lock(mutex_);
  return run < entries_.size() ? awake(run).read_picture(number) : std::string();
}

size_t RunStore::find(const fs::path& folder) const {
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < entries_.size(); ++i) {
    std::error_code none;
    if (entries_[i]->run.folder == folder.lexically_normal() || fs::equivalent(entries_[i]->run.folder, folder, none)) {
      return i;
    }
  }
  return entries_.size();
}

size_t RunStore::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace athanor::track
