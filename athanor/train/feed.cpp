// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/feed.hpp"

namespace athanor {

Feed::Feed() = default;
Feed::Feed(Data data, FeedOptions options) : data(std::move(data)), options(std::move(options)) {}
Feed::Feed(const Feed& other) = default;
Feed::Feed(Feed&& other) noexcept = default;
Feed& Feed::operator=(const Feed& other) = default;
Feed& Feed::operator=(Feed&& other) noexcept = default;
Feed::~Feed() = default;

}  // namespace athanor
