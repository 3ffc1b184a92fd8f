// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/http.hpp"

#include <httplib.h>

#include <atomic>
#include <cstdlib>
#include <fstream>

#include "athanor/core/error.hpp"
#include "athanor/track/spool_sender.hpp"

namespace athanor::track {
namespace {

constexpr size_t longest_answer = size_t{16} << 20;

struct HttpPlace {
  std::string server;  // `http://host:5000`
  std::string prefix;  // `/mlflow`, without a slash at its end
};

HttpPlace place_of(const std::string& url) {
  const size_t scheme = url.starts_with("http://") ? 7 : url.starts_with("https://") ? 8 : 0;
  const size_t path = url.find('/', scheme);
  HttpPlace place{.server = url.substr(0, path), .prefix = path == std::string::npos ? "" : url.substr(path)};
  while (place.prefix.ends_with('/')) place.prefix.pop_back();
  const bool odd = url.find_first_of(" \t\r\n?#@") != std::string::npos;
  if (scheme == 0 || place.server.size() == scheme || odd || !httplib::Client(place.server).is_valid()) {
    throw Error({.what = "this is not the address of a server",
                 .got = url,
                 .expected = "http://host:port or https://host/path, without user, query and blanks"});
  }
  return place;
}

std::string words_of_failure(httplib::Error error) {
  switch (error) {
    case httplib::Error::Connection:
      return "there is no connection";
    case httplib::Error::ConnectionTimeout:
      return "no connection came about in time";
    case httplib::Error::Read:
      return "the answer did not come in time, or broke off";
    case httplib::Error::Write:
      return "the server did not take the request";
    case httplib::Error::Canceled:
      return "the request was broken off";
    case httplib::Error::SSLServerVerification:
      return "the certificate of the server is not trusted";
    default:
      return httplib::to_string(error);
  }
}

}  // namespace

struct HttpClient::Connection {
  Connection(std::string server_url, std::string path_prefix)
      : server(std::move(server_url)), prefix(std::move(path_prefix)), client(server) {}

  HttpAnswer send(httplib::Request request) {
    if (cancelled) throw DeliveryProblem(DeliveryProblem::Kind::later, "the request was broken off");
    request.path = prefix + request.path;
    std::string body;
    request.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
      if (body.size() + size > longest_answer || cancelled) return false;
      body.append(data, size);
      return true;
    };
    const std::string what = request.method + " " + server + request.path;
    const httplib::Result result = client.send(request);
    if (!result) {
      throw DeliveryProblem(DeliveryProblem::Kind::later, what + ": " + words_of_failure(result.error()));
    }
    HttpAnswer answer{.status = result->status, .body = std::move(body), .retry_after = {}};
    if (result->has_header("Retry-After")) {
      const std::string text = result->get_header_value("Retry-After");
      char* end = nullptr;
      const long seconds = std::strtol(text.c_str(), &end, 10);
      if (end != text.c_str() && *end == '\0' && seconds >= 0) answer.retry_after = std::chrono::seconds(seconds);
    }
    return answer;
  }

  std::string server;
  std::string prefix;
  httplib::Client client;
  std::atomic<bool> cancelled = false;
};

HttpClient::HttpClient(const std::string& url, HttpOptions options) {
  HttpPlace place = place_of(url);
  connection_ = std::make_unique<Connection>(std::move(place.server), std::move(place.prefix));
  httplib::Client& client = connection_->client;
  client.set_connection_timeout(options.connect);
  client.set_read_timeout(options.silence);
  client.set_write_timeout(options.silence);
  client.set_keep_alive(true);
  client.set_url_encode(false);
  client.set_follow_location(false);
  httplib::Headers headers{{"User-Agent", "athanor"}};
  for (const auto& [name, value] : options.headers) headers.emplace(name, value);
  client.set_default_headers(std::move(headers));
}

HttpClient::~HttpClient() = default;

HttpAnswer HttpClient::get(const std::string& path) {
  httplib::Request request;
  request.method = "GET";
  request.path = path;
  return connection_->send(std::move(request));
}

HttpAnswer HttpClient::post_json(const std::string& path, const std::string& body) {
  httplib::Request request;
  request.method = "POST";
  request.path = path;
  request.headers.emplace("Content-Type", "application/json");
  request.body = body;
  return connection_->send(std::move(request));
}

HttpAnswer HttpClient::put_file(const std::string& path, const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::error_code problem;
  const uintmax_t size = std::filesystem::file_size(file, problem);
  if (!stream || problem) throw Error({.what = "a file can't be read", .where = file.string()});
  httplib::Request request;
  request.method = "PUT";
  request.path = path;
  request.headers.emplace("Content-Type", "application/octet-stream");
  request.content_length_ = size;
  request.content_provider_ = [&](size_t offset, size_t length, httplib::DataSink& sink) {
    std::string piece(std::min<size_t>(length, size_t{256} << 10), '\0');
    stream.seekg(static_cast<std::streamoff>(offset));
    stream.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    return stream.gcount() > 0 && !connection_->cancelled &&
           sink.write(piece.data(), static_cast<size_t>(stream.gcount()));
  };
  return connection_->send(std::move(request));
}

void HttpClient::cancel() noexcept {
  connection_->cancelled = true;
  connection_->client.stop();
}

std::string url_encoded(const std::string& text) {
  constexpr std::string_view plain = "-._~/";
  constexpr const char* digits = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
        plain.find(c) != std::string_view::npos) {
      result += c;
    } else {
      result += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return result;
}

}  // namespace athanor::track
