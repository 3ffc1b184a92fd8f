// SPDX-License-Identifier: Apache-2.0
// How tags of tokens say where an entity begins and ends.
//
// A tag is "O", outside, or a letter and a type: "B-PER", or the other way round, "PER-B". The types may have any name
// ("B-my-type" is of "my-type"); a letter alone, "B", is of type "_".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace athanor::metrics {

/// The schemes of seqeval.
enum class TagScheme {
  /// What conlleval counts and seqeval counts by default: B-, I-, E-, S- mixed, and a wrong beginning is mended: an I-
  /// behind O, or behind another type, begins an entity.
  lenient,
  iob1,   ///< Strict: I- inside, B- only where an entity follows one of its own type.
  iob2,   ///< Strict: B- begins each entity; an I- without it belongs to none.
  ioe1,   ///< Strict: I- inside, E- only where an entity follows.
  ioe2,   ///< Strict: E- ends each entity.
  iobes,  ///< Strict: B- begins, I- inside, E- ends, S- alone.
  bilou,  ///< Strict: B- begins, I- inside, L- ends, U- alone.
};

namespace detail {

/// A letter as a bit, and a type as a number.
struct Tag {
  int32_t letter = 0;
  int32_t type = 0;
};

/// Tokens from `begin` to before `end`.
struct Entity {
  int32_t type = 0;
  int32_t begin = 0;
  int32_t end = 0;
  friend bool operator==(const Entity&, const Entity&) = default;
};

/// The tag of a text: its type is looked up in `types`, and added to it. With `suffix` the letter stands behind the
/// type. Throws Error for what is no tag of the scheme; `where` is told.
[[nodiscard]] Tag tag_of(std::string_view text, TagScheme scheme, bool suffix, std::vector<std::string>& types,
                         const std::string& where);

/// The entities of a sentence, in order, as seqeval reads them. They lie in `room`, which holds one more than `tags`.
[[nodiscard]] std::span<const Entity> find_entities(std::span<const Tag> tags, TagScheme scheme,
                                                    std::span<Entity> room);

}  // namespace detail
}  // namespace athanor::metrics
