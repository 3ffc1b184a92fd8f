// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/detection_matching.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace athanor::metrics::detail {
namespace {

using ObjectPlaces = std::span<const size_t>;

double overlap_of(const ImageObjects& detections, size_t d, const ImageObjects& targets, size_t g) {
  const bool crowd = targets.crowd[g] != 0;
  return targets.masks.empty() ? box_iou(detections.boxes[d], targets.boxes[g], crowd)
                               : detections.masks[d].iou(targets.masks[g], crowd);
}

bool lies_outside(double area, const std::pair<double, double>& range) {
  return area < range.first || area > range.second;
}

std::vector<size_t> objects_in_order(const ImageObjects& objects, bool by_class) {
  std::vector<size_t> order(objects.labels.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (by_class && objects.labels[a] != objects.labels[b]) return objects.labels[a] < objects.labels[b];
    if (!objects.scores.empty() && objects.scores[a] != objects.scores[b]) return objects.scores[a] > objects.scores[b];
    return objects.labels[a] != objects.labels[b] ? objects.labels[a] < objects.labels[b] : a < b;
  });
  return order;
}

/// The detections and targets of one class in one image.
class ClassGroup {
 public:
  ClassGroup(const ImageObjects& detections, ObjectPlaces found, const ImageObjects& targets, ObjectPlaces wanted,
             const MatchingRules& rules)
      : detections_(detections),
        found_(found),
        targets_(targets),
        wanted_(wanted),
        rules_(rules),
        overlaps_(found.size() * wanted.size()),
        best_(found.size(), 0.0) {
    for (size_t d = 0; d < found.size(); ++d) {
      for (size_t g = 0; g < wanted.size(); ++g) {
        const double overlap = overlaps_[d * wanted.size() + g] = overlap_of(detections, found[d], targets, wanted[g]);
        best_[d] = std::max(best_[d], overlap);
      }
    }
  }

  /// Returns how many targets count.
  int64_t match(size_t area, uint64_t* matched, uint64_t* ignored) {
    const int64_t counted = order_targets(area);
    for (size_t d = 0; d < found_.size(); ++d) {
      if (!lies_outside(detections_.areas[found_[d]], rules_.areas[area])) continue;
      for (size_t t = 0; t < rules_.thresholds.size(); ++t) set(ignored, d, bit_of(area, t));
    }
    for (size_t t = 0; t < rules_.thresholds.size(); ++t) {
      taken_.assign(wanted_.size(), 0);
      const double least = std::min(rules_.thresholds[t], 1 - 1e-10);
      for (size_t d = 0; d < found_.size(); ++d) {
        if (best_[d] < least) continue;
        const size_t place = best_free_target(d, least, static_cast<size_t>(counted));
        if (place == wanted_.size()) continue;
        taken_[place] = 1;
        set(matched, d, bit_of(area, t));
        if (place < static_cast<size_t>(counted)) {
          clear(ignored, d, bit_of(area, t));
        } else {
          set(ignored, d, bit_of(area, t));
        }
      }
    }
    return counted;
  }

 private:
  [[nodiscard]] size_t bit_of(size_t area, size_t t) const noexcept { return area * rules_.thresholds.size() + t; }
  [[nodiscard]] uint64_t* word(uint64_t* words, size_t d, size_t bit) const noexcept {
    return words + d * rules_.words() + bit / 64;
  }
  void set(uint64_t* words, size_t d, size_t bit) const noexcept { *word(words, d, bit) |= uint64_t{1} << (bit % 64); }
  void clear(uint64_t* words, size_t d, size_t bit) const noexcept {
    *word(words, d, bit) &= ~(uint64_t{1} << (bit % 64));
  }

  /// Those that count come first, else in their order. Returns how many there are.
  int64_t order_targets(size_t area) {
    order_.clear();
    int64_t counted = 0;
    for (const bool ignored : {false, true}) {
      for (size_t g = 0; g < wanted_.size(); ++g) {
        const size_t target = wanted_[g];
        const bool is = targets_.crowd[target] != 0 || lies_outside(targets_.areas[target], rules_.areas[area]);
        if (is == ignored) order_.push_back(g);
      }
      if (!ignored) counted = static_cast<int64_t>(order_.size());
    }
    return counted;
  }

  /// A place in `order_`, or the number of targets. Of equal overlaps the last.
  [[nodiscard]] size_t best_free_target(size_t d, double least, size_t counted) const {
    const double* overlaps = overlaps_.data() + d * wanted_.size();
    size_t best = wanted_.size();
    for (size_t place = 0; place < wanted_.size(); ++place) {
      if (place >= counted && best < counted) break;
      const size_t g = order_[place];
      if ((taken_[place] != 0 && targets_.crowd[wanted_[g]] == 0) || overlaps[g] < least) continue;
      least = overlaps[g];
      best = place;
    }
    return best;
  }

  const ImageObjects& detections_;
  ObjectPlaces found_;
  const ImageObjects& targets_;
  ObjectPlaces wanted_;
  const MatchingRules& rules_;
  std::vector<double> overlaps_;
  std::vector<double> best_;   // of each detection
  std::vector<size_t> order_;  // of the targets
  std::vector<char> taken_;    // by their place in that order
};

/// The places from `first` on whose label is that of the group, or all.
ObjectPlaces class_group(const std::vector<size_t>& order, size_t first, const std::vector<int64_t>& labels,
                         int64_t label, bool by_class) {
  size_t last = first;
  while (last < order.size() && (!by_class || labels[order[last]] == label)) ++last;
  return ObjectPlaces(order).subspan(first, last - first);
}

}  // namespace

ImageMatches match_image(const ImageObjects& detections, const ImageObjects& targets, const MatchingRules& rules) {
  const std::vector<size_t> found = objects_in_order(detections, rules.by_class);
  const std::vector<size_t> wanted = objects_in_order(targets, rules.by_class);
  ImageMatches matches;
  matches.detections.reserve(found.size());
  matches.matched.reserve(found.size() * rules.words());
  matches.ignored.reserve(found.size() * rules.words());
  for (size_t d = 0, g = 0; d < found.size() || g < wanted.size();) {
    int64_t label = 0;
    if (rules.by_class) {
      label = d == found.size()    ? targets.labels[wanted[g]]
              : g == wanted.size() ? detections.labels[found[d]]
                                   : std::min(targets.labels[wanted[g]], detections.labels[found[d]]);
    }
    ObjectPlaces of_class = class_group(found, d, detections.labels, label, rules.by_class);
    const ObjectPlaces targets_of_class = class_group(wanted, g, targets.labels, label, rules.by_class);
    d += of_class.size();
    g += targets_of_class.size();
    of_class = of_class.first(std::min(of_class.size(), static_cast<size_t>(rules.most_detections)));

    const size_t before = matches.matched.size();
    matches.matched.resize(before + of_class.size() * rules.words(), 0);
    matches.ignored.resize(before + of_class.size() * rules.words(), 0);
    for (size_t i = 0; i < of_class.size(); ++i) {
      matches.detections.push_back({detections.scores[of_class[i]], label, static_cast<int32_t>(i)});
    }
    ClassGroup group(detections, of_class, targets, targets_of_class, rules);
    std::vector<int64_t> counted(rules.areas.size());
    for (size_t area = 0; area < rules.areas.size(); ++area) {
      counted[area] = group.match(area, matches.matched.data() + before, matches.ignored.data() + before);
    }
    if (!targets_of_class.empty()) matches.targets.push_back({label, std::move(counted)});
  }
  return matches;
}

}  // namespace athanor::metrics::detail
