// SPDX-License-Identifier: Apache-2.0
// Which metric a name of peers/metrics_peer.py means: "recall/macro", "roc/fpr/bins", with the options of the problem.
#pragma once

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "athanor/metrics/metrics.hpp"

namespace athanor::metrics::testing {

/// The options that all metrics of a problem share.
struct SharedOptions {
  Kind kind = Kind::automatic;
  double threshold = 0.5;
  bool from_logits = true;
  std::optional<int64_t> ignore = {};
  std::optional<int64_t> bins = {};

  explicit SharedOptions(const nlohmann::json& options) {
    const std::string name = options.value("kind", "");
    kind = name == "binary"       ? Kind::binary
           : name == "multiclass" ? Kind::multiclass
           : name == "multilabel" ? Kind::multilabel
                                  : Kind::automatic;
    threshold = options.value("threshold", 0.5);
    from_logits = options.value("from_logits", true);
    if (options.contains("ignore")) ignore = options["ignore"].get<int64_t>();
    if (options.contains("bins")) bins = options["bins"].get<int64_t>();
  }
};

/// What stands behind "package:", cut at "/".
class PeerName {
 public:
  explicit PeerName(const std::string& name) {
    std::istringstream words(name.substr(name.find(':') + 1));
    for (std::string word; std::getline(words, word, '/');) words_.push_back(word);
  }
  [[nodiscard]] const std::string& metric() const { return words_.front(); }
  [[nodiscard]] bool has(const std::string& word) const {
    return std::find(words_.begin(), words_.end(), word) != words_.end();
  }
  [[nodiscard]] const std::string& last() const { return words_.back(); }
  [[nodiscard]] std::optional<Average> average() const {
    if (has("micro")) return Average::micro;
    if (has("macro")) return Average::macro;
    if (has("weighted")) return Average::weighted;
    if (has("per_class")) return Average::per_class;
    return {};
  }
  /// The entry of a dictionary of tensors, or nothing.
  [[nodiscard]] std::string entry() const {
    for (const char* name : {"fpr", "tpr", "thresholds", "precision", "recall"}) {
      if (std::find(words_.begin() + 1, words_.end(), name) != words_.end()) return name;
    }
    return {};
  }

 private:
  std::vector<std::string> words_;
};

inline Metric metric_of_peer(const PeerName& name, const SharedOptions& shared) {
  const ClassificationOptions decisions{.kind = shared.kind,
                                        .average = name.average(),
                                        .top_k = name.has("top2") ? 2 : 1,
                                        .threshold = shared.threshold,
                                        .from_logits = shared.from_logits,
                                        .ignore_index = shared.ignore};
  const CurveOptions curve{.kind = shared.kind,
                           .average = name.average(),
                           .from_logits = shared.from_logits,
                           .ignore_index = shared.ignore,
                           .bins = name.has("bins") ? shared.bins : std::nullopt};
  const SegmentationOptions masks{.kind = shared.kind,
                                  .include_background = !name.has("no_background"),
                                  .average = name.average().value_or(Average::macro),
                                  .of = name.has("image") ? OverlapOf::image : OverlapOf::dataset};
  const std::string& metric = name.metric();
  if (name.has("image") || name.has("dataset")) {
    return metric == "iou" ? Metric(segmentation_iou(masks)) : Metric(segmentation_dice(masks));
  }
  if (metric == "acc") return accuracy(decisions);
  if (metric == "hamming") return hamming_distance(decisions);
  if (metric == "precision") return precision(decisions);
  if (metric == "recall") return recall(decisions);
  if (metric == "specificity") return specificity(decisions);
  if (metric == "f1") return f1(decisions);
  if (metric == "f2") return f_beta(2, decisions);
  if (metric == "jaccard") return jaccard(decisions);
  if (metric == "dice") return dice(decisions);
  if (metric == "mcc") return matthews(decisions);
  if (metric == "balanced_acc") {
    return balanced_accuracy({.kind = shared.kind,
                              .threshold = shared.threshold,
                              .from_logits = shared.from_logits,
                              .ignore_index = shared.ignore,
                              .adjusted = name.has("adjusted")});
  }
  if (metric == "kappa") {
    return cohen_kappa({.weights = name.has("linear")      ? KappaWeights::linear
                                   : name.has("quadratic") ? KappaWeights::quadratic
                                                           : KappaWeights::none,
                        .kind = shared.kind,
                        .threshold = shared.threshold,
                        .from_logits = shared.from_logits,
                        .ignore_index = shared.ignore});
  }
  if (metric == "confusion") {
    return confusion_matrix({.kind = shared.kind,
                             .normalize = name.has("true")   ? Normalize::target
                                          : name.has("pred") ? Normalize::prediction
                                          : name.has("all")  ? Normalize::all
                                                             : Normalize::none,
                             .threshold = shared.threshold,
                             .from_logits = shared.from_logits,
                             .ignore_index = shared.ignore});
  }
  if (metric == "auroc") return auroc(curve);
  if (metric == "average_precision") return average_precision(curve);
  if (metric == "ks") return kolmogorov_smirnov(curve);
  if (metric == "roc") return roc_curve(curve);
  if (metric == "precision_recall_curve") return precision_recall_curve(curve);
  if (metric == "log_loss") {
    return log_loss({.kind = shared.kind, .from_logits = shared.from_logits, .ignore_index = shared.ignore});
  }
  if (metric == "calibration_error") {
    return calibration_error({.kind = shared.kind,
                              .norm = name.has("l2")    ? CalibrationNorm::root_square
                                      : name.has("max") ? CalibrationNorm::maximum
                                                        : CalibrationNorm::mean,
                              .from_logits = shared.from_logits,
                              .ignore_index = shared.ignore});
  }
  if (metric == "mae") return mae();
  if (metric == "mse") return mse();
  if (metric == "rmse") return rmse();
  if (metric == "mape") return mape();
  if (metric == "smape") return smape();
  if (metric == "quantile_loss") return quantile_loss(std::stod(name.last()));
  if (metric == "cosine_similarity") return cosine_similarity();
  if (metric == "r2") return r2();
  if (metric == "explained_variance") return explained_variance();
  if (metric == "pearson") return pearson();
  if (metric == "concordance") return concordance();
  if (metric == "spearman") return spearman();
  if (metric == "kendall") return kendall(name.has("c") ? KendallVariant::c : KendallVariant::b);
  throw std::runtime_error("no metric is called '" + metric + "'");
}

}  // namespace athanor::metrics::testing
