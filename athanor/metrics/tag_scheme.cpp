// SPDX-License-Identifier: Apache-2.0
// How tags of tokens say where an entity begins and ends.
#include "athanor/metrics/tag_scheme.hpp"

#include <algorithm>

#include "athanor/core/error.hpp"

namespace athanor::metrics::detail {
namespace {

/// Letters as bits, any of several; a star is all of them.
constexpr uint8_t letter_bits(std::string_view letters) {
  constexpr std::string_view known = "IOBESUL";
  uint8_t found = 0;
  for (const char letter : letters) {
    if (letter == '*') return 127;
    const size_t place = known.find(letter);
    if (place != std::string_view::npos) found |= static_cast<uint8_t>(1U << place);
  }
  return found;
}

constexpr uint8_t outside_bit = letter_bits("O");

enum class NextType { same, other, any };

/// From one tag to the next.
struct TagStep {
  uint8_t before;
  uint8_t now;
  NextType type;
  TagStep(const char* before, const char* now, NextType type)
      : before(letter_bits(before)), now(letter_bits(now)), type(type) {}
};

struct SchemeTable {
  const char* letters;
  std::vector<TagStep> begins;
  std::vector<TagStep> continues;
  std::vector<TagStep> ends;
};

/// The tables of seqeval.scheme.
const SchemeTable& table_of(TagScheme scheme) {
  using enum NextType;
  static const SchemeTable iob1 = {"IOB",
                                   {{"OB", "I", any}, {"I", "I", other}, {"IB", "B", same}},
                                   {{"BI", "I", same}},
                                   {{"IB", "O", any}, {"IB", "I", other}, {"I", "B", any}, {"B", "B", same}}};
  static const SchemeTable iob2 = {
      "IOB", {{"*", "B", any}}, {{"BI", "I", same}}, {{"IB", "OB", any}, {"IB", "I", other}}};
  static const SchemeTable ioe1 = {"IOE",
                                   {{"OE", "I", any}, {"I", "I", other}, {"E", "E", same}},
                                   {{"I", "IE", same}},
                                   {{"I", "IE", other}, {"I", "O", any}, {"E", "IE", same}}};
  static const SchemeTable ioe2 = {
      "IOE", {{"OE", "IE", any}, {"I", "IE", other}}, {{"I", "IE", same}}, {{"E", "*", any}}};
  static const SchemeTable iobes = {"IOBES", {{"*", "BS", any}}, {{"BI", "IE", same}}, {{"SE", "*", any}}};
  static const SchemeTable bilou = {"BILOU", {{"*", "BU", any}}, {{"BI", "IL", same}}, {{"UL", "*", any}}};
  static const SchemeTable lenient = {"OBIES", {}, {}, {}};
  switch (scheme) {
    case TagScheme::iob1:
      return iob1;
    case TagScheme::iob2:
      return iob2;
    case TagScheme::ioe1:
      return ioe1;
    case TagScheme::ioe2:
      return ioe2;
    case TagScheme::iobes:
      return iobes;
    case TagScheme::bilou:
      return bilou;
    case TagScheme::lenient:
      break;
  }
  return lenient;
}

bool takes_step(const std::vector<TagStep>& steps, const Tag& before, const Tag& now) noexcept {
  const NextType type = before.type == now.type ? NextType::same : NextType::other;
  return std::any_of(steps.begin(), steps.end(), [&](const TagStep& step) {
    return (before.letter & step.before) != 0 && (now.letter & step.now) != 0 &&
           (step.type == NextType::any || step.type == type);
  });
}

template <uint8_t bits>
bool has_letter(const Tag& tag) noexcept {
  return (tag.letter & bits) != 0;
}

// Without short cuts: each would be a branch that tags decide at random.
bool ends_leniently(const Tag& before, const Tag& now) noexcept {
  return has_letter<letter_bits("ES")>(before) |
         (has_letter<letter_bits("BI")>(before) & has_letter<letter_bits("BSO")>(now)) |
         (!has_letter<letter_bits("O")>(before) & (before.type != now.type));
}

bool begins_leniently(const Tag& before, const Tag& now) noexcept {
  return has_letter<letter_bits("BS")>(now) |
         (has_letter<letter_bits("ESO")>(before) & has_letter<letter_bits("EI")>(now)) |
         (!has_letter<letter_bits("O")>(now) & (before.type != now.type));
}

/// The type of "O"; a prefix alone has it too.
constexpr int32_t no_type = 0;
constexpr Tag outside_tag = {outside_bit, no_type};

size_t find_leniently(std::span<const Tag> tags, std::span<Entity> room) {
  Tag before = {outside_bit, -1};
  int32_t begin = 0;
  size_t found = 0;
  for (size_t i = 0; i <= tags.size(); ++i) {
    const Tag now = i < tags.size() ? tags[i] : outside_tag;
    const auto place = static_cast<int32_t>(i);
    room[found] = {before.type, begin, place};
    found += ends_leniently(before, now) ? 1 : 0;
    begin = begins_leniently(before, now) ? place : begin;
    before = now;
  }
  return found;
}

size_t find_strictly(std::span<const Tag> tags, const SchemeTable& scheme, std::span<Entity> room) {
  const auto tag_at = [&](size_t i) { return i < tags.size() ? tags[i] : outside_tag; };
  Tag before = outside_tag;
  size_t found = 0;
  for (size_t i = 0; i <= tags.size();) {
    const Tag first = tag_at(i);
    size_t end = i + 1;
    if (takes_step(scheme.begins, before, first)) {
      while (takes_step(scheme.continues, tag_at(end - 1), tag_at(end))) ++end;
      if (takes_step(scheme.ends, tag_at(end - 1), tag_at(end))) {
        room[found++] = {first.type, static_cast<int32_t>(i), static_cast<int32_t>(end)};
      }
    }
    i = end;
    before = tag_at(i - 1);
  }
  return found;
}

}  // namespace

Tag tag_of(std::string_view text, TagScheme scheme, bool suffix, std::vector<std::string>& types,
           const std::string& where) {
  const std::string_view letters = table_of(scheme).letters;
  const char letter = text.empty() ? '\0' : suffix ? text.back() : text.front();
  const bool known = !text.empty() && letters.find(letter) != std::string_view::npos;
  const bool parted = text.size() == 1 || (known && letter != 'O' && text[suffix ? text.size() - 2 : size_t{1}] == '-');
  if (!known || !parted) {
    std::string tags;
    for (const char one : letters) {
      if (one != 'O') tags += suffix ? std::string(", TYPE-") + one : std::string(", ") + one + "-TYPE";
    }
    throw Error({.what = "a tag is none of its scheme",
                 .where = where,
                 .got = "'" + std::string(text) + "'",
                 .expected = "O" + tags,
                 .todo = std::string("correct the tag, choose another .scheme, or set .suffix = ") +
                         (suffix ? "false for B-PER" : "true for PER-B")});
  }
  const size_t dashed = std::min<size_t>(2, text.size());
  std::string_view type = suffix ? text.substr(0, text.size() - dashed) : text.substr(dashed);
  if (scheme != TagScheme::lenient) {
    // The strict modes of seqeval strip dashes at both ends.
    while (type.starts_with('-')) type.remove_prefix(1);
    while (type.ends_with('-')) type.remove_suffix(1);
  }
  if (types.empty()) types.emplace_back("_");
  if (type.empty()) type = "_";
  const auto found = std::find(types.begin(), types.end(), type);
  const auto number = static_cast<int32_t>(found - types.begin());
  if (found == types.end()) types.emplace_back(type);
  return {letter_bits({&letter, 1}), number};
}

std::span<const Entity> find_entities(std::span<const Tag> tags, TagScheme scheme, std::span<Entity> room) {
  const size_t found =
      scheme == TagScheme::lenient ? find_leniently(tags, room) : find_strictly(tags, table_of(scheme), room);
  return room.first(found);
}

}  // namespace athanor::metrics::detail
