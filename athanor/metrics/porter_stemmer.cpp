// SPDX-License-Identifier: Apache-2.0
// Porter's stemmer, with the extensions of NLTK.
#include "athanor/metrics/porter_stemmer.hpp"

#include <initializer_list>
#include <utility>

namespace athanor::metrics {
namespace {

bool is_vowel_letter(char letter) noexcept {
  return letter == 'a' || letter == 'e' || letter == 'i' || letter == 'o' || letter == 'u';
}

/// A y is a consonant at the beginning and behind a vowel.
bool is_consonant(std::string_view word, size_t place) noexcept {
  bool turned = false;
  while (place > 0 && word[place] == 'y') {
    turned = !turned;
    --place;
  }
  return is_vowel_letter(word[place]) == turned;
}

/// How often a consonant follows a vowel: the m of the paper.
int porter_measure(std::string_view stem) noexcept {
  int count = 0;
  bool before = true;
  for (size_t i = 0; i < stem.size(); ++i) {
    const bool consonant = stem[i] == 'y' ? i == 0 || !before : !is_vowel_letter(stem[i]);
    count += static_cast<int>(i > 0 && !before && consonant);
    before = consonant;
  }
  return count;
}

bool has_vowel(std::string_view stem) noexcept {
  for (size_t i = 0; i < stem.size(); ++i) {
    if (!is_consonant(stem, i)) return true;
  }
  return false;
}

bool ends_double_consonant(std::string_view word) noexcept {
  return word.size() >= 2 && word[word.size() - 1] == word[word.size() - 2] && is_consonant(word, word.size() - 1);
}

bool ends_consonant_vowel_consonant(std::string_view word) noexcept {
  const size_t size = word.size();
  if (size == 2) return !is_consonant(word, 0) && is_consonant(word, 1);
  if (size < 3) return false;
  const char last = word[size - 1];
  return is_consonant(word, size - 3) && !is_consonant(word, size - 2) && is_consonant(word, size - 1) && last != 'w' &&
         last != 'x' && last != 'y';
}

struct SuffixRule {
  std::string_view suffix;
  std::string_view by;
};

/// The first rule whose suffix fits is the one that counts, also when the stem is not long enough for it.
template <class Condition>
std::string replace_suffix(std::string word, std::initializer_list<SuffixRule> rules, Condition condition) {
  for (const SuffixRule& rule : rules) {
    if (!word.ends_with(rule.suffix)) continue;
    const std::string_view stem = std::string_view(word).substr(0, word.size() - rule.suffix.size());
    return condition(rule, stem) ? std::string(stem).append(rule.by) : word;
  }
  return word;
}

bool is_long_stem(const SuffixRule&, std::string_view stem) { return porter_measure(stem) > 0; }

std::string without_plural(std::string word) {
  if (word.ends_with("ies") && word.size() == 4) return word.substr(0, 1) + "ie";
  return replace_suffix(std::move(word), {{"sses", "ss"}, {"ies", "i"}, {"ss", "ss"}, {"s", ""}},
                        [](const SuffixRule&, std::string_view) { return true; });
}

std::string with_ending_repaired(std::string stem) {
  for (const std::string_view ending : {"at", "bl", "iz"}) {
    if (stem.ends_with(ending)) return stem + "e";
  }
  if (ends_double_consonant(stem)) {
    const char last = stem.back();
    if (last != 'l' && last != 's' && last != 'z') stem.pop_back();
    return stem;
  }
  if (porter_measure(stem) == 1 && ends_consonant_vowel_consonant(stem)) stem += 'e';
  return stem;
}

std::string without_past(std::string word) {
  if (word.ends_with("ied")) return word.substr(0, word.size() - 3) + (word.size() == 4 ? "ie" : "i");
  if (word.ends_with("eed")) {
    const std::string stem = word.substr(0, word.size() - 3);
    return porter_measure(stem) > 0 ? stem + "ee" : word;
  }
  for (const std::string_view suffix : {"ed", "ing"}) {
    if (!word.ends_with(suffix)) continue;
    std::string stem = word.substr(0, word.size() - suffix.size());
    if (has_vowel(stem)) return with_ending_repaired(std::move(stem));
  }
  return word;
}

std::string with_final_y_turned(std::string word) {
  const size_t size = word.size();
  if (size > 2 && word.back() == 'y' && is_consonant(std::string_view(word).substr(0, size - 1), size - 2)) {
    word.back() = 'i';
  }
  return word;
}

std::string with_double_suffix_shortened(std::string word) {
  if (word.ends_with("alli") && porter_measure(std::string_view(word).substr(0, word.size() - 4)) > 0) {
    return with_double_suffix_shortened(word.substr(0, word.size() - 2));
  }
  return replace_suffix(
      std::move(word), {{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"},
                        {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"}, {"eli", "e"},     {"ousli", "ous"},
                        {"ization", "ize"}, {"ation", "ate"},   {"ator", "ate"},  {"alism", "al"},  {"iveness", "ive"},
                        {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},  {"iviti", "ive"}, {"biliti", "ble"},
                        {"fulli", "ful"},   {"logi", "log"}},
      [](const SuffixRule& rule, std::string_view stem) {
        // The l of -logi counts as a part of the stem, so that "geologi" is long enough.
        return porter_measure(rule.suffix == "logi" ? std::string_view(stem.data(), stem.size() + 1) : stem) > 0;
      });
}

std::string without_suffix_of_short_list(std::string word) {
  return replace_suffix(
      std::move(word),
      {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""}},
      is_long_stem);
}

std::string without_suffix_of_long_stem(std::string word) {
  return replace_suffix(std::move(word),
                        {{"al", ""},
                         {"ance", ""},
                         {"ence", ""},
                         {"er", ""},
                         {"ic", ""},
                         {"able", ""},
                         {"ible", ""},
                         {"ant", ""},
                         {"ement", ""},
                         {"ment", ""},
                         {"ent", ""},
                         {"ion", ""},
                         {"ou", ""},
                         {"ism", ""},
                         {"ate", ""},
                         {"iti", ""},
                         {"ous", ""},
                         {"ive", ""},
                         {"ize", ""}},
                        [](const SuffixRule& rule, std::string_view stem) {
                          return porter_measure(stem) > 1 &&
                                 (rule.suffix != "ion" || stem.ends_with('s') || stem.ends_with('t'));
                        });
}

std::string without_final_letter(std::string word) {
  if (word.ends_with('e')) {
    const std::string_view stem = std::string_view(word).substr(0, word.size() - 1);
    const int length = porter_measure(stem);
    if (length > 1 || (length == 1 && !ends_consonant_vowel_consonant(stem))) word.pop_back();
  }
  if (word.ends_with("ll") && porter_measure(std::string_view(word).substr(0, word.size() - 1)) > 1) word.pop_back();
  return word;
}

}  // namespace

std::string porter_stem(std::string_view word) {
  constexpr std::pair<std::string_view, std::string_view> irregular[] = {
      {"sky", "sky"},        {"skies", "sky"},       {"dying", "die"},        {"lying", "lie"},
      {"tying", "tie"},      {"news", "news"},       {"innings", "inning"},   {"inning", "inning"},
      {"outings", "outing"}, {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
      {"howe", "howe"},      {"proceed", "proceed"}, {"exceed", "exceed"},    {"succeed", "succeed"}};
  for (const auto& [form, stem] : irregular) {
    if (word == form) return std::string(stem);
  }
  std::string stem(word);
  if (word.size() <= 2) return stem;
  for (auto* step : {without_plural, without_past, with_final_y_turned, with_double_suffix_shortened,
                     without_suffix_of_short_list, without_suffix_of_long_stem, without_final_letter}) {
    stem = step(std::move(stem));
  }
  return stem;
}

}  // namespace athanor::metrics
