// SPDX-License-Identifier: Apache-2.0
// The messages of Weights & Biases: Record and what is in it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "athanor/track/protobuf.hpp"

namespace athanor::track {

/// Names, and values as JSON.
using WandbItems = std::vector<std::pair<std::string, std::string>>;

struct WandbRun {
  std::string id = {};
  std::string entity = {};
  std::string project = {};
  std::string group = {};
  std::string name = {};
  std::vector<std::string> tags = {};
  std::string host = {};
  WandbItems config = {};
  double start = 0;  ///< Seconds since 1970.
  int64_t starting_step = 0;
  bool resumed = false;
};

/// A file of an artifact.
struct WandbArtifactFile {
  std::string name = {};
  std::filesystem::path path = {};
};

/// Each is the content of a Record behind its number.
[[nodiscard]] ProtobufMessage wandb_header();
[[nodiscard]] ProtobufMessage wandb_run(const WandbRun& run);
[[nodiscard]] ProtobufMessage wandb_history(int64_t step, const WandbItems& items);
[[nodiscard]] ProtobufMessage wandb_summary(const WandbItems& items);
/// Files below `files/`. `media`: pictures and tables, which are uploaded at once; else at the end.
[[nodiscard]] ProtobufMessage wandb_files(const std::vector<std::string>& paths, bool media);
[[nodiscard]] ProtobufMessage wandb_exit(int exit_code, int64_t seconds);
/// Reads the files, for their digests. Throws Error when one can't be read.
[[nodiscard]] ProtobufMessage wandb_artifact(const WandbRun& run, const std::string& type, const std::string& name,
                                             const std::vector<WandbArtifactFile>& files);

}  // namespace athanor::track
