// SPDX-License-Identifier: Apache-2.0
// Losses of embeddings: InfoNCE and triplets.
//
//     .loss = athanor::loss::Triplet({.margin = 0.2, .mining = athanor::loss::Mining::batch_hard})
//
// What holds for all losses is in classification_loss.hpp.
#pragma once

#include "athanor/core/tree.hpp"

namespace athanor::loss {

/// What each embedding is told apart from.
enum class Contrast {
  keys,       ///< Each query from the keys of the other samples (van den Oord et al., 2018).
  both_ways,  ///< Also each key from the other queries, and the mean of both, as CLIP.
  all_views,  ///< Queries and keys alike from all others of either kind, as SimCLR's NT-Xent.
};

struct InfoNCEOptions {
  double temperature = 0.1;
  Contrast contrast = Contrast::keys;
  bool normalize = true;  ///< Cosine similarity; else dot products.
};

/// InfoNCE: the mean cross entropy of finding the other view of the same sample among all. `predictions` and `target`
/// are queries (N, D) and keys (N, D), row by row of the same sample; or `predictions` is a list of the two, as a net
/// with two views returns it, and `target` is not looked at. A third tensor of the list, (M, D), are further negatives
/// for Contrast::keys, as MoCo's queue.
class InfoNCE {
 public:
  /// Throws Error for options out of range.
  explicit InfoNCE(InfoNCEOptions options = {});
  /// Throws Error for shapes that do not fit, and where there is nothing to tell apart: one sample and no further
  /// negatives would be a loss of 0.
  at::Tensor operator()(const Tree& predictions, const Tree& target) const;

 private:
  InfoNCEOptions options_;
};

/// Which triplets of an anchor, a positive (of the same class) and a negative (of another) count.
enum class Mining {
  batch_hard,       ///< For each anchor the farthest positive and the nearest negative (Hermans et al., 2017).
  batch_semi_hard,  ///< For each pair the nearest negative that is farther than the positive; where there is none the
                    ///< farthest (Schroff et al., 2015, as TensorFlow has it).
  batch_all,        ///< All; the mean goes over those whose loss is not 0. Memory grows with the cube of the batch.
};

enum class Distance { euclidean, squared_euclidean, cosine };

struct TripletOptions {
  double margin = 0.2;
  Mining mining = Mining::batch_hard;
  Distance distance = Distance::euclidean;
  bool soft_margin = false;  ///< log(1 + exp(difference)) instead of the hinge; the margin is not used.
};

/// Triplet loss of embeddings (N, D) and class numbers (N): the mean of max(0, d(a, p) - d(a, n) + margin) over the
/// triplets that mining finds in the batch.
class Triplet {
 public:
  /// Throws Error for options out of range.
  explicit Triplet(TripletOptions options = {});
  /// Throws Error for shapes that do not fit and, on the CPU, for a batch without a triplet, which would be a loss of
  /// 0; on other devices the loss is NaN then. A sampler that draws several samples of each class helps.
  at::Tensor operator()(const at::Tensor& embeddings, const at::Tensor& labels) const;

 private:
  TripletOptions options_;
};

}  // namespace athanor::loss
