// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/tables.hpp"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/track/append_file.hpp"
#include "athanor/track/cut_file.hpp"
#include "athanor/track/event_file.hpp"
#include "athanor/track/json_numbers.hpp"
#include "athanor/track/line_places.hpp"
#include "athanor/track/listener_thread.hpp"

namespace athanor::track {
namespace {

class FileTracker : public Listener {
 public:
  FileTracker(FileOptions options, const char* file_name, const char* name, bool quotes)
      : options_(std::move(options)), file_name_(file_name), name_(name), quotes_(quotes) {}
  [[nodiscard]] std::string name() const override { return name_; }

  void on_run_begin(const events::RunBegin& run) override {
    file_.reset();
    if (!options_.path && !run.folder) {
      throw Error({.what = name_ + " needs a file",
                   .where = "FileOptions::path",
                   .todo = "give it, or a folder to the run, where it will be " + std::string(file_name_)});
    }
    const bool has_rows = run.history != nullptr && !run.history->empty();
    last_row_ = run.history == nullptr ? run.step : has_rows ? run.history->last().steps : 0;
    // In the folder of the run there may be what it wrote before it was killed without a checkpoint, and begins again.
    const bool goes_on = run.resumed || !options_.path;
    open(run.folder, goes_on ? std::optional(run.step) : std::nullopt);
    flush();
  }
  void on_run_broken(const events::RunBroken&) override { close(); }
  void on_run_end(const events::RunEnd&) override { close(); }
  void on_saving(const events::Saving&) override { flush(); }

 protected:
  /// Where a line of this kind of file stands; see line_places.hpp.
  [[nodiscard]] virtual LinePlace place_of(std::string_view line, int64_t last_row) const = 0;
  virtual void begin_file() {}

  [[nodiscard]] bool is_open() const noexcept { return file_ != nullptr; }
  /// False: there is no place for the file.
  bool open(const std::optional<std::filesystem::path>& folder, std::optional<int64_t> resumed_at = {}) {
    if (!options_.path && !folder) return false;
    const std::filesystem::path path = options_.path.value_or(folder.value_or("") / file_name_);
    if (resumed_at) {
      cut_behind(
          path, *resumed_at, [this](std::string_view line) { return place_of(line, last_row_); }, quotes_);
    }
    file_ = std::make_unique<AppendFile>(path);
    // The line in which an earlier process was killed stays one line.
    if (file_->was_torn()) file_->write("\n");
    if (file_->was_empty()) begin_file();
    return true;
  }
  void close() {
    if (file_ != nullptr) file_->flush();
    file_.reset();
  }
  void write(const std::string& text) {
    if (file_ == nullptr) return;
    file_->write(text);
    if (std::chrono::steady_clock::now() >= next_flush_) flush();
  }
  void flush() {
    if (file_ == nullptr) return;
    file_->flush();
    next_flush_ = std::chrono::steady_clock::now() + options_.flush_every;
  }

 private:
  FileOptions options_;
  const char* file_name_;
  std::string name_;
  bool quotes_;           // a line may go on behind a line end between quotes
  int64_t last_row_ = 0;  // the step of the last epoch that the run has
  std::unique_ptr<AppendFile> file_;
  std::chrono::steady_clock::time_point next_flush_;
};

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

class CsvTracker : public FileTracker {
 public:
  explicit CsvTracker(FileOptions options)
      : FileTracker(std::move(options), "scalars.csv", "the CSV tracker", /*quotes=*/true) {}

  void on_step(const events::Step& step) override {
    write_rows(",step," + std::to_string(step.epoch) + "," + std::to_string(step.step) + "," +
                   std::to_string(step.samples) + ",",
               step.values);
  }
  void on_epoch_end(const events::EpochEnd& end) override {
    const std::string place = ",epoch," + shortest(end.epoch.progress()) + "," + std::to_string(end.epoch.steps) + ",,";
    write_rows(place, end.epoch.values);
    write_rows(place, end.epoch.settings);
    flush();
  }

  void on_evaluation(const events::Evaluation& evaluation) override {
    const bool in_run = is_open();
    if (!in_run && !open(evaluation.folder)) return;
    write_rows(",evaluation," + std::to_string(evaluation.epoch) + "," + std::to_string(evaluation.step) + ",,",
               evaluation.values);
    in_run ? flush() : close();
  }

 protected:
  void begin_file() override { write("time,kind,epoch,step,samples,name,value\n"); }
  [[nodiscard]] LinePlace place_of(std::string_view line, int64_t last_row) const override {
    return csv_line_place(line, last_row);
  }

 private:
  void write_rows(const std::string& place, const Values& values) {
    const std::string time = time_text();
    std::string rows;
    for (const auto& [name, value] : values) rows += time + place + csv_field(name) + "," + shortest(value) + "\n";
    write(rows);
  }
  static std::string time_text() {
    // In milliseconds, as a decimal number and never in scientific notation.
    const auto milliseconds = static_cast<int64_t>(wall_clock() * 1e3);
    std::string text = std::to_string(milliseconds);
    return text.insert(text.size() - 3, ".");
  }
};

using Json = nlohmann::ordered_json;

class JsonLines : public FileTracker {
 public:
  explicit JsonLines(FileOptions options)
      : FileTracker(std::move(options), "events.jsonl", "the JSON lines tracker", /*quotes=*/false) {}

  void on_run_begin(const events::RunBegin& run) override {
    FileTracker::on_run_begin(run);
    Json line = begin("run_begin");
    line["resumed"] = run.resumed;
    line["step"] = run.step;
    line["device"] = run.device;
    line["threads"] = run.threads;
    line["seed"] = run.seed;
    line["parameters"] = run.parameters;
    Json& options = line["options"] = Json::object();
    for (const auto& [name, value] : run.options) options[name] = value;
    put(line);
    flush();
  }
  void on_step(const events::Step& step) override {
    Json line = begin("step");
    line["epoch"] = step.epoch;
    line["step"] = step.step;
    line["samples"] = step.samples;
    line["values"] = json_numbers(step.values);
    put(line);
  }
  void on_epoch_end(const events::EpochEnd& end) override {
    Json line = begin("epoch");
    line["epoch"] = end.epoch.progress();
    line["step"] = end.epoch.steps;
    line["seconds"] = end.epoch.seconds;
    line["best"] = end.best;
    line["values"] = json_numbers(end.epoch.values);
    line["settings"] = json_numbers(end.epoch.settings);
    put(line);
    flush();
  }
  void on_message(const events::Message& message) override {
    Json line = begin("message");
    line["level"] = message.level == events::Message::Level::warning ? "warning" : "info";
    line["text"] = message.text;
    put(line);
  }
  void on_media(const events::Media& media) override {
    const auto* text = std::get_if<events::Text>(&media.content);
    if (text == nullptr) return;
    Json line = begin("text");
    line["name"] = media.name;
    line["step"] = media.step;
    line["markdown"] = text->markdown;
    put(line);
  }
  void on_run_end(const events::RunEnd& end) override {
    Json line = begin("run_end");
    line["seconds"] = end.seconds;
    line["reason"] = end.history.stop_reason();
    if (const auto& best = end.history.best(); best && best->epoch > 0) {
      line["best"] = {{"monitor", best->monitor}, {"epoch", best->epoch}, {"value", json_number(best->value)}};
    }
    put(line);
    close();
  }
  void on_run_broken(const events::RunBroken& broken) override {
    Json line = begin("run_broken");
    line["reason"] = broken.reason;
    put(line);
    close();
  }

  void on_evaluation(const events::Evaluation& evaluation) override {
    const bool in_run = is_open();
    if (!in_run && !open(evaluation.folder)) return;
    Json line = begin("evaluation");
    line["stage"] = stage_name(evaluation.stage);
    line["epoch"] = evaluation.epoch;
    line["step"] = evaluation.step;
    line["values"] = json_numbers(evaluation.values);
    put(line);
    in_run ? flush() : close();
  }

 protected:
  [[nodiscard]] LinePlace place_of(std::string_view line, int64_t last_row) const override {
    return json_line_place(line, last_row);
  }

 private:
  static Json begin(const char* event) {
    Json line;
    line["event"] = event;
    line["time"] = std::round(wall_clock() * 1e3) / 1e3;
    return line;
  }
  // Names and texts are the caller's: what is not UTF-8 must not end the file.
  void put(const Json& line) { write(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"); }
};

template <class Tracker>
std::shared_ptr<Listener> tracker_of_file(FileOptions options) {
  const size_t bytes = options.queue_bytes;
  return on_thread(std::make_shared<Tracker>(std::move(options)), {.bytes = bytes});
}

}  // namespace

std::shared_ptr<Listener> csv(FileOptions options) { return tracker_of_file<CsvTracker>(std::move(options)); }
std::shared_ptr<Listener> json_lines(FileOptions options) { return tracker_of_file<JsonLines>(std::move(options)); }

}  // namespace athanor::track
