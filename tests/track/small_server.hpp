// SPDX-License-Identifier: Apache-2.0
// A server of HTTP that does as a test says, also what no good server would.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace athanor::testing {

/// Listens on a port of its own on this machine; one connection at a time, one request in each.
class SmallServer {
 public:
  struct Request {
    std::string method;
    std::string path;
    std::string head;
    std::string body;
  };
  /// The bytes of the whole answer; empty: the connection is closed without one.
  using Handler = std::function<std::string(const Request&)>;

  explicit SmallServer(Handler handler, int port = 0) : handler_(std::move(handler)) {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    const int yes = 1;
    ::setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    if (::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) ::perror("bind");
    ::listen(socket_, 16);
    socklen_t size = sizeof address;
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { work(); });
  }
  ~SmallServer() {
    stopping_ = true;
    thread_.join();
    ::close(socket_);
  }
  SmallServer(const SmallServer&) = delete;
  SmallServer& operator=(const SmallServer&) = delete;

  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::vector<Request> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  [[nodiscard]] bool stopping() const { return stopping_; }

  static std::string answer(const std::string& status, const std::string& body, const std::string& head = {}) {
    return "HTTP/1.1 " + status + "\r\nConnection: close\r\n" + head +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

 private:
  void work() {
    while (!stopping_) {
      pollfd waiting{.fd = socket_, .events = POLLIN, .revents = 0};
      if (::poll(&waiting, 1, 20) <= 0) continue;
      const int connection = ::accept(socket_, nullptr, nullptr);
      if (connection < 0) continue;
      serve(connection);
      ::close(connection);
    }
  }

  void serve(int connection) {
    const timeval patience{.tv_sec = 2, .tv_usec = 0};
    ::setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    std::string bytes;
    size_t head_end = std::string::npos;
    size_t length = 0;
    while (head_end == std::string::npos || bytes.size() < head_end + 4 + length) {
      char piece[65536];
      const ssize_t size = ::recv(connection, piece, sizeof piece, 0);
      if (size <= 0) return;
      bytes.append(piece, static_cast<size_t>(size));
      head_end = bytes.find("\r\n\r\n");
      if (head_end == std::string::npos) continue;
      const size_t at = bytes.find("Content-Length: ");
      length = at < head_end ? std::stoul(bytes.substr(at + 16)) : 0;
    }
    Request request;
    request.head = bytes.substr(0, head_end);
    request.body = bytes.substr(head_end + 4);
    const size_t blank = request.head.find(' ');
    request.method = request.head.substr(0, blank);
    request.path = request.head.substr(blank + 1, request.head.find(' ', blank + 1) - blank - 1);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const std::string answer = handler_(request);
    for (size_t sent = 0; sent < answer.size();) {
      const ssize_t size = ::send(connection, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
      if (size <= 0) return;
      sent += static_cast<size_t>(size);
    }
  }

  Handler handler_;
  int socket_ = -1;
  int port_ = 0;
  std::atomic<bool> stopping_ = false;
  mutable std::mutex mutex_;
  std::vector<Request> requests_;
  std::thread thread_;
};

}  // namespace athanor::testing
