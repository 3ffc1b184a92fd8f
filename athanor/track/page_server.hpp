// SPDX-License-Identifier: Apache-2.0
// The server of the live page.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "athanor/track/page_query.hpp"
#include "athanor/track/run_store.hpp"

namespace athanor::track {

/// What the buttons of the page do.
enum class PageAction { stop, save };

struct PageAnswer {
  bool done = false;
  std::string text = {};  ///< A sentence for the person at the page.
};

struct PageServerOptions {
  RunStoreOptions runs = {};
  /// The first port that is tried; when it is taken the next ones are, and in the end any that is free. 0: any.
  int port = 6007;
  /// What a button does, called on a thread of the server. Unset: the page only watches.
  std::function<PageAnswer(PageAction action)> act = {};
  /// The folder of the run that the buttons act on; unset or nothing: there is none at the moment. Called on threads of
  /// the server.
  std::function<std::optional<std::filesystem::path>()> live = {};
};

/// Serves the page and the answers of a RunStore on 127.0.0.1, on threads of its own that take no signals and give way
/// to others (nice 5). It reads files only when somebody has the page open.
///
/// Who may: everybody on this machine may look; stop and save need the token, which `url()` tells and no answer does.
/// Requests for another host than this machine's own names are refused (DNS rebinding), and so are actions that another
/// site sends. Nothing in a request is ever a path of a file: the page's files lie in the binary, runs and pictures
/// have numbers.
///
/// Its memory: that of the runs (RunStore), and 24 threads with one answer each. Of pages that stay open (server-sent
/// events) 12 are served at once. A request has at most 8 KiB of address, 4 KiB of content and 32 KiB in all, and ten
/// seconds to arrive; what is larger or slower is refused and its connection closed, and none of it is kept.
class PageServer {
 public:
  /// Starts it. Throws Error when no port can be had.
  explicit PageServer(PageServerOptions options);
  /// Ends it: open pages lose their connection and try again. Takes up to a second when one is open.
  ~PageServer();
  PageServer(const PageServer&) = delete;
  PageServer& operator=(const PageServer&) = delete;

  [[nodiscard]] int port() const noexcept;
  /// With the token, which a browser keeps to itself: `http://127.0.0.1:6007/#token=…`.
  [[nodiscard]] std::string url() const;
  [[nodiscard]] const std::string& token() const noexcept;
  [[nodiscard]] RunStore& runs() noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace athanor::track
