// SPDX-License-Identifier: Apache-2.0
// A run as its folder tells it, read again and again while it is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "athanor/track/curve_points.hpp"

namespace athanor::track {

enum class RunAxis { step, epoch, time };

/// One value over the run: 12 bytes of memory a point, and 24 for each moment that has any.
struct StoredCurve {
  std::vector<uint32_t> rows = {};
  std::vector<double> values = {};
  bool varies = false;  ///< Two of its values differ.
};

/// Reads `points.bin` of a run folder; where there is none, `history.csv` and `options.json`. For one thread at a time.
class StoredRun {
 public:
  enum class State { running, ended, broken };
  struct Row {
    double time = 0;  ///< Seconds since 1970; in runs without points since their begin.
    int64_t step = 0;
    int64_t samples = 0;
  };
  struct EpochMark {
    int64_t step = 0;
    double epochs = 0;
  };
  struct Best {
    std::string monitor = {};
    int64_t epoch = 0;
    double value = 0;
  };
  struct Note {
    double time = 0;
    bool warning = false;
    std::string text = {};
  };
  struct Text {
    int64_t step = 0;
    std::string markdown = {};
  };
  struct Histogram {
    int64_t step = 0;
    std::vector<double> edges = {};
    std::vector<double> counts = {};
  };
  struct Picture {
    std::string name = {};
    int64_t step = 0;
    int64_t width = 0;
    int64_t height = 0;
    uint64_t place = 0;  ///< of the PNG in the file
    uint32_t bytes = 0;
  };
  struct Progress {
    std::string stage = {};
    int64_t epoch = 0;
    int64_t batch = 0;
    int64_t batches = 0;
    double seconds = 0;
    double time = 0;
  };

  StoredRun(std::string name, std::filesystem::path folder);

  /// Reads what came since the last time. True: something changed. Never throws for what the files hold; what can't be
  /// read is in `problem`.
  bool refresh();
  /// Lets go of everything but what it is called, where it lies and how it stands; `refresh` reads all of it again when
  /// the files have changed, `wake` in any case.
  void rest();
  void wake();
  [[nodiscard]] bool is_resting() const noexcept { return resting_; }
  /// Of its points, texts and names, in bytes, roughly.
  [[nodiscard]] size_t memory() const;
  /// Whether the folder holds something that can be read.
  [[nodiscard]] static bool is_run(const std::filesystem::path& folder);
  /// The PNG; empty when it is not there any more.
  [[nodiscard]] std::string read_picture(size_t number) const;
  /// How a curve lies on an axis: steps, epochs (between their ends by the steps), seconds since the run began.
  [[nodiscard]] CurveView view(const StoredCurve& curve, RunAxis axis) const;
  /// Where an epoch ended.
  [[nodiscard]] std::optional<Row> row_of_epoch(double epoch) const;
  /// No event for a minute, and no end either.
  [[nodiscard]] bool is_silent() const;

  std::string name;
  std::filesystem::path folder;
  State state = State::running;
  std::string reason = {};
  std::string problem = {};
  double begun = 0;
  double ended = 0;
  double last_event = 0;
  std::optional<int64_t> epochs = {};
  std::optional<Best> best = {};
  std::string device = {};
  int64_t threads = 0;
  int64_t parameters = 0;
  std::string seed = {};
  std::vector<std::pair<std::string, std::string>> options = {};
  std::vector<std::string> notes = {};
  std::deque<Note> messages = {};  ///< The last 1000.
  std::map<std::string, Text> texts = {};
  std::map<std::string, Histogram> histograms = {};
  std::deque<Picture> pictures = {};  ///< The last 400; the PNGs stay in the file.
  size_t first_picture = 0;           ///< The number of the first of these.
  std::vector<std::pair<std::string, double>> times = {};
  std::string verdict = {};
  std::optional<Progress> progress = {};
  std::vector<Row> rows = {};
  std::vector<EpochMark> epoch_marks = {};
  std::map<std::string, StoredCurve> step_curves = {};
  std::map<std::string, StoredCurve> epoch_curves = {};
  std::vector<std::string> epoch_names = {};  ///< In the order in which they came.

 private:
  bool refresh_points(const std::filesystem::path& file, uint64_t size);
  bool refresh_history(const std::filesystem::path& file);
  void read_options(const std::filesystem::path& file);
  void take_event(std::string_view text);
  void take_step(std::string_view content);
  void take_picture(std::string_view content, uint64_t place);
  void add_value(std::map<std::string, StoredCurve>& curves, const std::string& name, double value);
  /// `last_row`: the step of the last epoch that the run still has; that of a validation made again lies behind it.
  void cut_after(int64_t step, int64_t last_row);
  void clear();
  [[nodiscard]] double epochs_at(int64_t step) const;

  uint64_t offset_ = 0;
  uint64_t size_ = 0;
  std::filesystem::file_time_type changed_{};
  std::vector<std::string> names_;  // of this session
  std::optional<Row> last_step_;
  double steps_per_epoch_ = 0;
  bool resting_ = false;
};

}  // namespace athanor::track
