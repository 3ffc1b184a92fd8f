// SPDX-License-Identifier: Apache-2.0
// Several loaders under one.
//
//     Loader both = combine({{"labelled", labelled}, {"unlabelled", unlabelled}});
//     for (const Batch& batch : both.epoch(1)) train_on(batch.input["labelled"], batch.input["unlabelled"]);
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "athanor/data/loader.hpp"

namespace athanor {

/// Which part the next batch comes from. In the zip modes it comes from all of them: `input` and `target` are
/// dictionaries of the parts' names (an empty target where a part has none), `samples` is the sum, there are no
/// `indices` and no `weight` (a part whose batches have weights is an Error), and `part` is 0. In the others it is a
/// batch of one part, which `part` names by its number.
enum class Combine {
  in_turn,       ///< All of the first part, then all of the second, and so on.
  alternate,     ///< A batch of each in rotation; a part that is through drops out, or begins again with `cycle`.
  zip_shortest,  ///< A batch of each at once, until the shortest part is through.
  zip_longest,   ///< A batch of each at once, until the longest is through; shorter parts begin again.
  weighted,      ///< The part of each batch is drawn, keyed by seed, epoch and number; parts begin again.
};

struct CombineOptions {
  Combine how = Combine::zip_longest;
  /// For `weighted`, and needed there: how often each part is drawn, in proportion. Finite, not negative, not all 0.
  std::vector<double> weights{};
  /// Batches of an epoch. Unset: the sum of the parts' (`in_turn`, `alternate`, `weighted`), the least
  /// (`zip_shortest`), the most (`zip_longest`), the most times the number of parts (`alternate` with `cycle`). More
  /// than that only where parts begin again.
  std::optional<int64_t> batches = {};
  /// For `alternate`: a part that is through begins again until the longest is through, so that the rotation stays
  /// even.
  bool cycle = false;
};

/// A loader over several. Batch k of an epoch is a function of seed, epoch and k, as it is for each of them, and is
/// found in O(1) (`weighted`: by counting k draws, without making a batch). The parts keep their options, background
/// threads and own seeds. Each part, and each round of one that begins again, has its own permutation and random
/// numbers, also over the same data set. A combination may be a part of another. Threads of a part start with the pass
/// (`in_turn`: when its turn comes) and end with it. An error in a part names it; the call after that goes on with the
/// next batch.
///
/// Throws Error for no parts, a name that is empty or given twice, weights that do not fit, and an epoch that is empty
/// or longer than what there is.
[[nodiscard]] Loader combine(std::vector<NamedLoader> parts, const CombineOptions& options = {});

}  // namespace athanor
