// SPDX-License-Identifier: Apache-2.0
// The inside of a loader: one data set, or a combination of other loaders.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "athanor/data/pass.hpp"

namespace athanor {

/// Immutable; loaders share it.
struct Loader::Source {
  struct Request {
    int64_t epoch;
    int64_t first;  ///< Batches from here on,
    int64_t last;   ///< to here, exclusive.
    uint64_t seed;  ///< Of the run.
    /// Tells the parts of a combination apart, and their rounds; 0 for a loader that stands alone.
    uint64_t salt = 0;
    /// The part that the batches are marked with; unset: the source says.
    std::optional<int32_t> part = {};
  };

  virtual ~Source() = default;
  [[nodiscard]] virtual int64_t batches() const noexcept = 0;
  /// Samples in the first `batches` batches of an epoch; batches() of them at most.
  [[nodiscard]] virtual int64_t samples(int64_t batches) const = 0;
  [[nodiscard]] virtual std::unique_ptr<Pass::Implementation> pass(const Request& request) const = 0;

  /// Null for a combination.
  [[nodiscard]] virtual const Dataset* dataset() const noexcept { return nullptr; }
  [[nodiscard]] virtual const LoaderOptions* options() const noexcept { return nullptr; }
  /// Empty for a loader over one data set.
  [[nodiscard]] virtual std::vector<NamedLoader> parts() const { return {}; }

  static const std::shared_ptr<const Source>& of(const Loader& loader) noexcept { return loader.source_; }
  static Loader loader(std::shared_ptr<const Source> source) { return Loader(std::move(source)); }
};

}  // namespace athanor
