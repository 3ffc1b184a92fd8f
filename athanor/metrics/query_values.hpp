// SPDX-License-Identifier: Apache-2.0
// What the order of the documents of one query is worth; shared by the metrics of ranking, not for use outside.
#pragma once

#include <cstdint>
#include <span>

namespace athanor::metrics::detail {

struct Document {
  int64_t query = 0;
  double score = 0;
  double target = 0;  ///< 0 or 1, or a gain.
};

/// Equal scores are one group: its value is the mean over all orders of its documents. With `by_place` each document is
/// a group of its own.
struct Ranked {
  std::span<const Document> documents;  ///< Greatest score first; among equal ones the least target first.
  int64_t k = 0;                        ///< How many of the first count; may exceed the number of documents.
  bool by_place = false;
};

/// Brings documents into the order of Ranked.
void sort_documents(std::span<Document> documents);

/// Targets are 0 or 1 with at least one 1; of NDCG gains of 0 or more with at least one above 0.
[[nodiscard]] double ndcg_of_query(const Ranked& ranked);
[[nodiscard]] double reciprocal_rank_of_query(const Ranked& ranked);
[[nodiscard]] double average_precision_of_query(const Ranked& ranked);
[[nodiscard]] double hit_of_query(const Ranked& ranked);
[[nodiscard]] double precision_of_query(const Ranked& ranked);
[[nodiscard]] double recall_of_query(const Ranked& ranked);

}  // namespace athanor::metrics::detail
