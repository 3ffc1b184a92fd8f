// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/resume.hpp"

#include <charconv>

#include "athanor/core/error.hpp"

namespace athanor {

std::string Resume::describe() const {
  switch (kind_) {
    case Kind::never:
      return "never";
    case Kind::automatic:
      return "auto";
    case Kind::last:
      return "last";
    case Kind::best:
      return "best";
    case Kind::epoch:
      return "epoch " + std::to_string(epoch_);
    case Kind::place:
      return place_.string();
  }
  return {};
}

Resume Resume::parse(std::string_view text) {
  if (text == "never") return never();
  if (text == "auto") return automatic();
  if (text == "last") return last();
  if (text == "best") return best();
  constexpr std::string_view epoch_word = "epoch ";
  if (text.starts_with(epoch_word)) {
    const std::string_view digits = text.substr(epoch_word.size());
    int64_t number = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (code == std::errc() && end == digits.data() + digits.size() && number >= 0) return from_epoch(number);
  }
  if (!text.empty()) return from(std::filesystem::path(text));
  throw Error({.what = "it is not said where to go on from",
               .where = "option resume",
               .got = "an empty text",
               .expected = "never, auto, last, best, epoch N, or the path of a checkpoint or run folder"});
}

}  // namespace athanor
