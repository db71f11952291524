// What went wrong, as the error that one generation or request ends with: nothing may end the engine's
// thread.
#pragma once

#include <fmt/format.h>
#include <moraine/error.h>

#include <new>
#include <optional>

namespace moraine::engine {

inline Error device_lost() {
  return Error(ErrorCode::kDeviceLost, "The device was lost while this ran; the request can be sent again.");
}

// What f threw.
template <class F>
std::optional<Error> trouble_of(F&& f) {
  try {
    f();
    return std::nullopt;
  } catch (const Error& e) {
    return e;
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kOutOfMemory,
                 "The system has no memory left for this generation; free some and send it again.");
  } catch (const std::exception& e) {
    return Error(ErrorCode::kInternal, fmt::format("The generation failed: {}.", e.what()));
  }
}

}  // namespace moraine::engine
