// SPDX-License-Identifier: Apache-2.0
// Porter's stemmer. No LibTorch.
#pragma once

#include <string>
#include <string_view>

namespace athanor::metrics {

/// The stem of an English word of lower case letters: "relational" and "relate" give "relat". The same as
/// nltk.stem.porter.PorterStemmer(), with its extensions, which rouge-score uses. Other characters count as consonants.
///
/// Porter, "An algorithm for suffix stripping", 1980.
[[nodiscard]] std::string porter_stem(std::string_view word);

}  // namespace athanor::metrics
