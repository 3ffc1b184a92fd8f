// SPDX-License-Identifier: Apache-2.0
// Weights of somewhere else as the first weights of a net: a start, not a continuation.
//
//     initialise_from(task.nets(), "runs/pretrained", {.names = {{"encoder.*", "body.*"}}, .allow_missing = true});
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "athanor/train/nets.hpp"

namespace athanor {

struct InitialiseOptions {
  /// Only names of the file that begin with this count, and without it: `module.`, `encoder.`. It is taken away first.
  std::string prefix = {};
  /// Names in the file and the names that they have in the nets. The first pattern that fits counts; one `*` on each
  /// side stands for the same text: `{{"features.*", "body.*"}}`. What fits none keeps its name.
  std::vector<std::pair<std::string, std::string>> names{};
  /// Tensors that the file lacks keep their values.
  bool allow_missing = false;
  /// Tensors that only the file has are left out; with a prefix those outside of it always are.
  bool allow_unexpected = false;
  /// Tensors of another shape or dtype keep their values: a head for other classes.
  bool allow_mismatched = false;
};

/// What was loaded and what was not, name by name.
struct InitialiseReport {
  std::vector<std::pair<std::string, std::string>> loaded{};  ///< Name in the file, name in the nets.
  std::vector<std::string> missing{};                         ///< In the nets only.
  std::vector<std::string> unexpected{};                      ///< In the file only, under its name there.
  std::vector<std::string> mismatched{};                      ///< `out.weight: float32 (10, 8) in the file, …`

  /// A line for each.
  [[nodiscard]] std::string describe() const;
};

/// Copies weights into parameters and buffers, in place. `source` is a safetensors file, a checkpoint (its weights are
/// verified by their checksum), or a run folder (its newest checkpoint, else its best.safetensors). Everything is
/// compared first: Error tells each difference that the options don't allow, and then nothing has changed. Error too
/// when nothing at all would be loaded, and when two names of the file become one.
InitialiseReport initialise_from(const Nets& nets, const std::filesystem::path& source,
                                 const InitialiseOptions& options = {});

}  // namespace athanor
