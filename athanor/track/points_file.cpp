// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/points_file.hpp"

#include <chrono>
#include <cmath>
#include <cstring>
#include <mutex>
#include <nlohmann/json.hpp>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/memory.hpp"
#include "athanor/core/utf8.hpp"
#include "athanor/track/append_file.hpp"
#include "athanor/track/event_file.hpp"
#include "athanor/track/listener_thread.hpp"
#include "athanor/track/png.hpp"
#include "athanor/track/points_format.hpp"

namespace athanor::track {
namespace {

using PointsJson = nlohmann::ordered_json;
using PointsClock = std::chrono::steady_clock;

constexpr auto points_flush_interval = std::chrono::milliseconds(200);
constexpr auto points_progress_interval = std::chrono::seconds(2);
constexpr auto points_memory_interval = std::chrono::seconds(1);

template <class T>
void put_number(std::string& bytes, T value) {
  char raw[sizeof(T)];
  std::memcpy(raw, &value, sizeof(T));
  bytes.append(raw, sizeof(T));
}

PointsJson points_json_of(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

PointsJson points_json_of(const Values& values) {
  PointsJson list = PointsJson::array();
  for (const auto& [name, value] : values) list.push_back({name, points_json_of(value)});
  return list;
}

PointsJson points_json_of(const std::vector<double>& values) {
  PointsJson list = PointsJson::array();
  for (const double value : values) list.push_back(points_json_of(value));
  return list;
}

}  // namespace

struct PointsWriter::Impl {
  std::optional<std::filesystem::path> path;
  std::unique_ptr<AppendFile> file;
  std::unordered_map<std::string, uint32_t> numbers;
  std::string record;  // used again for each step
  const History* history = nullptr;
  PointsClock::time_point flushed, progressed, remembered;
  std::mutex times_mutex;
  std::optional<StepTimes> times;

  void open(const std::filesystem::path& place) {
    std::error_code none;
    if (const auto size = std::filesystem::file_size(place, none); !none && size > 0) {
      size_t whole = 0;
      {
        const MappedFile mapped(place);
        mapped.advise_sequential();
        const auto content = mapped.bytes();
        whole =
            scan_points({reinterpret_cast<const char*>(content.data()), content.size()}, [](PointsKind,
                                                                                            std::string_view, size_t) {
            }).bytes;
      }
      if (whole < size) std::filesystem::resize_file(place, whole);
    }
    file = std::make_unique<AppendFile>(place);
    numbers.clear();
  }

  void put(PointsKind kind, std::string_view content) {
    if (file != nullptr) file->write(points_record(kind, content));
  }
  void put(PointsJson event) {
    if (file == nullptr) return;
    // Names and texts are the caller's: what is not UTF-8 must not end the file.
    put(PointsKind::event, event.dump(-1, ' ', false, PointsJson::error_handler_t::replace));
  }
  static PointsJson begin(const char* event) {
    return {{"event", event}, {"time", std::round(wall_clock() * 1e3) / 1e3}};
  }
  void flush() {
    if (file == nullptr) return;
    file->flush();
    flushed = PointsClock::now();
  }
  void flush_if_due() {
    if (PointsClock::now() - flushed >= points_flush_interval) flush();
  }

  uint32_t number_of(const std::string& name) {
    const auto [place, is_new] = numbers.try_emplace(name, static_cast<uint32_t>(numbers.size()));
    if (is_new) put(PointsKind::name, valid_utf8(name));
    return place->second;
  }

  void put_step(const events::Step& step, bool with_memory) {
    double time = wall_clock();
    std::string values;
    for (const auto& [name, value] : step.values) {
      if (name == points_time_name) {
        time = value;
        continue;
      }
      put_number(values, number_of(name));
      put_number(values, value);
    }
    if (with_memory) {
      put_number(values, number_of("memory_mb"));
      put_number(values, static_cast<double>(process_memory().resident_bytes) / 1e6);
    }
    record.clear();
    put_number(record, time);
    put_number(record, step.step);
    put_number(record, step.samples);
    record += values;
    put(PointsKind::step, record);
  }

  void put_times() {
    std::optional<StepTimes> latest;
    {
      const std::lock_guard lock(times_mutex);
      latest.swap(times);
    }
    if (!latest || latest->total_seconds() <= 0) return;
    PointsJson event = begin("times");
    PointsJson& phases = event["phases"] = PointsJson::array();
    for (int i = 0; i < static_cast<int>(StepPhase::count_); ++i) {
      const auto phase = static_cast<StepPhase>(i);
      phases.push_back({name_of(phase), latest->seconds(phase)});
    }
    event["steps"] = latest->steps();
    event["samples_per_second"] = latest->samples_per_second();
    event["verdict"] = latest->verdict();
    put(std::move(event));
  }
};

PointsWriter::PointsWriter(std::optional<std::filesystem::path> file) : impl_(std::make_unique<Impl>()) {
  impl_->path = std::move(file);
}
PointsWriter::~PointsWriter() = default;

void PointsWriter::offer_times(const StepTimes& times) {
  const std::lock_guard lock(impl_->times_mutex);
  impl_->times = times;
}

void PointsWriter::on_run_begin(const events::RunBegin& run) {
  impl_->file.reset();
  if (!impl_->path && !run.folder) {
    throw Error({.what = name() + " need a file", .todo = "give the run a folder, where it will be points.bin"});
  }
  impl_->open(impl_->path.value_or(run.folder.value_or("") / points_file_name));
  impl_->history = run.history;
  PointsJson event = Impl::begin("run_begin");
  event["step"] = run.step;
  event["resumed"] = run.resumed;
  if (run.history != nullptr) event["last_row"] = run.history->empty() ? 0 : run.history->last().steps;
  event["device"] = run.device;
  event["threads"] = run.threads;
  event["seed"] = run.seed;
  event["parameters"] = run.parameters;
  event["options"] = run.options;
  event["notes"] = run.notes;
  impl_->put(std::move(event));
  impl_->flush();
}

void PointsWriter::on_stage_begin(const events::StageBegin& begin) {
  if (begin.stage != Stage::train) return;
  PointsJson event = Impl::begin("stage");
  event["epoch"] = begin.epoch;
  event["batches"] = begin.batches;
  if (begin.epochs) event["epochs"] = *begin.epochs;
  impl_->put(std::move(event));
  impl_->flush_if_due();
}

void PointsWriter::on_progress(const events::Progress& progress) {
  const auto now = PointsClock::now();
  if (now - impl_->progressed >= points_progress_interval) {
    impl_->progressed = now;
    PointsJson event = Impl::begin("progress");
    event["stage"] = stage_name(progress.stage);
    event["epoch"] = progress.epoch;
    if (progress.epochs) event["epochs"] = *progress.epochs;
    event["batch"] = progress.batch;
    event["batches"] = progress.batches;
    event["seconds"] = progress.seconds;
    impl_->put(std::move(event));
  }
  impl_->flush_if_due();
}

void PointsWriter::on_step(const events::Step& step) {
  const auto now = PointsClock::now();
  const bool with_memory =
      now - impl_->remembered >= points_memory_interval && !step.values.find("memory_mb").has_value();
  if (with_memory) impl_->remembered = now;
  impl_->put_step(step, with_memory);
  impl_->flush_if_due();
}

void PointsWriter::on_epoch_end(const events::EpochEnd& end) {
  PointsJson event = Impl::begin("epoch");
  event["epoch"] = end.epoch.progress();
  event["step"] = end.epoch.steps;
  event["seconds"] = end.epoch.seconds;
  event["is_best"] = end.best;
  if (end.epochs) event["epochs"] = *end.epochs;
  event["values"] = points_json_of(end.epoch.values);
  event["settings"] = points_json_of(end.epoch.settings);
  if (impl_->history != nullptr && impl_->history->best() && impl_->history->best()->epoch > 0) {
    const History::Best& best = *impl_->history->best();
    event["best"] = {{"monitor", best.monitor}, {"epoch", best.epoch}, {"value", points_json_of(best.value)}};
  }
  impl_->put(std::move(event));
  impl_->put_times();
  impl_->flush();
}

void PointsWriter::on_message(const events::Message& message) {
  if (message.text.find(page_token_mark) != std::string::npos) return;
  PointsJson event = Impl::begin("message");
  event["level"] = message.level == events::Message::Level::warning ? "warning" : "info";
  event["text"] = message.text;
  impl_->put(std::move(event));
  impl_->flush_if_due();
}

void PointsWriter::on_saving(const events::Saving&) { impl_->flush(); }

void PointsWriter::on_media(const events::Media& media) {
  if (const auto* text = std::get_if<events::Text>(&media.content)) {
    PointsJson event = Impl::begin("text");
    event["name"] = media.name;
    event["step"] = media.step;
    event["markdown"] = text->markdown;
    impl_->put(std::move(event));
  } else if (const auto* histogram = std::get_if<events::Histogram>(&media.content)) {
    PointsJson event = Impl::begin("histogram");
    event["name"] = media.name;
    event["step"] = media.step;
    event["edges"] = points_json_of(histogram->edges);
    event["counts"] = points_json_of(histogram->counts);
    impl_->put(std::move(event));
  } else if (const auto* image = std::get_if<events::Image>(&media.content)) {
    const Png png = encode_png(image->pixels);
    PointsJson event = Impl::begin("picture");
    event["name"] = media.name;
    event["step"] = media.step;
    event["width"] = png.width;
    event["height"] = png.height;
    const std::string header = event.dump(-1, ' ', false, PointsJson::error_handler_t::replace);
    if (header.size() + png.bytes.size() + 4 <= largest_points_content) {
      std::string content;
      put_number(content, static_cast<uint32_t>(header.size()));
      impl_->put(PointsKind::picture, content + header + png.bytes);
    }
  }
  impl_->flush_if_due();
}

void PointsWriter::on_run_end(const events::RunEnd& end) {
  impl_->put_times();
  PointsJson event = Impl::begin("run_end");
  event["seconds"] = end.seconds;
  event["reason"] = end.history.stop_reason();
  event["verdict"] = end.time_verdict;
  if (const auto& best = end.history.best(); best && best->epoch > 0) {
    event["best"] = {{"monitor", best->monitor}, {"epoch", best->epoch}, {"value", points_json_of(best->value)}};
  }
  PointsJson& directions = event["directions"] = PointsJson::array();
  for (const auto& [name, direction] : end.directions) {
    if (direction != Direction::unknown) directions.push_back({name, direction == Direction::up ? "up" : "down"});
  }
  impl_->put(std::move(event));
  impl_->flush();
  impl_->file.reset();
}

void PointsWriter::on_run_broken(const events::RunBroken& broken) {
  PointsJson event = Impl::begin("run_broken");
  event["reason"] = broken.reason;
  impl_->put(std::move(event));
  impl_->flush();
  impl_->file.reset();
}

std::shared_ptr<Listener> points() { return on_thread(std::make_shared<PointsWriter>()); }

}  // namespace athanor::track
