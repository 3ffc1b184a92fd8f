// SPDX-License-Identifier: Apache-2.0
// Requests over HTTP and HTTPS.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace athanor::track {

struct HttpAnswer {
  int status = 0;
  std::string body = {};
  std::optional<std::chrono::seconds> retry_after = {};  ///< What the server asked for.
};

struct HttpOptions {
  std::chrono::milliseconds connect{5000};
  /// The longest silence of the server while it reads a request or answers.
  std::chrono::milliseconds silence{20000};
  /// Headers of each request.
  std::vector<std::pair<std::string, std::string>> headers = {};
};

/// One server. For one thread, but for `cancel`. An answer of any status is an answer; no answer, one that breaks off,
/// and one of more than 16 MiB throw DeliveryProblem (spool_sender.hpp) of Kind::later.
class HttpClient {
 public:
  /// `http://host:5000`, `https://host/prefix`. Throws Error for another form. The certificate of an https server is
  /// checked.
  explicit HttpClient(const std::string& url, HttpOptions options = {});
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// `path` begins with a slash and is encoded as it is to be sent.
  [[nodiscard]] HttpAnswer get(const std::string& path);
  [[nodiscard]] HttpAnswer post_json(const std::string& path, const std::string& body);
  /// The content of a file, read in pieces. Throws Error when it can't be read.
  [[nodiscard]] HttpAnswer put_file(const std::string& path, const std::filesystem::path& file);
  /// Ends the running request and every later one. From any thread.
  void cancel() noexcept;

 private:
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

/// The text as a part of a URL: everything but letters, digits and `-._~/` becomes `%XX`.
[[nodiscard]] std::string url_encoded(const std::string& text);

}  // namespace athanor::track
