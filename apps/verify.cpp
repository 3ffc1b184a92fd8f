// SPDX-License-Identifier: Apache-2.0
// athanor verify: whether every checkpoint of a run is whole.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "apps/json_file.hpp"
#include "apps/output.hpp"
#include "apps/run_files.hpp"
#include "apps/subcommand.hpp"
#include "apps/weights.hpp"
#include "athanor/checkpoint/manifest.hpp"
#include "athanor/core/error.hpp"

namespace athanor::command {
namespace {

namespace fs = std::filesystem;

struct VerifyOptions {
  fs::path run = {};
  bool json = false;
};

struct Verified {
  fs::path path = {};
  std::vector<std::string> damage = {};
  std::uint64_t bytes = 0;
};

bool is_weights_file(const fs::path& path) { return path.extension() == ".safetensors"; }

Verified verify_checkpoint(const fs::path& path) {
  Verified result{.path = path};
  const auto attempt = [&](const auto& action) {
    try {
      action();
    } catch (const Error& error) {
      result.damage.push_back(one_line(Error({.what = fs::path(error.parts().where).filename().string(),
                                              .got = error.parts().got,
                                              .expected = error.parts().expected})));
    }
  };
  std::vector<ManifestFile> files;
  attempt([&] { files = files_of_manifest(path); });
  for (const ManifestFile& file : files) {
    result.bytes += file.bytes;
    attempt([&] { verify_manifest_file(path, file); });
  }
  if (!result.damage.empty()) return result;
  for (const ManifestFile& file : files) {
    if (is_weights_file(file.name)) attempt([&] { static_cast<void>(open_weights(path / file.name)); });
  }
  return result;
}

/// A file without a checksum: its structure alone.
Verified verify_file(const fs::path& path) {
  Verified result{.path = path};
  try {
    result.bytes = open_weights(path).file_bytes;
  } catch (const Error& error) {
    result.damage.push_back(one_line(error));
  }
  return result;
}

std::vector<Verified> verify_all(const fs::path& run) {
  if (is_checkpoint(run)) return {verify_checkpoint(run)};
  if (!is_run(run)) {
    throw Error({.what = "this is neither a run folder nor a checkpoint",
                 .where = run.string(),
                 .expected = "a folder with run.json, options.json or history.csv, or one with manifest.json"});
  }
  std::vector<fs::path> checkpoints, weights;
  std::error_code ignored;
  for (fs::directory_iterator entry(run, ignored), end; entry != end; entry.increment(ignored)) {
    if (is_weights_file(entry->path())) weights.push_back(entry->path());
    if (!entry->is_directory(ignored)) continue;
    if (is_checkpoint(entry->path())) checkpoints.push_back(entry->path());
    for (fs::directory_iterator inner(entry->path(), ignored), last; inner != last; inner.increment(ignored)) {
      const std::string name = inner->path().filename().string();
      // A folder that lost its manifest is a damaged checkpoint still.
      const bool named_so = name.find("-epoch-") != std::string::npos && inner->is_directory(ignored);
      if (!name.starts_with(".") && (named_so || is_checkpoint(inner->path()))) checkpoints.push_back(inner->path());
    }
  }
  std::sort(checkpoints.begin(), checkpoints.end());
  std::sort(weights.begin(), weights.end());
  std::vector<Verified> results;
  results.reserve(checkpoints.size() + weights.size());
  for (const fs::path& path : checkpoints) results.push_back(verify_checkpoint(path));
  for (const fs::path& path : weights) results.push_back(verify_file(path));
  return results;
}

ExitCode verify(const VerifyOptions& options) {
  std::error_code ignored;
  if (!fs::exists(options.run, ignored)) {
    throw Error({.what = "there is no such folder", .where = options.run.string()});
  }
  const std::vector<Verified> results = verify_all(options.run);
  const auto damaged = static_cast<std::size_t>(
      std::count_if(results.begin(), results.end(), [](const Verified& each) { return !each.damage.empty(); }));
  if (options.json) {
    Json list = Json::array();
    for (const Verified& each : results) {
      list.push_back({{"path", each.path.string()},
                      {"whole", each.damage.empty()},
                      {"bytes", each.bytes},
                      {"damage", each.damage}});
    }
    print(dump({{"run", options.run.string()}, {"damaged", damaged}, {"checked", list}}));
  } else {
    std::string text;
    for (const Verified& each : results) {
      text += (each.damage.empty() ? "whole    " : "DAMAGED  ") + printable(each.path.string()) + "  " +
              format_bytes(each.bytes) + "\n";
      for (const std::string& line : each.damage) text += "         " + printable(line, 1000) + "\n";
    }
    text += std::to_string(results.size() - damaged) + " whole, " + std::to_string(damaged) + " damaged\n";
    print(text);
  }
  return damaged == 0 ? done : answer_is_no;
}

}  // namespace

Action add_verify(CLI::App& app) {
  const auto options = std::make_shared<VerifyOptions>();
  app.add_option("RUN", options->run, "A run folder, or one checkpoint")->required();
  app.add_flag("--json", options->json, "JSON instead of lines");
  app.footer("Exit status: 0 all are whole; 1 something is damaged; 2 there is nothing to check.");
  return [options] { return verify(*options); };
}

}  // namespace athanor::command
