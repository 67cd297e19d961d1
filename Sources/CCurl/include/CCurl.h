// libcurl for Swift. curl_easy_setopt and curl_easy_getinfo take variable arguments, which Swift
// cannot call, so each argument type has a function of its own here.
#pragma once

#include <curl/curl.h>

typedef size_t (*ccurl_data_callback)(char *data, size_t size, size_t count, void *context);

CURLcode ccurl_set_long(CURL *handle, CURLoption option, long value);
/// For strings, lists, buffers and the callbacks' context.
CURLcode ccurl_set_pointer(CURL *handle, CURLoption option, const void *value);
CURLcode ccurl_set_callback(CURL *handle, CURLoption option, ccurl_data_callback callback);
CURLcode ccurl_get_offset(CURL *handle, CURLINFO info, curl_off_t *value);
