// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/wandb.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <ctime>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/utf8.hpp"
#include "athanor/track/console.hpp"
#include "athanor/track/event_file.hpp"
#include "athanor/track/flat_options.hpp"
#include "athanor/track/leveldb_log.hpp"
#include "athanor/track/listener_thread.hpp"
#include "athanor/track/random_id.hpp"
#include "athanor/track/wandb_marks.hpp"
#include "athanor/track/wandb_media.hpp"
#include "athanor/track/wandb_records.hpp"

namespace athanor::track {
namespace {

namespace fs = std::filesystem;
using WandbJson = nlohmann::ordered_json;

std::string time_text(double seconds, const char* format) {
  const auto whole = static_cast<std::time_t>(seconds);
  std::tm parts{};
  ::gmtime_r(&whole, &parts);
  std::array<char, 64> text{};
  return {text.data(), std::strftime(text.data(), text.size(), format, &parts)};
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::string operating_system() {
  utsname facts{};
  if (::uname(&facts) != 0) return "Linux";
  return std::string(facts.sysname) + "-" + facts.release + "-" + facts.machine;
}

/// The value as JSON: what is JSON already, and everything else as text.
std::string json_of_text(const std::string& text) {
  const WandbJson value = WandbJson::parse(text, nullptr, /*allow_exceptions=*/false);
  return value.is_discarded() ? WandbJson(text).dump() : value.dump();
}

class Wandb : public Listener {
 public:
  Wandb(std::string project, WandbOptions options) : project_(std::move(project)), options_(std::move(options)) {}
  [[nodiscard]] std::string name() const override { return "the Weights & Biases tracker"; }

  void on_run_begin(const events::RunBegin& run) override {
    close();
    WandbItems config;
    for (const auto& [name, value] : flat_options(run)) config.emplace_back(name, json_of_text(value));
    for (const auto& [name, value] : options_.config)
      config.emplace_back(valid_utf8(name), json_of_text(valid_utf8(value)));
    open(run.folder, run.resumed, run.step, std::move(config));
    screen_->on_run_begin(run);
  }

  void on_step(const events::Step& step) override {
    if (log_ == nullptr) return;
    for (const auto& [name, value] : step.values) {
      add(step.step, "step/" + (name.starts_with("train_") ? name.substr(6) : name), wandb_number(value));
    }
    if (std::chrono::steady_clock::now() >= next_flush_) flush();
  }

  void on_epoch_end(const events::EpochEnd& end) override {
    if (log_ == nullptr) return;
    add(end.epoch.steps, "epoch", wandb_number(end.epoch.progress()));
    for (const auto& [name, value] : end.epoch.values) add(end.epoch.steps, valid_utf8(name), wandb_number(value));
    for (const auto& [name, value] : end.epoch.settings) add(end.epoch.steps, valid_utf8(name), wandb_number(value));
    screen_->on_epoch_end(end);
    flush();
  }

  void on_saving(const events::Saving& saving) override {
    if (log_ != nullptr) add_mark(saving.step);
  }

  void on_message(const events::Message& message) override {
    if (log_ != nullptr) screen_->on_message(message);
  }

  void on_media(const events::Media& media) override {
    if (log_ == nullptr) return;
    if (const std::string value = wandb_media(media, folder_ / "files", media_files_); !value.empty()) {
      add(media.step, valid_utf8(media.name), value);
    }
  }

  void on_evaluation(const events::Evaluation& evaluation) override {
    const bool in_run = log_ != nullptr;
    if (!in_run && !options_.folder && !evaluation.folder) return;
    if (!in_run) open(evaluation.folder, /*resumed=*/true, evaluation.step, {});
    for (const auto& [name, value] : evaluation.values) summary_[valid_utf8(name)] = wandb_number(value);
    if (!in_run) finish(0);
  }

  void on_run_end(const events::RunEnd& end) override {
    if (log_ == nullptr) return;
    if (const auto& best = end.history.best(); best && best->epoch > 0) {
      summary_["best/" + valid_utf8(best->monitor)] = wandb_number(best->value);
      summary_["best/epoch"] = std::to_string(best->epoch);
    }
    screen_->on_run_end(end);
    put_artifact();
    finish(0);
  }
  void on_run_broken(const events::RunBroken& broken) override {
    if (log_ == nullptr) return;
    screen_->on_message({.level = events::Message::Level::warning, .text = "the run was broken off: " + broken.reason});
    finish(1);
  }

 private:
  void open(const std::optional<fs::path>& run_folder, bool resumed, int64_t step, WandbItems config) {
    if (!options_.folder && !run_folder) {
      throw Error({.what = "the Weights & Biases tracker needs a folder",
                   .where = "WandbOptions::folder",
                   .todo = "give it, or a folder to the run, where it will be wandb"});
    }
    run_folder_ = run_folder;
    const fs::path place = options_.folder.value_or(run_folder.value_or("") / "wandb");
    require_writable_directory(place);
    run_ = {.entity = options_.entity,
            .project = project_,
            .group = options_.group,
            .name = options_.name,
            .tags = options_.tags,
            .host = host_name(),
            .config = std::move(config),
            .start = wall_clock()};
    if (run_.name.empty() && run_folder)
      run_.name = valid_utf8(fs::absolute(*run_folder).lexically_normal().filename().string());
    if (resumed) std::ifstream(place / "id") >> run_.id;
    run_.resumed = !run_.id.empty();
    if (!run_.resumed) {
      run_.id = random_text(8, "abcdefghijklmnopqrstuvwxyz0123456789");
      write_file_atomically(place / "id", run_.id + "\n");
    }
    run_.starting_step = run_.resumed ? step : 0;
    // Two sessions of one run within a second.
    for (double moment = run_.start;; moment += 1) {
      folder_ = place / ("offline-run-" + time_text(moment, "%Y%m%d_%H%M%S") + "-" + run_.id);
      if (!fs::exists(folder_)) break;
    }
    fs::create_directories(folder_ / "files");
    numbers_ = 0;
    row_.clear();
    row_step_.reset();
    last_step_ = run_.resumed ? std::optional(step) : std::nullopt;
    summary_.clear();
    media_files_.clear();
    marks_.emplace(place);
    if (run_.resumed) {
      go_back_to(step);
    } else {
      marks_->clear();
    }
    log_ = std::make_unique<LevelDbLog>(folder_ / ("run-" + run_.id + ".wandb"));
    lines_ = std::ofstream(folder_ / "files" / "output.log");
    screen_ = std::make_unique<Console>(
        ConsoleOptions{.live = false, .verbosity = Verbosity::verbose, .colour = false, .stream = &lines_});
    write_config();
    write_metadata();
    put(wandb_header());
    put(wandb_run(run_));
    add_mark(run_.starting_step);
  }

  /// The values of this step that were told before the checkpoint are not told again, and others may still come.
  void go_back_to(int64_t step) {
    std::optional<WandbMark> mark = marks_->go_back_to(step);
    if (!mark || mark->row.empty()) return;
    row_ = std::move(mark->row);
    row_step_ = mark->row_step;
    last_step_.reset();
  }

  void add_mark(int64_t step) {
    flush();
    marked_step_ = step;
    const fs::path log = log_->path();
    marks_->add({.step = step,
                 .session = folder_.filename().string(),
                 .log = log.filename().string(),
                 .bytes = fs::file_size(log),
                 .row = row_,
                 .row_step = row_step_.value_or(0)});
  }

  void put(const ProtobufMessage& content) {
    ProtobufMessage record;
    record.integer(1, ++numbers_);
    log_->write(record.data() + content.data());
  }

  /// Values of one step make one row, which is written when another step comes.
  void add(int64_t step, const std::string& name, const std::string& json) {
    summary_[name] = json;
    if (row_step_ && *row_step_ != step) write_row();
    row_step_ = step;
    row_[name] = json;
  }

  void write_row() {
    if (!row_step_ || row_.empty()) return;
    // W&B takes each step once.
    if (!last_step_ || *row_step_ > *last_step_) {
      const double now = wall_clock();
      WandbItems items(row_.begin(), row_.end());
      items.emplace_back("_step", std::to_string(*row_step_));
      items.emplace_back("_timestamp", wandb_number(now));
      items.emplace_back("_runtime", wandb_number(now - run_.start));
      put(wandb_history(*row_step_, items));
      last_step_ = row_step_;
    }
    row_.clear();
    row_step_.reset();
    if (!media_files_.empty()) put(wandb_files(std::exchange(media_files_, {}), /*media=*/true));
  }

  void flush() {
    lines_.flush();
    log_->flush();
    next_flush_ = std::chrono::steady_clock::now() + options_.flush_every;
  }

  void put_artifact() {
    std::vector<WandbArtifactFile> files;
    for (const fs::path& artifact : options_.artifacts) {
      const fs::path file = artifact.is_absolute() || !run_folder_ ? artifact : *run_folder_ / artifact;
      if (!fs::is_regular_file(file)) continue;
      // A later run may write over the file before this one is uploaded.
      fs::create_directories(folder_ / "artifacts");
      const fs::path copy = folder_ / "artifacts" / file.filename();
      fs::copy_file(file, copy, fs::copy_options::overwrite_existing);
      files.push_back({.name = file.filename().string(), .path = copy});
    }
    if (!files.empty()) put(wandb_artifact(run_, "model", "run-" + run_.id + "-model", files));
  }

  void finish(int exit_code) {
    write_row();
    const auto seconds = static_cast<int64_t>(wall_clock() - run_.start);
    summary_["_runtime"] = std::to_string(seconds);
    put(wandb_summary(WandbItems(summary_.begin(), summary_.end())));
    std::string text = "{";
    for (const auto& [name, json] : summary_) {
      text += (text.size() > 1 ? ", " : "") + WandbJson(name).dump() + ": " + json;
    }
    write_file_atomically(folder_ / "files" / "wandb-summary.json", text + "}");
    screen_.reset();
    lines_.close();
    put(wandb_files({"output.log", "config.yaml", "wandb-summary.json", "wandb-metadata.json"}, /*media=*/false));
    put(wandb_exit(exit_code, seconds));
    add_mark(std::max(marked_step_, last_step_.value_or(0)));
    close();
  }

  void close() {
    screen_.reset();
    log_.reset();
  }

  void write_config() const {
    std::string text = "wandb_version: 1\n\n";
    for (const auto& [name, json] : run_.config) text += WandbJson(name).dump() + ":\n    value: " + json + "\n";
    write_file_atomically(folder_ / "files" / "config.yaml", std::string_view(text));
  }
  void write_metadata() const {
    const WandbJson object = {{"os", operating_system()},
                              {"host", run_.host},
                              {"startedAt", time_text(run_.start, "%Y-%m-%dT%H:%M:%SZ")},
                              {"program", "athanor"},
                              {"cpu_count_logical", ::sysconf(_SC_NPROCESSORS_ONLN)}};
    write_file_atomically(folder_ / "files" / "wandb-metadata.json", object.dump(2) + "\n");
  }

  std::string project_;
  WandbOptions options_;
  WandbRun run_;
  std::optional<fs::path> run_folder_;
  fs::path folder_;
  std::unique_ptr<LevelDbLog> log_;
  std::optional<WandbMarks> marks_;
  int64_t marked_step_ = 0;
  std::ofstream lines_;
  std::unique_ptr<Console> screen_;
  int64_t numbers_ = 0;
  std::map<std::string, std::string> row_;
  std::optional<int64_t> row_step_;
  std::optional<int64_t> last_step_;
  std::map<std::string, std::string> summary_;
  std::vector<std::string> media_files_;
  std::chrono::steady_clock::time_point next_flush_;
};

}  // namespace

std::shared_ptr<Listener> wandb(std::string project, WandbOptions options) {
  if (project.empty() || project.size() > 128 || project.find_first_of("/\\#?%:") != std::string::npos) {
    throw Error({.what = "this can't be the name of a project of Weights & Biases",
                 .where = "track::wandb",
                 .got = "'" + project + "'",
                 .expected = "1 to 128 characters, none of / \\ # ? % :"});
  }
  const size_t bytes = options.queue_bytes;
  return on_thread(std::make_shared<Wandb>(std::move(project), std::move(options)), {.bytes = bytes});
}

}  // namespace athanor::track
