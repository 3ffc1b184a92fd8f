// SPDX-License-Identifier: Apache-2.0
// What a browser asks the live page for, and whether it may. Nothing here throws for what a request holds.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "athanor/track/run_store.hpp"

namespace athanor::track {

/// The names and values behind the question mark of an address, undone.
using PageParameters = std::multimap<std::string, std::string>;

/// `otherwise` for what is missing or no number.
[[nodiscard]] uint64_t page_number(const PageParameters& parameters, const char* name, uint64_t otherwise);

/// What can't be read has its default; 400 curves of 4000 columns at most.
[[nodiscard]] CurvesQuery curves_query(const PageParameters& parameters);

/// Whether two secrets are the same; how long it takes depends on the length of `given` alone.
[[nodiscard]] bool same_secret(std::string_view given, std::string_view secret) noexcept;

/// Whether a Host header names this machine itself: `localhost`, `127.0.0.1` or `[::1]`, with any port.
[[nodiscard]] bool is_own_host(std::string_view host) noexcept;

}  // namespace athanor::track
