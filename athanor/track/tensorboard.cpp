// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/tensorboard.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/track/event_file.hpp"
#include "athanor/track/hparams.hpp"
#include "athanor/track/listener_thread.hpp"
#include "athanor/track/projector.hpp"

namespace athanor::track {
namespace {

std::string folder_name(std::string_view name) {
  std::string result(name);
  std::replace(result.begin(), result.end(), '/', '_');
  std::replace(result.begin(), result.end(), '\0', '_');
  return result.empty() || result == "." || result == ".." ? "_" + result : result;
}

std::vector<std::string> quantities_of(const Values& values) {
  std::vector<std::string> names;
  for (const auto& [name, value] : values) {
    if (name.starts_with("train_")) names.push_back(name.substr(6));
  }
  return names;
}

// Cells of a Markdown table.
std::string cell(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, 1, '\\');
  return text;
}

std::string markdown_of(const events::Table& table) {
  std::string text = "|";
  for (const std::string& column : table.columns) text += " " + cell(column) + " |";
  text += "\n|";
  for (size_t i = 0; i < table.columns.size(); ++i) text += "---|";
  int64_t pictures = 0;
  for (const auto& row : table.rows) {
    text += "\n|";
    for (const events::Table::Cell& each : row) {
      if (const auto* words = std::get_if<std::string>(&each)) {
        text += " " + cell(*words) + " |";
      } else if (const auto* number = std::get_if<double>(&each)) {
        text += " " + format_number(*number) + " |";
      } else {
        text += " picture " + std::to_string(++pictures) + " |";
      }
    }
  }
  return text + "\n";
}

void add_pictures(const std::string& name, const events::Table& table, SummaryMessage& summary) {
  int64_t pictures = 0;
  for (const auto& row : table.rows) {
    for (const events::Table::Cell& each : row) {
      const auto* image = std::get_if<events::Image>(&each);
      if (image != nullptr) summary.image(name + "/picture " + std::to_string(++pictures), encode_png(image->pixels));
    }
  }
}

class TensorBoard : public Listener {
 public:
  explicit TensorBoard(TensorBoardOptions options) : options_(std::move(options)) {}
  [[nodiscard]] std::string name() const override { return "the TensorBoard tracker"; }

  void on_run_begin(const events::RunBegin& run) override {
    files_.clear();
    if (!options_.folder && !run.folder) {
      throw Error({.what = "TensorBoard files need a folder",
                   .where = "TensorBoardOptions::folder",
                   .todo = "give it, or a folder to the run"});
    }
    folder_ = options_.folder.value_or(run.folder.value_or("") / "tensorboard");
    begun_.clear();
    quantities_.clear();
    next_flush_ = std::chrono::steady_clock::now() + options_.flush_every;
    Hyperparameters hyperparameters = run.options;
    if (!run.device.empty()) {  // a RunLog knows none of these
      hyperparameters.emplace_back("seed", std::to_string(run.seed));
      hyperparameters.emplace_back("device", run.device);
      hyperparameters.emplace_back("parameters", std::to_string(run.parameters));
    }
    std::string table = "| option | value |\n|---|---|\n";
    for (const auto& [name, value] : hyperparameters) table += "| " + cell(name) + " | " + cell(value) + " |\n";
    SummaryMessage summary;
    summary.text("run/options", table);
    summary.plugin("_hparams_/session_start_info", "hparams", hparams_session_start(hyperparameters, wall_clock()));
    file("").write(0, wall_clock(), summary);
    flush();
  }

  void on_step(const events::Step& step) override {
    SummaryMessage summary;
    for (const auto& [name, value] : step.values) {
      summary.scalar("step/" + (name.starts_with("train_") ? name.substr(6) : name), value);
    }
    write("train", step.step, summary);
    flush_when_due();
  }

  void on_epoch_end(const events::EpochEnd& end) override {
    const History::Epoch& epoch = end.epoch;
    if (const auto names = quantities_of(epoch.values); !names.empty()) quantities_ = names;
    std::map<std::string, SummaryMessage> runs;
    for (const auto& [name, value] : epoch.values) {
      const TensorBoardPlace place = tensorboard_place(name, quantities_);
      runs[place.run].scalar(place.tag, value);
    }
    for (const auto& [name, value] : epoch.settings) runs["train"].scalar("settings/" + name, value);
    for (const auto& [run, summary] : runs) write(run, epoch.steps, summary);
    flush();
  }

  void on_saving(const events::Saving&) override { flush(); }

  void on_media(const events::Media& media) override {
    SummaryMessage summary;
    if (const auto* histogram = std::get_if<events::Histogram>(&media.content)) {
      summary.histogram(media.name, *histogram);
    } else if (const auto* image = std::get_if<events::Image>(&media.content)) {
      summary.image(media.name, encode_png(image->pixels));
    } else if (const auto* text = std::get_if<events::Text>(&media.content)) {
      summary.text(media.name, text->markdown);
    } else if (const auto* table = std::get_if<events::Table>(&media.content)) {
      summary.text(media.name, markdown_of(*table));
      add_pictures(media.name, *table, summary);
    } else if (const auto* curve = std::get_if<events::PrecisionRecall>(&media.content)) {
      summary.precision_recall(media.name, *curve);
    } else if (const auto* embedding = std::get_if<events::Embedding>(&media.content)) {
      write_embedding(folder_, media.name, media.step, *embedding);
    } else {
      file("").write_graph(wall_clock(), std::get<events::Graph>(media.content));
    }
    write("", media.step, summary);
    flush_when_due();
  }

  void on_evaluation(const events::Evaluation& evaluation) override {
    const bool in_run = !files_.empty();
    if (!in_run) {
      if (!options_.folder && !evaluation.folder) return;
      folder_ = options_.folder.value_or(evaluation.folder.value_or("") / "tensorboard");
      begun_.clear();
    }
    std::map<std::string, SummaryMessage> runs;
    for (const auto& [name, value] : evaluation.values) {
      const TensorBoardPlace place = tensorboard_place(name, quantities_);
      // Beside the values of epochs, which a second point at the same step would hide.
      runs[place.run].scalar("evaluation/" + place.tag, value);
    }
    const double now = wall_clock();
    for (const auto& [run, summary] : runs) file(run).write(evaluation.step, now, summary);
    flush();
    if (!in_run) files_.clear();
  }

  void on_run_end(const events::RunEnd& end) override {
    SummaryMessage summary;
    if (const auto& best = end.history.best(); best && best->epoch > 0) {
      summary.scalar("best/" + best->monitor, best->value);
    }
    summary.plugin("_hparams_/session_end_info", "hparams", hparams_session_end(SessionStatus::success, wall_clock()));
    write("", end.history.empty() ? 0 : end.history.last().steps, summary);
    flush();
    files_.clear();
  }

  void on_run_broken(const events::RunBroken&) override {
    if (files_.empty()) return;
    SummaryMessage summary;
    summary.plugin("_hparams_/session_end_info", "hparams", hparams_session_end(SessionStatus::failure, wall_clock()));
    file("").write(0, wall_clock(), summary);
    flush();
    files_.clear();
  }

 private:
  EventFile& file(const std::string& run) {
    auto& place = files_[run];
    if (place == nullptr) place = std::make_unique<EventFile>(run.empty() ? folder_ : folder_ / run);
    return *place;
  }

  void write(const std::string& run, int64_t step, const SummaryMessage& summary) {
    if (summary.empty()) return;
    EventFile& events = file(run);
    const double now = wall_clock();
    // TensorBoard passes over the first beginning that it finds, so each one is written.
    if (begun_.insert(run).second) events.begin_session(step, now);
    events.write(step, now, summary);
  }

  void flush() {
    for (auto& [run, events] : files_) events->flush();
    next_flush_ = std::chrono::steady_clock::now() + options_.flush_every;
  }
  void flush_when_due() {
    if (std::chrono::steady_clock::now() >= next_flush_) flush();
  }

  TensorBoardOptions options_;
  std::filesystem::path folder_;
  std::vector<std::string> quantities_;
  std::map<std::string, std::unique_ptr<EventFile>> files_;  // by run; empty: the folder itself
  std::set<std::string> begun_;
  std::chrono::steady_clock::time_point next_flush_;
};

}  // namespace

TensorBoardPlace tensorboard_place(std::string_view name, const std::vector<std::string>& quantities) {
  for (const std::string_view stage : {"train_", "val_", "test_"}) {
    if (name.starts_with(stage) && name.size() > stage.size()) {
      return {.run = std::string(stage.substr(0, stage.size() - 1)), .tag = std::string(name.substr(stage.size()))};
    }
  }
  // The longest one: `a_top_acc` may end with `acc` and with `top_acc`.
  std::string_view longest;
  for (const std::string& quantity : quantities) {
    if (quantity.size() > longest.size() && name.size() > quantity.size() + 1 && name.ends_with("_" + quantity)) {
      longest = quantity;
    }
  }
  if (longest.empty()) return {.run = "train", .tag = std::string(name)};
  return {.run = folder_name(name.substr(0, name.size() - longest.size() - 1)), .tag = std::string(longest)};
}

std::shared_ptr<Listener> tensorboard(TensorBoardOptions options) {
  const size_t bytes = options.queue_bytes;
  return on_thread(std::make_shared<TensorBoard>(std::move(options)), {.bytes = bytes});
}

}  // namespace athanor::track
