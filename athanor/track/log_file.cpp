// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/log_file.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <exception>
#include <ostream>
#include <streambuf>
#include <string>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/track/append_file.hpp"
#include "athanor/track/console.hpp"
#include "athanor/track/listener_thread.hpp"
#include "athanor/track/terminal.hpp"

namespace athanor::track {
namespace {

using MessageLevel = events::Message::Level;

/// Cuts what a console writes into lines. What the sink throws is kept, because a stream would swallow it.
class LineBuffer : public std::streambuf {
 public:
  explicit LineBuffer(LineSink sink) : sink_(std::move(sink)) {}
  MessageLevel level = MessageLevel::info;
  std::exception_ptr failure = nullptr;

 protected:
  int_type overflow(int_type c) override {
    if (c == traits_type::eof()) return 0;
    if (c != '\n') {
      line_ += static_cast<char>(c);
      return c;
    }
    const std::string line = std::exchange(line_, {});
    try {
      if (failure == nullptr) sink_(level, terminal::printable(line));
    } catch (...) {
      failure = std::current_exception();
    }
    return c;
  }

 private:
  LineSink sink_;
  std::string line_;
};

/// A console whose screen is a sink of lines.
class LineListener : public Listener {
 public:
  explicit LineListener(LineSink sink) : buffer_(std::move(sink)) {}
  [[nodiscard]] std::string name() const override { return "the listener for lines"; }

  void on_run_begin(const events::RunBegin& run) override { show(run, &Listener::on_run_begin); }
  void on_progress(const events::Progress& progress) override { show(progress, &Listener::on_progress); }
  void on_step(const events::Step& step) override { show(step, &Listener::on_step); }
  void on_epoch_end(const events::EpochEnd& end) override { show(end, &Listener::on_epoch_end); }
  void on_run_end(const events::RunEnd& end) override { show(end, &Listener::on_run_end); }
  void on_run_broken(const events::RunBroken& broken) override {
    on_message({.level = MessageLevel::warning, .text = "the run was broken off: " + broken.reason});
  }
  void on_message(const events::Message& message) override {
    buffer_.level = message.level;
    show(message, &Listener::on_message);
    buffer_.level = MessageLevel::info;
  }

 private:
  template <class Event>
  void show(const Event& event, void (Listener::*hook)(const Event&)) {
    (static_cast<Listener&>(console_).*hook)(event);
    if (buffer_.failure != nullptr) std::rethrow_exception(std::exchange(buffer_.failure, nullptr));
  }

  LineBuffer buffer_;
  std::ostream stream_{&buffer_};
  Console console_{{.live = false, .verbosity = Verbosity::verbose, .colour = false, .stream = &stream_}};
};

std::string local_time() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  const size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts);
  std::snprintf(text.data() + length, text.size() - length, ".%03d", static_cast<int>(milliseconds));
  return text.data();
}

class LogFile : public Listener {
 public:
  explicit LogFile(std::optional<std::filesystem::path> path) : path_(std::move(path)) {}
  [[nodiscard]] std::string name() const override { return "the log file"; }

  void on_run_begin(const events::RunBegin& run) override {
    if (!path_ && !run.folder) return;
    file_ = std::make_unique<AppendFile>(path_.value_or(run.folder.value_or("") / "log.txt"), /*buffer_bytes=*/0);
    if (file_->was_torn()) file_->write("\n");
    lines_ = std::make_unique<LineListener>([this](MessageLevel, std::string_view line) {
      file_->write(local_time().append(" ").append(line).append("\n"));
    });
    lines_->on_run_begin(run);
  }
  void on_progress(const events::Progress& progress) override { tell(progress, &Listener::on_progress); }
  void on_step(const events::Step& step) override { tell(step, &Listener::on_step); }
  void on_epoch_end(const events::EpochEnd& end) override { tell(end, &Listener::on_epoch_end); }
  void on_message(const events::Message& message) override { tell(message, &Listener::on_message); }
  void on_run_end(const events::RunEnd& end) override { tell(end, &Listener::on_run_end); }
  void on_run_broken(const events::RunBroken& broken) override { tell(broken, &Listener::on_run_broken); }

 private:
  template <class Event>
  void tell(const Event& event, void (Listener::*hook)(const Event&)) {
    if (lines_ != nullptr) (static_cast<Listener&>(*lines_).*hook)(event);
  }

  std::optional<std::filesystem::path> path_;
  std::unique_ptr<AppendFile> file_;
  std::unique_ptr<LineListener> lines_;
};

}  // namespace

std::shared_ptr<Listener> lines_to(LineSink sink) {
  if (!sink) throw Error({.what = "there is no function to give lines to", .where = "lines_to"});
  return std::make_shared<LineListener>(std::move(sink));
}

std::shared_ptr<Listener> log_file(std::optional<std::filesystem::path> path) {
  const bool needs_folder = !path.has_value();
  return on_thread(std::make_shared<LogFile>(std::move(path)),
                   {.delay = std::chrono::milliseconds(0), .only_with_folder = needs_folder});
}

}  // namespace athanor::track
