// SPDX-License-Identifier: Apache-2.0
// run.json, the record of a run: a section for each start of it, filled in when that start ends.
//
//     {"format": 1, "starts": [{"begun": …, "command_line": […], "versions": {…}, "git": {…}, "seed": 7, "device":
//     "cpu",
//                               "options": {…}, "data": {…}, …, "ended": …, "finished": true, "stop_reason": …,
//                               "best": {"val_acc": {"epoch": 3, "value": 0.91}}, "last": {"val_acc": 0.9}}]}
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "athanor/core/tree.hpp"
#include "athanor/core/values.hpp"
#include "athanor/metrics/accumulator.hpp"
#include "athanor/train/history.hpp"

namespace athanor {

class Loader;

/// Names of values, and which way each is better.
using NamedDirections = std::vector<std::pair<std::string, Direction>>;

/// What a start is recorded with beside what the process itself tells: command line, folder, host, versions, processor,
/// and the state of git in the working folder, else in that of the program.
struct RunStart {
  std::string device = {};
  int threads = 0;  ///< 0: not known.
  std::optional<uint64_t> seed = {};
  int64_t parameters = 0;                                        ///< Trainable numbers.
  std::vector<std::pair<std::string, std::string>> header = {};  ///< Name and value.
  Values settings = {};                                          ///< `lr`, `weight_decay`, … as they were given.
  std::string options = {};                                      ///< A JSON object; empty: none.
  Tree data = {};                                                ///< By the name of the data: `data_record`.
  NamedDirections values = {};                                   ///< What each epoch will have.
  double epoch = 0;                                              ///< Where it begins.
  int64_t step = 0;
  std::optional<std::filesystem::path> resumed_from = {};
};

/// Appends a section to FOLDER/run.json, which is made when it is missing, and writes it atomically. Of more than 100
/// starts the first and the last 99 are kept. A value on the command line whose name speaks of a token, password,
/// secret or key is written as `***`.
///
/// A record that can't be read is put aside as run-damaged.json; the sentence that is returned says so, else it is
/// empty. Throws Error when the file can't be written.
std::string begin_run_record(const std::filesystem::path& folder, const RunStart& start);

/// How a start ended.
struct RunEnding {
  const History& history;
  std::string stop_reason = {};
  bool finished = true;  ///< False: by an exception, or given up.
  double seconds = 0;
  NamedDirections values = {};  ///< Those whose direction is known get a best epoch; NaN and infinity are never best.
};

/// Fills in the last section, when this process began it and it has no end yet; does nothing otherwise. Throws Error
/// when the file can't be read or written.
void end_run_record(const std::filesystem::path& folder, const RunEnding& ending);

/// What data are, for the record: number of samples, batch size and order; dtype and shape of a sample; and a CRC-32 of
/// eight samples that lie evenly in them, of at most 64 KiB of each tensor. So the cost is that of getting eight
/// samples on the calling thread, whatever the size; where that is slow no further one is asked for after a quarter of
/// a second, and `samples_hashed` tells how many there were. Two data sets of the same number that differ elsewhere
/// look the same. Augmentation is asked with a fixed key. Tensors on a device are waited for. What the data throw is
/// recorded, not thrown.
[[nodiscard]] Tree data_record(const Loader& loader);

}  // namespace athanor
