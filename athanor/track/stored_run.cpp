// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/stored_run.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "athanor/core/utf8.hpp"
#include "athanor/track/points_format.hpp"

namespace athanor::track {
namespace {

namespace fs = std::filesystem;
using RunJson = nlohmann::ordered_json;

constexpr size_t most_messages = 1000;
constexpr size_t most_pictures = 400;
constexpr size_t read_at_once = size_t{8} << 20;
constexpr double silent_after_seconds = 60;

template <class T>
T number_at(std::string_view bytes, size_t place) {
  T value{};
  std::memcpy(&value, bytes.data() + place, sizeof value);
  return value;
}

double real_of(const RunJson& json) {
  if (json.is_number()) return json.get<double>();
  if (!json.is_string()) return std::numeric_limits<double>::quiet_NaN();
  const auto& text = json.get_ref<const std::string&>();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  return std::numeric_limits<double>::quiet_NaN();
}

std::string record_text(const RunJson& json, const char* name) { return json.value(name, std::string()); }

/// A number beyond 64 bits is none.
int64_t record_integer(const RunJson& json, const char* name, int64_t otherwise = 0) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_number()) return otherwise;
  if (found->is_number_integer()) return found->get<int64_t>();
  constexpr double limit = 9223372036854775808.0;
  const auto value = found->get<double>();
  return value >= -limit && value < limit ? static_cast<int64_t>(value) : otherwise;
}

std::vector<double> reals_of(const RunJson& list) {
  std::vector<double> values;
  for (const RunJson& each : list) values.push_back(real_of(each));
  return values;
}

/// A file that is read a piece at a time, from a place on.
class PieceReader {
 public:
  explicit PieceReader(const fs::path& path) : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~PieceReader() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  PieceReader(const PieceReader&) = delete;
  PieceReader& operator=(const PieceReader&) = delete;
  [[nodiscard]] bool is_open() const { return descriptor_ >= 0; }
  /// Makes `bytes` up to `size` long; false when the file ends before.
  bool read(std::string& bytes, size_t size, uint64_t place) const {
    const size_t before = bytes.size();
    bytes.resize(size);
    size_t done = before;
    while (done < size) {
      const ssize_t count = ::pread(descriptor_, bytes.data() + done, size - done, static_cast<off_t>(place + done));
      if (count <= 0) break;
      done += static_cast<size_t>(count);
    }
    bytes.resize(done);
    return done == size;
  }

 private:
  int descriptor_;
};

std::vector<std::string> csv_cells(const std::string& line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      cells.back() += '"';
      i += 1;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      cells.emplace_back();
    } else if (c != '\r') {
      cells.back() += c;
    }
  }
  return cells;
}

double csv_number(const std::string& cell) {
  double value = std::numeric_limits<double>::quiet_NaN();
  std::from_chars(cell.data(), cell.data() + cell.size(), value);
  return value;
}

int64_t csv_integer(const std::string& cell) {
  int64_t value = 0;
  std::from_chars(cell.data(), cell.data() + cell.size(), value);
  return value;
}

/// JSON as a run writes it; its objects do not lie that deep, and taking them apart calls itself.
RunJson parse_run_json(std::string_view text) {
  constexpr int deepest = 64;
  return RunJson::parse(text, [](int depth, RunJson::parse_event_t, RunJson&) {
    if (depth > deepest) throw std::runtime_error("JSON that is nested too deeply");
    return true;
  });
}

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string content_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void flatten(const RunJson& json, const std::string& name, std::vector<std::pair<std::string, std::string>>& into) {
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) flatten(value, name.empty() ? key : name + "." + key, into);
  } else if (!json.is_null()) {
    into.emplace_back(name, json.is_string() ? json.get<std::string>() : json.dump());
  }
}

}  // namespace

StoredRun::StoredRun(std::string run_name, fs::path run_folder)
    : name(valid_utf8(run_name)), folder(std::move(run_folder)) {}

bool StoredRun::is_run(const fs::path& folder) {
  std::error_code none;
  return fs::is_regular_file(folder / points_file_name, none) || fs::is_regular_file(folder / "history.csv", none);
}

bool StoredRun::is_silent() const {
  return state == State::running && seconds_since_1970() - last_event > silent_after_seconds;
}

void StoredRun::rest() {
  StoredRun fresh(name, folder);
  fresh.state = state;
  fresh.begun = begun;
  fresh.last_event = last_event;
  fresh.size_ = size_;
  fresh.changed_ = changed_;
  fresh.resting_ = true;
  *this = std::move(fresh);
}

void StoredRun::wake() {
  if (!resting_) return;
  clear();
  refresh();
}

size_t StoredRun::memory() const {
  constexpr size_t node = 64;  // of a map, with its allocations
  const auto of_text = [](const std::string& text) { return sizeof(std::string) + text.capacity(); };
  size_t bytes = sizeof *this + rows.capacity() * sizeof(Row) + epoch_marks.capacity() * sizeof(EpochMark);
  for (const auto* curves : {&step_curves, &epoch_curves}) {
    for (const auto& [key, curve] : *curves) {
      bytes += node + of_text(key) + sizeof curve + curve.rows.capacity() * 4 + curve.values.capacity() * 8;
    }
  }
  for (const auto& [key, text] : texts) bytes += node + of_text(key) + of_text(text.markdown);
  for (const auto& [key, each] : histograms) {
    bytes += node + of_text(key) + sizeof each + (each.edges.capacity() + each.counts.capacity()) * sizeof(double);
  }
  for (const Note& each : messages) bytes += sizeof each + each.text.capacity();
  for (const Picture& each : pictures) bytes += sizeof each + each.name.capacity();
  for (const auto& [key, value] : options) bytes += of_text(key) + of_text(value);
  for (const auto* list : {&notes, &names_, &epoch_names}) {
    for (const std::string& text : *list) bytes += of_text(text);
  }
  return bytes;
}

bool StoredRun::refresh() {
  std::error_code problem_of_size;
  const fs::path file = folder / points_file_name;
  const uint64_t size = fs::file_size(file, problem_of_size);
  try {
    return problem_of_size ? refresh_history(folder / "history.csv") : refresh_points(file, size);
  } catch (const std::exception& error) {
    problem = error.what();
    return true;
  }
}

bool StoredRun::refresh_points(const fs::path& file, uint64_t size) {
  if (size == size_) return false;
  if (size < offset_) clear();
  const PieceReader reader(file);
  if (!reader.is_open()) return false;
  size_ = size;
  resting_ = false;
  problem.clear();
  std::string bytes;
  // Mostly there are a few new records: then no more memory than they need.
  for (size_t piece = std::min<uint64_t>(read_at_once, size - offset_ + 1);;) {
    const bool more = reader.read(bytes, piece, offset_);
    const PointsScan scan = scan_points(bytes, [&](PointsKind kind, std::string_view content, size_t place) {
      try {
        if (kind == PointsKind::event) take_event(content);
        if (kind == PointsKind::name) names_.emplace_back(content);
        if (kind == PointsKind::step) take_step(content);
        if (kind == PointsKind::picture) take_picture(content, offset_ + place);
      } catch (const std::exception& error) {
        problem = std::string("a record that can't be read: ") + error.what();
      }
    });
    offset_ += scan.bytes;
    if (scan.damaged) problem = "points.bin is damaged after " + std::to_string(offset_) + " bytes";
    if (scan.damaged || !more) return true;
    bytes.erase(0, scan.bytes);
    // A record that is longer than a piece: more of it at once.
    piece = scan.bytes == 0 ? piece * 2 : std::max(read_at_once, bytes.size() + 1);
  }
}

void StoredRun::clear() {
  StoredRun fresh(name, folder);
  *this = std::move(fresh);
}

void StoredRun::cut_after(int64_t step, int64_t last_row) {
  while (!rows.empty() && rows.back().step > step) rows.pop_back();
  while (!epoch_marks.empty() && epoch_marks.back().step > step) epoch_marks.pop_back();
  while (!epoch_marks.empty() && epoch_marks.back().step > last_row) {
    if (!rows.empty() && rows.back().step == epoch_marks.back().step) rows.pop_back();
    epoch_marks.pop_back();
  }
  while (!pictures.empty() && pictures.back().step > step) pictures.pop_back();
  for (auto* curves : {&step_curves, &epoch_curves}) {
    for (auto& [key, curve] : *curves) {
      while (!curve.rows.empty() && curve.rows.back() >= rows.size()) {
        curve.rows.pop_back();
        curve.values.pop_back();
      }
    }
  }
}

void StoredRun::add_value(std::map<std::string, StoredCurve>& curves, const std::string& value_name, double value) {
  const auto [place, is_new] = curves.try_emplace(value_name);
  if (is_new && &curves == &epoch_curves) epoch_names.push_back(value_name);
  StoredCurve& curve = place->second;
  curve.varies = curve.varies || (!curve.values.empty() && curve.values.back() != value);
  curve.rows.push_back(static_cast<uint32_t>(rows.size() - 1));
  curve.values.push_back(value);
}

void StoredRun::take_step(std::string_view content) {
  if (content.size() < 24) return;
  const Row row{number_at<double>(content, 0), number_at<int64_t>(content, 8), number_at<int64_t>(content, 16)};
  rows.push_back(row);
  last_event = row.time;
  for (size_t place = 24; place + 12 <= content.size(); place += 12) {
    const auto number = number_at<uint32_t>(content, place);
    if (number < names_.size()) add_value(step_curves, names_[number], number_at<double>(content, place + 4));
  }
  if (last_step_ && row.time > last_step_->time && row.samples > last_step_->samples) {
    const double samples = static_cast<double>(row.samples) - static_cast<double>(last_step_->samples);
    add_value(step_curves, "samples_per_second", samples / (row.time - last_step_->time));
  }
  last_step_ = row;
}

void StoredRun::take_picture(std::string_view content, uint64_t place) {
  const auto length = content.size() < 4 ? 0 : number_at<uint32_t>(content, 0);
  if (content.size() < 4 || content.size() - 4 < length) return;
  const RunJson header = parse_run_json(content.substr(4, length));
  pictures.push_back({.name = record_text(header, "name"),
                      .step = record_integer(header, "step"),
                      .width = record_integer(header, "width"),
                      .height = record_integer(header, "height"),
                      .place = place + 4 + length,
                      .bytes = static_cast<uint32_t>(content.size() - 4 - length)});
  if (pictures.size() > most_pictures) {
    pictures.pop_front();
    first_picture += 1;
  }
}

void StoredRun::take_event(std::string_view text) {
  const RunJson json = parse_run_json(text);
  const std::string kind = record_text(json, "event");
  const double time = json.value("time", 0.0);
  last_event = time;
  const auto take_best = [&] {
    if (!json.contains("best")) return;
    const RunJson& told = json["best"];
    best = Best{record_text(told, "monitor"), record_integer(told, "epoch"), real_of(told.value("value", RunJson()))};
  };
  if (kind == "run_begin") {
    const bool resumed = json.value("resumed", false);
    if (resumed) {
      const int64_t step = record_integer(json, "step");
      cut_after(step, record_integer(json, "last_row", step));
    } else {
      const auto [offset, size] = std::pair{offset_, size_};
      clear();
      offset_ = offset;
      size_ = size;
    }
    if (begun == 0) begun = time;
    state = State::running;
    reason.clear();
    names_.clear();
    last_step_.reset();
    last_event = time;
    device = record_text(json, "device");
    threads = record_integer(json, "threads");
    parameters = record_integer(json, "parameters");
    seed = json.contains("seed") ? json["seed"].dump() : "";
    options.clear();
    for (const RunJson& option : json.value("options", RunJson::array())) {
      options.emplace_back(option.at(0).get<std::string>(), option.at(1).get<std::string>());
    }
    notes = json.value("notes", std::vector<std::string>());
  } else if (kind == "stage") {
    if (json.contains("epochs")) epochs = record_integer(json, "epochs");
    if (epoch_marks.empty()) steps_per_epoch_ = json.value("batches", 0.0);
  } else if (kind == "progress") {
    if (json.contains("epochs")) epochs = record_integer(json, "epochs");
    progress = Progress{record_text(json, "stage"),      record_integer(json, "epoch"), record_integer(json, "batch"),
                        record_integer(json, "batches"), json.value("seconds", 0.0),    time};
  } else if (kind == "epoch") {
    const int64_t step = record_integer(json, "step");
    rows.push_back({time, step, 0});
    for (const char* group : {"values", "settings"}) {
      for (const RunJson& entry : json.value(group, RunJson::array())) {
        add_value(epoch_curves, entry.at(0).get<std::string>(), real_of(entry.at(1)));
      }
    }
    epoch_marks.push_back({step, json.value("epoch", 0.0)});
    if (json.contains("epochs")) epochs = record_integer(json, "epochs");
    take_best();
  } else if (kind == "message") {
    messages.push_back({time, record_text(json, "level") == "warning", record_text(json, "text")});
    if (messages.size() > most_messages) messages.pop_front();
  } else if (kind == "text") {
    texts[record_text(json, "name")] = {record_integer(json, "step"), record_text(json, "markdown")};
  } else if (kind == "histogram") {
    histograms[record_text(json, "name")] = {record_integer(json, "step"), reals_of(json.value("edges", RunJson())),
                                             reals_of(json.value("counts", RunJson()))};
  } else if (kind == "times") {
    times.clear();
    for (const RunJson& phase : json.value("phases", RunJson::array())) {
      times.emplace_back(phase.at(0).get<std::string>(), real_of(phase.at(1)));
    }
    verdict = record_text(json, "verdict");
  } else if (kind == "run_end") {
    state = State::ended;
    ended = time;
    reason = record_text(json, "reason");
    if (const std::string last = record_text(json, "verdict"); !last.empty()) verdict = last;
    progress.reset();
    take_best();
  } else if (kind == "run_broken") {
    state = State::broken;
    ended = time;
    reason = record_text(json, "reason");
    progress.reset();
  }
}

bool StoredRun::refresh_history(const fs::path& file) {
  std::error_code none;
  const auto changed = fs::last_write_time(file, none);
  if (none || changed == changed_) return false;
  const std::vector<std::pair<std::string, std::string>> known = options;
  clear();
  changed_ = changed;
  options = known;
  if (options.empty()) read_options(folder / "options.json");
  const std::string text = content_of(file);
  std::vector<std::string> header;
  double seconds = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::vector<std::string> cells = csv_cells(text.substr(begin, end - begin));
    begin = end + 1;
    if (header.empty()) {
      header = cells;
      continue;
    }
    if (cells.size() < 3) continue;
    const int64_t step = csv_integer(cells[1]);
    seconds += csv_number(cells[2]);
    rows.push_back({seconds, step, 0});
    epoch_marks.push_back({step, csv_number(cells[0])});
    for (size_t i = 3; i < std::min(cells.size(), header.size()); ++i) {
      if (!cells[i].empty()) add_value(epoch_curves, valid_utf8(header[i]), csv_number(cells[i]));
    }
  }
  const auto age = std::chrono::duration<double>(fs::file_time_type::clock::now() - changed).count();
  last_event = seconds_since_1970() - age;
  std::error_code missing;
  if (fs::exists(folder / "curves.svg", missing)) state = State::ended;
  return true;
}

void StoredRun::read_options(const fs::path& file) {
  try {
    const RunJson json = parse_run_json(content_of(file));
    if (json.is_object()) flatten(json, "", options);
  } catch (const std::exception&) {  // a run without options is shown too
    options.clear();
  }
}

std::string StoredRun::read_picture(size_t number) const {
  if (number < first_picture || number - first_picture >= pictures.size()) return {};
  const Picture& picture = pictures[number - first_picture];
  const PieceReader reader(folder / points_file_name);
  std::string bytes;
  if (!reader.is_open() || !reader.read(bytes, picture.bytes, picture.place)) return {};
  return bytes;
}

std::optional<StoredRun::Row> StoredRun::row_of_epoch(double epoch) const {
  const auto mark = std::lower_bound(epoch_marks.begin(), epoch_marks.end(), epoch,
                                     [](const EpochMark& each, double wanted) { return each.epochs < wanted; });
  if (mark == epoch_marks.end()) return std::nullopt;
  const auto after = std::upper_bound(rows.begin(), rows.end(), mark->step,
                                      [](int64_t wanted, const Row& row) { return wanted < row.step; });
  return after == rows.begin() ? std::nullopt : std::optional<Row>(*std::prev(after));
}

double StoredRun::epochs_at(int64_t step) const {
  const auto next = std::lower_bound(epoch_marks.begin(), epoch_marks.end(), step,
                                     [](const EpochMark& mark, int64_t wanted) { return mark.step < wanted; });
  const EpochMark before = next == epoch_marks.begin() ? EpochMark() : *std::prev(next);
  const auto begin = static_cast<double>(before.step);
  if (next != epoch_marks.end()) {
    const double length = static_cast<double>(next->step) - begin;
    return length <= 0 ? next->epochs
                       : before.epochs + (next->epochs - before.epochs) * (static_cast<double>(step) - begin) / length;
  }
  // The running epoch is taken to be as long as the last one.
  double per_epoch = steps_per_epoch_;
  if (!epoch_marks.empty() && before.epochs > 0) per_epoch = static_cast<double>(before.step) / before.epochs;
  return per_epoch <= 0 ? before.epochs : before.epochs + (static_cast<double>(step) - begin) / per_epoch;
}

CurveView StoredRun::view(const StoredCurve& curve, RunAxis axis) const {
  const auto row = [this, &curve](size_t i) -> const Row& { return rows[curve.rows[i]]; };
  CurveView view{.size = curve.rows.size(), .y = [&curve](size_t i) { return curve.values[i]; }};
  if (axis == RunAxis::step) view.x = [row](size_t i) { return static_cast<double>(row(i).step); };
  if (axis == RunAxis::time) view.x = [row, this](size_t i) { return row(i).time - begun; };
  if (axis == RunAxis::epoch) view.x = [row, this](size_t i) { return epochs_at(row(i).step); };
  return view;
}

}  // namespace athanor::track
