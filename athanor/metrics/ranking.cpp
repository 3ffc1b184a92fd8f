// SPDX-License-Identifier: Apache-2.0
// How well documents are ranked for queries.
#include "athanor/metrics/ranking.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/metrics/once.hpp"
#include "athanor/metrics/refusals.hpp"

namespace athanor::metrics {
namespace {

using detail::Document;

constexpr RankingMetric::Definition retrieval_ndcg_definition = {"ndcg", detail::ndcg_of_query, true};
constexpr RankingMetric::Definition retrieval_mrr_definition = {"mrr", detail::reciprocal_rank_of_query, false};
constexpr RankingMetric::Definition retrieval_map_definition = {"map", detail::average_precision_of_query, false};
constexpr RankingMetric::Definition hit_definition = {"hit_rate", detail::hit_of_query, false};
constexpr RankingMetric::Definition retrieval_precision_definition = {"precision", detail::precision_of_query, false};
constexpr RankingMetric::Definition retrieval_recall_definition = {"recall", detail::recall_of_query, false};

std::string name_at(const RankingMetric::Definition& definition, const std::optional<int64_t>& k) {
  if (k) return std::string(definition.name) + "_at_" + std::to_string(*k);
  const bool also_of_classes =
      &definition == &retrieval_precision_definition || &definition == &retrieval_recall_definition;
  return (also_of_classes ? "retrieval_" : "") + std::string(definition.name);
}

/// Copies the numbers of a tensor on the CPU.
void copy_numbers(const at::Tensor& tensor, double* into) {
  const auto copy = [&](const auto* first) { std::copy(first, first + tensor.numel(), into); };
  const auto whole = tensor.expect_contiguous();
  switch (whole->scalar_type()) {
    case at::kFloat:
      return copy(whole->const_data_ptr<float>());
    case at::kDouble:
      return copy(whole->const_data_ptr<double>());
    case at::kLong:
      return copy(whole->const_data_ptr<int64_t>());
    case at::kBool:
      return copy(whole->const_data_ptr<bool>());
    default: {
      const at::Tensor wide = whole->to(at::kDouble);
      return copy(wide.const_data_ptr<double>());
    }
  }
}

[[noreturn]] void refuse_ranking_shapes(const std::string& metric, const at::Tensor& scores, const at::Tensor& target,
                                        const at::Tensor* queries) {
  throw Error(
      {.what = "scores and targets of a ranking do not fit",
       .where = metric,
       .got = "scores " + describe(scores) + ", target " + describe(target) +
              (queries != nullptr ? ", queries " + describe(*queries) : ""),
       .expected = queries != nullptr
                       ? "floating scores, targets, and whole numbers for the queries, of one shape and device"
                       : "floating scores and targets of one shape, (queries, documents) or (documents), on one "
                         "device"});
}

/// 2 to the power of a greater one is not much less than the greatest number.
constexpr double greatest_exponent = 1000;

void check_documents(const double* scores, const double* targets, int64_t count, int64_t of_row, bool graded,
                     double greatest, double ignored, const std::string& metric) {
  for (int64_t i = 0; i < count; ++i) {
    if (targets[i] == ignored) continue;
    if (scores[i] != scores[i]) detail::refuse_score(scores + i, 1, 1, false, i, of_row, metric.c_str());
    const bool fits = graded ? targets[i] >= 0 && targets[i] <= greatest : targets[i] == 0 || targets[i] == 1;
    if (fits) continue;
    throw Error({.what = "a target is out of range",
                 .where = metric + ", " + detail::place_in_batch(i, of_row),
                 .got = shortest(targets[i]),
                 .expected = graded ? "a relevance, from 0 to " + shortest(greatest) : "0 or 1",
                 .todo = "correct it, or set .ignore_index to the target that means 'none'"});
  }
}

template <class T>
at::Tensor tensor_of_documents(const std::vector<Document>& documents, T Document::*member) {
  const c10::InferenceMode normal(false);
  at::Tensor tensor = at::empty({static_cast<int64_t>(documents.size())}, c10::CppTypeToScalarType<T>::value);
  auto* into = tensor.template mutable_data_ptr<T>();
  for (const Document& document : documents) *into++ = document.*member;
  return tensor;
}

RankingOptions ranking_options(const NdcgOptions& options) {
  return {.k = options.k,
          .empty_queries = options.empty_queries,
          .ties = options.ties,
          .ignore_index = options.ignore_index};
}

}  // namespace

RankingMetric::RankingMetric(const Definition& definition, std::string name, const RankingOptions& options,
                             NdcgGain gain)
    : definition_(&definition), name_(std::move(name)), options_(options), gain_(gain) {
  if (!options_.k || *options_.k >= 1) return;
  throw Error({.what = "k is out of range",
               .where = definition.name,
               .got = std::to_string(*options_.k),
               .expected = "1 document or more, or unset for all"});
}

void RankingMetric::update(const at::Tensor& scores, const at::Tensor& target) {
  const bool fits = scores.defined() && target.defined() && scores.is_floating_point() && !target.is_complex() &&
                    scores.sizes() == target.sizes() && (scores.dim() == 1 || scores.dim() == 2) &&
                    scores.device() == target.device();
  if (!fits) refuse_ranking_shapes(name_, scores, target, nullptr);
  add(scores, target, {});
}

void RankingMetric::update(const at::Tensor& scores, const at::Tensor& target, const at::Tensor& queries) {
  const bool fits = scores.defined() && target.defined() && queries.defined() && scores.is_floating_point() &&
                    !target.is_complex() && at::isIntegralType(queries.scalar_type(), /*includeBool=*/false) &&
                    scores.sizes() == target.sizes() && scores.sizes() == queries.sizes() &&
                    scores.device() == target.device() && scores.device() == queries.device();
  if (!fits) refuse_ranking_shapes(name_, scores, target, &queries);
  add(scores, target, queries);
}

void RankingMetric::update(const Tree& predictions, const Tree& targets, int64_t) {
  const at::Tensor scores = predictions.first_tensor();
  if (targets.is_dictionary() && targets.find("query") != nullptr) {
    update(scores, targets["target"].tensor(), targets["query"].tensor());
  } else if (targets.is_list() && targets.size() == 2) {
    update(scores, targets[0].tensor(), targets[1].tensor());
  } else {
    update(scores, targets.first_tensor());
  }
}

void RankingMetric::add(const at::Tensor& scores, const at::Tensor& target, const at::Tensor& queries) {
  const at::NoGradGuard no_grad;
  if (!scores.is_cpu()) {
    const c10::InferenceMode normal(false);
    const auto copy = [](const at::Tensor& tensor) { return tensor.defined() ? tensor.detach().clone() : tensor; };
    waiting_.push_back({copy(scores), copy(target), copy(queries)});
    return;
  }
  const int64_t count = scores.numel();
  c10::SmallVector<double, 512> numbers;
  numbers.resize_for_overwrite(static_cast<size_t>(2 * count));
  double* score = numbers.data();
  double* relevance = score + count;
  copy_numbers(scores, score);
  copy_numbers(target, relevance);
  const double ignored =
      options_.ignore_index ? static_cast<double>(*options_.ignore_index) : std::numeric_limits<double>::quiet_NaN();
  const int64_t of_row = scores.dim() == 0 ? 1 : scores.numel() / std::max<int64_t>(1, scores.size(0));
  const double greatest = gain_ == NdcgGain::exponential ? greatest_exponent : std::numeric_limits<double>::max();
  check_documents(score, relevance, count, scores.dim() == 2 ? of_row : 1, definition_->graded, greatest, ignored,
                  name_);
  if (queries.defined()) {
    const at::Tensor whole = queries.to(at::kLong).contiguous();
    const auto* query = whole.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < count; ++i) {
      if (relevance[i] != ignored) documents_.push_back({query[i], score[i], relevance[i]});
    }
    return;
  }
  const int64_t rows = scores.dim() == 2 ? scores.size(0) : 1;
  const int64_t columns = scores.dim() == 2 ? scores.size(1) : count;
  Mean mean;
  c10::SmallVector<Document, 64> room(static_cast<size_t>(columns));
  for (int64_t row = 0; row < rows; ++row) {
    Document* last = room.data();
    for (int64_t i = row * columns; i < (row + 1) * columns; ++i) {
      if (relevance[i] != ignored) *last++ = {0, score[i], relevance[i]};
    }
    if (last == room.data()) continue;
    add_query(room.data(), last, mean, [&] { return "row " + std::to_string(row) + " of the batch"; });
  }
  rows_ += rows;
  of_rows_.sum += mean.sum;
  of_rows_.queries += mean.queries;
}

template <class Where>
void RankingMetric::add_query(Document* first, Document* last, Mean& mean, const Where& where) const {
  if (std::none_of(first, last, [](const Document& document) { return document.target > 0; })) {
    if (options_.empty_queries == EmptyQueries::refuse) {
      throw Error({.what = "a query has no relevant document",
                   .where = name_ + ", " + where(),
                   .got = std::to_string(last - first) + " documents, none of them relevant",
                   .expected = "at least one, because of .empty_queries = refuse",
                   .todo = "leave such queries out, or set .empty_queries to skip, zero or one"});
    }
    if (options_.empty_queries == EmptyQueries::skip) return;
    mean.sum += options_.empty_queries == EmptyQueries::one ? 1 : 0;
    ++mean.queries;
    return;
  }
  detail::sort_documents({first, last});
  if (gain_ == NdcgGain::exponential) {
    for (Document* document = first; document != last; ++document) document->target = std::exp2(document->target) - 1;
  }
  mean.sum += definition_->of_query({.documents = {first, last},
                                     .k = options_.k.value_or(last - first),
                                     .by_place = options_.ties == TiedScores::worst});
  ++mean.queries;
}

void RankingMetric::settle() {
  for (const auto& [scores, target, queries] : std::exchange(waiting_, {})) {
    add(scores.cpu(), target.cpu(), queries.defined() ? queries.cpu() : queries);
  }
}

void RankingMetric::merge(const RankingMetric& other) {
  detail::check_alike(alike(other), name_);
  const size_t waiting = other.waiting_.size(), documents = other.documents_.size();
  for (size_t i = 0; i < waiting; ++i) waiting_.push_back(std::array(other.waiting_[i]));
  for (size_t i = 0; i < documents; ++i) documents_.push_back(Document(other.documents_[i]));
  rows_ += other.rows_;
  of_rows_.sum += other.of_rows_.sum;
  of_rows_.queries += other.of_rows_.queries;
}

double RankingMetric::compute() const {
  if (!waiting_.empty()) {
    RankingMetric copy = *this;
    copy.settle();
    return copy.compute();
  }
  if (empty()) {
    throw Error({.what = "a metric was asked for its value before anything was seen",
                 .where = name_,
                 .expected = "at least one query",
                 .todo = "call update() first"});
  }
  Mean mean = of_rows_;
  std::vector<Document> sorted = documents_;
  std::sort(sorted.begin(), sorted.end(), [](const Document& a, const Document& b) {
    return a.query != b.query ? a.query < b.query : a.score != b.score ? a.score > b.score : a.target < b.target;
  });
  for (Document *first = sorted.data(), *end = first + sorted.size(); first != end;) {
    const int64_t query = first->query;
    Document* last = std::find_if(first, end, [&](const Document& document) { return document.query != query; });
    add_query(first, last, mean, [&] { return "query " + std::to_string(query); });
    first = last;
  }
  if (mean.queries == 0) {
    throw Error({.what = "no query has a relevant document, or none has a document that is not ignored",
                 .where = name_,
                 .expected = "at least one query that counts",
                 .todo = "set .empty_queries to zero or one"});
  }
  return mean.sum / static_cast<double>(mean.queries);
}

void RankingMetric::reset() {
  of_rows_ = {};
  rows_ = 0;
  documents_.clear();
  waiting_.clear();
}

void RankingMetric::state(State& state) {
  at::Tensor queries, scores, targets;
  if (state.saving()) {
    settle();
    queries = tensor_of_documents(documents_, &Document::query);
    scores = tensor_of_documents(documents_, &Document::score);
    targets = tensor_of_documents(documents_, &Document::target);
  }
  state.value("rows", rows_);
  state.value("queries_of_rows", of_rows_.queries);
  state.value("sum_of_rows", of_rows_.sum);
  state.tensor("queries", queries, State::Shape::free);
  state.tensor("scores", scores, State::Shape::free);
  state.tensor("targets", targets, State::Shape::free);
  if (!state.loading()) return;
  waiting_.clear();
  documents_.resize(static_cast<size_t>(queries.numel()));
  for (size_t i = 0; i < documents_.size(); ++i) {
    documents_[i] = {queries.const_data_ptr<int64_t>()[i], scores.const_data_ptr<double>()[i],
                     targets.const_data_ptr<double>()[i]};
  }
}

RetrievalNdcg::RetrievalNdcg(NdcgOptions options)
    : RankingMetric(retrieval_ndcg_definition, name_at(retrieval_ndcg_definition, options.k), ranking_options(options),
                    options.gain) {}
RetrievalMrr::RetrievalMrr(RankingOptions options)
    : RankingMetric(retrieval_mrr_definition, name_at(retrieval_mrr_definition, options.k), options) {}
RetrievalMap::RetrievalMap(RankingOptions options)
    : RankingMetric(retrieval_map_definition, name_at(retrieval_map_definition, options.k), options) {}
RetrievalHitRate::RetrievalHitRate(RankingOptions options)
    : RankingMetric(hit_definition, name_at(hit_definition, options.k), options) {}
RetrievalPrecision::RetrievalPrecision(RankingOptions options)
    : RankingMetric(retrieval_precision_definition, name_at(retrieval_precision_definition, options.k), options) {}
RetrievalRecall::RetrievalRecall(RankingOptions options)
    : RankingMetric(retrieval_recall_definition, name_at(retrieval_recall_definition, options.k), options) {}

RetrievalNdcg retrieval_ndcg(NdcgOptions options) { return RetrievalNdcg(options); }
RetrievalMrr retrieval_mrr(RankingOptions options) { return RetrievalMrr(options); }
RetrievalMap retrieval_map(RankingOptions options) { return RetrievalMap(options); }
RetrievalHitRate retrieval_hit_rate(RankingOptions options) { return RetrievalHitRate(options); }
RetrievalPrecision retrieval_precision(RankingOptions options) { return RetrievalPrecision(options); }
RetrievalRecall retrieval_recall(RankingOptions options) { return RetrievalRecall(options); }

double retrieval_ndcg(const at::Tensor& scores, const at::Tensor& target, NdcgOptions options) {
  return once(retrieval_ndcg(options), scores, target);
}
double retrieval_mrr(const at::Tensor& scores, const at::Tensor& target, RankingOptions options) {
  return once(retrieval_mrr(options), scores, target);
}
double retrieval_map(const at::Tensor& scores, const at::Tensor& target, RankingOptions options) {
  return once(retrieval_map(options), scores, target);
}
double retrieval_hit_rate(const at::Tensor& scores, const at::Tensor& target, RankingOptions options) {
  return once(retrieval_hit_rate(options), scores, target);
}
double retrieval_precision(const at::Tensor& scores, const at::Tensor& target, RankingOptions options) {
  return once(retrieval_precision(options), scores, target);
}
double retrieval_recall(const at::Tensor& scores, const at::Tensor& target, RankingOptions options) {
  return once(retrieval_recall(options), scores, target);
}

}  // namespace athanor::metrics
