#include "server/app/repeats.h"

#include <algorithm>

namespace minke::server {
namespace {

constexpr std::chrono::minutes kTime{10};
constexpr size_t kKeptMax = 1000;

}  // namespace

// Answers of the routes that make things are whole.
class Repeats::Remembering final : public http::Responder {
 public:
  Remembering(Repeats& repeats, std::string once, std::shared_ptr<http::Responder> inner)
      : repeats_(repeats), once_(std::move(once)), inner_(std::move(inner)) {}

  void respond(http::Response response) override {
    // What failed may be tried again.
    if (response.status < 300) repeats_.keep(once_, response);
    inner_->respond(std::move(response));
  }
  void begin(http::Response head) override { inner_->begin(std::move(head)); }
  bool write(std::string piece) override { return inner_->write(std::move(piece)); }
  void end() override { inner_->end(); }
  void keep_alive(std::string piece, std::chrono::milliseconds silence) override {
    inner_->keep_alive(std::move(piece), silence);
  }
  void on_gone(std::function<void()> callback) override { inner_->on_gone(std::move(callback)); }

 private:
  Repeats& repeats_;
  const std::string once_;
  const std::shared_ptr<http::Responder> inner_;
};

std::shared_ptr<const http::Response> Repeats::find(const std::string& once) {
  const auto now = Clock::now();
  while (!kept_.empty() && (now - kept_.front().at > kTime || kept_.size() > kKeptMax)) {
    kept_.pop_front();
  }
  const auto found = std::ranges::find(kept_, once, &Kept::once);
  return found == kept_.end() ? nullptr : found->response;
}

std::shared_ptr<http::Responder> Repeats::remember(std::string once,
                                                   std::shared_ptr<http::Responder> responder) {
  return std::make_shared<Remembering>(*this, std::move(once), std::move(responder));
}

void Repeats::keep(std::string once, const http::Response& response) {
  kept_.push_back({.once = std::move(once),
                   .at = Clock::now(),
                   .response = std::make_shared<const http::Response>(response)});
}

}  // namespace minke::server
