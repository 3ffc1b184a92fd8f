// SPDX-License-Identifier: Apache-2.0
// ROUGE, as Google's rouge-score counts it.
#include "athanor/metrics/rouge.hpp"

#include <algorithm>

#include "athanor/core/error.hpp"
#include "athanor/metrics/once.hpp"
#include "athanor/metrics/porter_stemmer.hpp"
#include "athanor/metrics/token_ids.hpp"
#include "athanor/metrics/unicode.hpp"

namespace athanor::metrics {
namespace {

std::vector<std::string> rouge_words(std::string_view text, bool stemmer) {
  const std::string lowered = detail::lower(text);
  std::vector<std::string> words;
  std::string word;
  const auto finish = [&] {
    if (!word.empty()) words.push_back(stemmer && word.size() > 3 ? porter_stem(word) : word);
    word.clear();
  };
  for (const char byte : lowered) {
    const bool part_of_word = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
    part_of_word ? word.push_back(byte) : finish();
  }
  finish();
  return words;
}

RougeScore rouge_ratio(int64_t hits, size_t predicted, size_t targets) {
  RougeScore score;
  score.precision = static_cast<double>(hits) / static_cast<double>(std::max<size_t>(predicted, 1));
  score.recall = static_cast<double>(hits) / static_cast<double>(std::max<size_t>(targets, 1));
  const double both = score.precision + score.recall;
  score.f = both > 0 ? 2 * score.precision * score.recall / both : 0;
  return score;
}

RougeScore shared_runs(const std::vector<std::string>& prediction, const std::vector<std::string>& target, int length) {
  detail::TokenIds words;
  detail::NgramIds ngrams;
  const auto runs_of = [&](const std::vector<std::string>& text) {
    return std::move(ngrams.of(words.of_all(text), length).back());
  };
  const std::vector<int32_t> right = runs_of(target);
  const size_t known = ngrams.size();
  const std::vector<int32_t> said = runs_of(prediction);
  std::vector<int64_t> left(known, 0);
  for (const int32_t run : right) ++left[static_cast<size_t>(run)];
  int64_t hits = 0;
  for (const int32_t run : said)
    hits += static_cast<int64_t>(static_cast<size_t>(run) < known && left[static_cast<size_t>(run)]-- > 0);
  return rouge_ratio(hits, said.size(), right.size());
}

/// The lengths of the longest common subsequences of all beginnings: rows of `right`, columns of `said`, each with one
/// for nothing.
class SubsequenceTable {
 public:
  SubsequenceTable(const std::vector<int32_t>& right, const std::vector<int32_t>& said)
      : columns_(said.size() + 1), lengths_((right.size() + 1) * columns_, 0) {
    for (size_t i = 1; i <= right.size(); ++i) {
      for (size_t j = 1; j <= said.size(); ++j) {
        lengths_[i * columns_ + j] =
            right[i - 1] == said[j - 1] ? at(i - 1, j - 1) + 1 : std::max(at(i - 1, j), at(i, j - 1));
      }
    }
  }
  [[nodiscard]] int32_t at(size_t i, size_t j) const noexcept { return lengths_[i * columns_ + j]; }

 private:
  size_t columns_;
  std::vector<int32_t> lengths_;
};

int64_t subsequence_length(const std::vector<int32_t>& right, const std::vector<int32_t>& said) {
  std::vector<int32_t> row(said.size() + 1, 0);
  for (const int32_t word : right) {
    int32_t diagonal = 0;
    for (size_t j = 1; j <= said.size(); ++j) {
      const int32_t above = row[j];
      row[j] = word == said[j - 1] ? diagonal + 1 : std::max(above, row[j - 1]);
      diagonal = above;
    }
  }
  return row.back();
}

/// Marks the words of `right` in one of the longest subsequences that `said` has too: that one which rouge-score reads
/// out of the table.
void mark_subsequence(const std::vector<int32_t>& right, const std::vector<int32_t>& said, std::vector<bool>& marks) {
  const SubsequenceTable table(right, said);
  size_t i = right.size(), j = said.size();
  while (i > 0 && j > 0) {
    if (right[i - 1] == said[j - 1]) {
      marks[i - 1] = true;
      --i, --j;
    } else if (table.at(i, j - 1) > table.at(i - 1, j)) {
      --j;
    } else {
      --i;
    }
  }
}

using WordsOfLines = std::vector<std::vector<std::string>>;

WordsOfLines words_of_lines(std::string_view text, bool stemmer) {
  WordsOfLines lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) lines.push_back(rouge_words(text.substr(0, end), stemmer));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

RougeScore shared_subsequences_of_lines(const WordsOfLines& prediction, const WordsOfLines& target) {
  detail::TokenIds words;
  std::vector<int64_t> left_said, left_right;
  size_t all_said = 0, all_right = 0;
  const auto ids_of = [&](const WordsOfLines& lines, std::vector<int64_t>& left, size_t& all) {
    std::vector<std::vector<int32_t>> ids;
    for (const std::vector<std::string>& line : lines) {
      ids.push_back(words.of_all(line));
      all += line.size();
      for (const int32_t id : ids.back()) {
        if (left.size() <= static_cast<size_t>(id)) left.resize(static_cast<size_t>(id) + 1, 0);
        ++left[static_cast<size_t>(id)];
      }
    }
    return ids;
  };
  const auto said = ids_of(prediction, left_said, all_said);
  const auto right = ids_of(target, left_right, all_right);
  if (all_said == 0 || all_right == 0) return {};
  left_said.resize(std::max(left_said.size(), left_right.size()), 0);
  int64_t hits = 0;
  for (const std::vector<int32_t>& line : right) {
    std::vector<bool> marks(line.size(), false);
    for (const std::vector<int32_t>& other : said) mark_subsequence(line, other, marks);
    for (size_t i = 0; i < line.size(); ++i) {
      const auto word = static_cast<size_t>(line[i]);
      if (!marks[i] || left_said[word] <= 0 || left_right[word] <= 0) continue;
      ++hits;
      --left_said[word];
      --left_right[word];
    }
  }
  return rouge_ratio(hits, all_said, all_right);
}

std::string rouge_name(std::string name, RougeMeasure measure) {
  if (measure == RougeMeasure::precision) return name + "_precision";
  return measure == RougeMeasure::recall ? name + "_recall" : name;
}

template <class M>
RougeScore rouge_once(M metric, const Texts& predictions, const References& targets) {
  metric.update(predictions, targets);
  return metric.score();
}

}  // namespace

Rouge::Rouge(Kind kind, int length, std::string name, RougeOptions options)
    : kind_(kind), length_(length), name_(rouge_name(std::move(name), options.measure)), options_(options) {}

RougeScore Rouge::of_pair(std::string_view prediction, std::string_view target) const {
  if (kind_ == Kind::subsequences_of_lines) {
    return shared_subsequences_of_lines(words_of_lines(prediction, options_.stemmer),
                                        words_of_lines(target, options_.stemmer));
  }
  const std::vector<std::string> said = rouge_words(prediction, options_.stemmer);
  const std::vector<std::string> right = rouge_words(target, options_.stemmer);
  if (kind_ == Kind::runs) return shared_runs(said, right, length_);
  detail::TokenIds words;
  const std::vector<int32_t> said_ids = words.of_all(said);
  return rouge_ratio(subsequence_length(words.of_all(right), said_ids), said.size(), right.size());
}

void Rouge::update(const Texts& predictions, const References& targets) {
  detail::check_texts(predictions, targets, name_, false);
  for (size_t sample = 0; sample < predictions.size(); ++sample) {
    RougeScore best;
    bool first = true;
    for (const std::string_view target : targets[sample]) {
      const RougeScore score = of_pair(predictions[sample], target);
      if (first || score.f > best.f) best = score;
      first = false;
    }
    sum_ = {sum_.precision + best.precision, sum_.recall + best.recall, sum_.f + best.f};
    ++samples_;
  }
}

void Rouge::update(const Tree& predictions, const Tree& targets, int64_t) {
  update(Texts(predictions, name_), References(targets, name_));
}

void Rouge::merge(const Rouge& other) {
  detail::check_alike(alike(other), name_);
  samples_ += other.samples_;
  sum_ = {sum_.precision + other.sum_.precision, sum_.recall + other.sum_.recall, sum_.f + other.sum_.f};
}

RougeScore Rouge::score() const {
  detail::check_seen(samples_, name_);
  const auto count = static_cast<double>(samples_);
  return {sum_.precision / count, sum_.recall / count, sum_.f / count};
}

double Rouge::compute() const {
  const RougeScore means = score();
  if (options_.measure == RougeMeasure::precision) return means.precision;
  return options_.measure == RougeMeasure::recall ? means.recall : means.f;
}

void Rouge::reset() {
  samples_ = 0;
  sum_ = {};
}

void Rouge::state(State& state) {
  state.value("samples", samples_);
  state.value("precision", sum_.precision);
  state.value("recall", sum_.recall);
  state.value("f", sum_.f);
}

RougeN::RougeN(int length, RougeOptions options)
    : Rouge(Kind::runs, length, "rouge" + std::to_string(length), options) {
  if (length >= 1 && length <= 9) return;
  throw Error({.what = "the length of the runs is out of range",
               .where = "rouge_n",
               .got = std::to_string(length),
               .expected = "1 to 9 words"});
}
RougeL::RougeL(RougeOptions options) : Rouge(Kind::subsequence, 0, "rougeL", options) {}
RougeLsum::RougeLsum(RougeOptions options) : Rouge(Kind::subsequences_of_lines, 0, "rougeLsum", options) {}

RougeN rouge_n(int length, RougeOptions options) { return RougeN(length, options); }
RougeL rouge_l(RougeOptions options) { return RougeL(options); }
RougeLsum rouge_lsum(RougeOptions options) { return RougeLsum(options); }

RougeScore rouge_n(int length, const Texts& predictions, const References& targets, RougeOptions options) {
  return rouge_once(rouge_n(length, options), predictions, targets);
}
RougeScore rouge_l(const Texts& predictions, const References& targets, RougeOptions options) {
  return rouge_once(rouge_l(options), predictions, targets);
}
RougeScore rouge_lsum(const Texts& predictions, const References& targets, RougeOptions options) {
  return rouge_once(rouge_lsum(options), predictions, targets);
}

}  // namespace athanor::metrics
