// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/class_ratio.hpp"

namespace athanor::metrics::detail {

Rules rules_of(const char* metric, const ClassificationOptions& options, bool per_class) {
  return {.metric = metric,
          .kind = options.kind,
          .top_k = options.top_k,
          .threshold = options.threshold,
          .from_logits = options.from_logits,
          .ignore_index = options.ignore_index,
          .classes = options.classes,
          .per_class = per_class};
}

ClassRatio::ClassRatio(const Definition& definition, const ClassificationOptions& options, double beta)
    : ClassRatio(definition, options, beta, definition.name) {}

ClassRatio::ClassRatio(const Definition& definition, const ClassificationOptions& options, double beta,
                       std::string name)
    : definition_(&definition),
      options_(options),
      beta_(beta),
      name_(std::move(name)),
      counts_(rules_of(definition.name, options)) {}

void ClassRatio::merge(const ClassRatio& other) {
  check_alike(alike(other), name_);
  counts_.merge(other.counts_);
}

Tree ClassRatio::compute() const {
  const std::vector<Tally> tallies = counts_.read();
  const auto of_class = [&](const Tally& tally) { return definition_->of_class(tally, beta_); };
  if (!options_.average && counts_.binary()) return of_class(tallies[1]).value();
  return averaged(tallies, options_.average.value_or(Average::macro), options_.kind == Kind::multilabel, of_class);
}

}  // namespace athanor::metrics::detail
