// SPDX-License-Identifier: Apache-2.0
// The tokenizers of sacreBLEU. No LibTorch.
#pragma once

#include <string>
#include <string_view>

namespace athanor::metrics {

/// How BLEU cuts a text into words; the names are sacreBLEU's.
enum class BleuTokenizer {
  v13a,           ///< "13a": that of mteval-v13a, which WMT uses; for languages with spaces.
  international,  ///< "intl": that of mteval-v14; all punctuation and symbols of Unicode.
  character,      ///< "char": each character is a word.
  chinese,        ///< "zh": each Chinese character is a word, the rest as 13a.
  none,           ///< "none": words are what white space parts; for texts that are cut into words already.
};

/// The text with a space between its words. `utf8` is UTF-8. Python's sacrebleu gives the same words, but for the
/// number of spaces.
[[nodiscard]] std::string bleu_tokenize(std::string_view utf8, BleuTokenizer tokenizer);

/// What sacreBLEU calls it.
[[nodiscard]] const char* bleu_tokenizer_name(BleuTokenizer tokenizer) noexcept;

}  // namespace athanor::metrics
