// SPDX-License-Identifier: Apache-2.0
// A browser of thirty lines, for the tests of the live page.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <string>
#include <string_view>

namespace athanor::testing {

/// A connection to 127.0.0.1 that gives up after two seconds of silence.
class Connection {
 public:
  explicit Connection(int port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval patience{.tv_sec = 2, .tv_usec = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    is_open_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Connection() { ::close(socket_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] bool is_open() const { return is_open_; }
  void send(std::string_view bytes) const {
    static_cast<void>(::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL));
  }
  /// What comes until the other side closes or is silent, or until `text` was among it.
  [[nodiscard]] std::string read(std::string_view text = {}) const {
    std::string all;
    char buffer[65536];
    for (;;) {
      const ssize_t count = ::recv(socket_, buffer, sizeof buffer, 0);
      if (count <= 0) return all;
      all.append(buffer, static_cast<size_t>(count));
      if (!text.empty() && all.find(text) != std::string::npos) return all;
    }
  }

 private:
  int socket_;
  bool is_open_ = false;
};

struct HttpAnswer {
  int status = 0;
  std::string headers = {};
  std::string body = {};
};

/// One request. `headers` are whole lines, each ended by `\r\n`; without a Host it is that of the server.
inline HttpAnswer http(int port, const std::string& method, const std::string& path, std::string headers = {},
                       const std::string& body = {}) {
  const Connection connection(port);
  if (headers.find("Host:") == std::string::npos) headers += "Host: 127.0.0.1:" + std::to_string(port) + "\r\n";
  if (!body.empty() || method == "POST") headers += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  connection.send(method + " " + path + " HTTP/1.1\r\nConnection: close\r\n" + headers + "\r\n" + body);
  const std::string all = connection.read();
  const size_t end = all.find("\r\n\r\n");
  if (end == std::string::npos || all.size() < 12) return {};
  return {std::stoi(all.substr(9, 3)), all.substr(0, end), all.substr(end + 4)};
}
inline HttpAnswer http_get(int port, const std::string& path, const std::string& headers = {}) {
  return http(port, "GET", path, headers);
}

}  // namespace athanor::testing
