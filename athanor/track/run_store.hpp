// SPDX-License-Identifier: Apache-2.0
// The runs below a folder and what the live page asks about them. Answers are JSON (UTF-8); NaN and infinity, which
// JSON lacks, are null in curves and the strings "NaN", "Infinity", "-Infinity" elsewhere.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "athanor/track/stored_run.hpp"

namespace athanor::track {

struct RunStoreOptions {
  /// A run folder, or a folder with runs in it.
  std::filesystem::path folder = {};
  /// How many levels of folders below it are looked through. 0: it is one run.
  int depth = 3;
  /// Files are looked at again after this time at the earliest.
  std::chrono::milliseconds look_every{250};
  /// New folders are looked for after this time at the earliest.
  std::chrono::milliseconds scan_every{2000};
  /// The memory that the points of all runs may take. When they need more, those that were not asked for the longest
  /// time are let go, and read from their files when they are asked for again.
  size_t bytes = size_t{256} << 20;
};

/// The curves of several runs over one axis.
struct CurvesQuery {
  std::vector<size_t> runs = {};
  /// `s:train_loss` is the value of steps, `e:val_loss` that of epochs.
  std::vector<std::string> names = {};
  RunAxis axis = RunAxis::step;
  CurveRequest request = {};
};

/// Reads when it is asked, so it costs nothing while nobody looks. From any thread; one at a time works. Nothing here
/// throws for what files hold. Its memory: 12 bytes a value and 24 a moment of the runs that it holds (StoredRun), at
/// most RunStoreOptions::bytes or the largest run of them, and some KB for each run besides.
class RunStore {
 public:
  explicit RunStore(RunStoreOptions options);

  /// Looks for what is new when it is time to, and returns the number of the last change; it only grows.
  uint64_t look();

  /// What has changed after the change `since`; 0: all. The runs in short, with options, best, last values and the
  /// names of their curves.
  [[nodiscard]] std::string runs_json(uint64_t since) const;
  /// One run: notes, messages, texts, histograms, pictures, times. Empty when there is none of that number.
  [[nodiscard]] std::string run_json(size_t number) const;
  [[nodiscard]] std::string curves_json(const CurvesQuery& query) const;
  /// A PNG; empty when there is none.
  [[nodiscard]] std::string picture(size_t run, size_t number) const;
  /// The number of the run in that folder, or `size()`.
  [[nodiscard]] size_t find(const std::filesystem::path& folder) const;
  [[nodiscard]] size_t size() const;
  /// What the points of the runs that are held take, in bytes.
  [[nodiscard]] size_t memory() const;

 private:
  struct Entry {
    StoredRun run;
    uint64_t changed = 0;
    uint64_t used = 0;       // when it was asked for or read last
    size_t bytes = 0;        // while it is held
    std::string brief = {};  // while it rests
  };
  [[nodiscard]] const StoredRun& awake(size_t number) const;
  void measure(Entry& entry) const;
  void make_room(const Entry& keep) const;
  void scan(const std::filesystem::path& folder, int depth);
  void add(const std::filesystem::path& folder);

  RunStoreOptions options_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Entry>> entries_;
  mutable uint64_t uses_ = 0;
  mutable size_t bytes_ = 0;  // of all that are held
  uint64_t version_ = 1;
  std::chrono::steady_clock::time_point looked_, scanned_;
};

}  // namespace athanor::track
