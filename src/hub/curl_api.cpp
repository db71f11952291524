#include "hub/curl_api.h"

#include <dlfcn.h>
#include <moraine/error.h>

namespace moraine::hub {
namespace {

constexpr unsigned kLeastVersion = 0x075500;  // CURLOPT_PROTOCOLS_STR

CurlApi open() {
  void* library = nullptr;
  // Built with OpenSSL, or with GnuTLS as Debian names it.
  for (const char* name : {"libcurl.so.4", "libcurl-gnutls.so.4"})
    if (library == nullptr) library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    throw Error(ErrorCode::kNotFound,
                "Fetching a model needs libcurl, which this system lacks. Install it: libcurl4 (Debian, "
                "Ubuntu), libcurl (Fedora), curl "
                "(Arch).");
  const auto find = [library](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(library, name));
    if (function == nullptr)
      throw Error(ErrorCode::kNotFound,
                  std::string("This system's libcurl has no ") + name + ": it is too old.");
  };
  decltype(&::curl_global_init) global_init = nullptr;
  decltype(&::curl_version_info) version_info = nullptr;
  find(global_init, "curl_global_init");
  find(version_info, "curl_version_info");
  if (version_info(CURLVERSION_NOW)->version_num < kLeastVersion)
    throw Error(ErrorCode::kNotFound,
                "This system's libcurl is older than 7.85, which fetching a model needs.");
  if (global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    throw Error(ErrorCode::kInternal, "The network library could not be set up.");
  CurlApi api;
  find(api.easy_init, "curl_easy_init");
  find(api.easy_cleanup, "curl_easy_cleanup");
  find(api.easy_reset, "curl_easy_reset");
  find(api.easy_setopt, "curl_easy_setopt");
  find(api.easy_getinfo, "curl_easy_getinfo");
  find(api.easy_perform, "curl_easy_perform");
  find(api.easy_strerror, "curl_easy_strerror");
  find(api.slist_append, "curl_slist_append");
  find(api.slist_free_all, "curl_slist_free_all");
  find(api.url, "curl_url");
  find(api.url_cleanup, "curl_url_cleanup");
  find(api.url_get, "curl_url_get");
  find(api.url_set, "curl_url_set");
  find(api.free, "curl_free");
  find(api.getdate, "curl_getdate");
  return api;
}

}  // namespace

const CurlApi& curl() {
  static const CurlApi api = open();
  return api;
}

}  // namespace moraine::hub
