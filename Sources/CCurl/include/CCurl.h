// libcurl for Swift. curl_easy_setopt and curl_easy_getinfo take variable arguments, which Swift
// cannot call, so each argument type has a function of its own here.
#pragma once

#include <curl/curl.h>

typedef size_t (*ccurl_data_callback)(char *data, size_t size, size_t count, void *context);

CURLcode ccurl_set_long(CURL *handle, CURLoption option, long value);
CURLcode ccurl_set_string(CURL *handle, CURLoption option, const char *value);
CURLcode ccurl_set_list(CURL *handle, CURLoption option, struct curl_slist *value);

/// The body sent with the request: libcurl copies the bytes.
CURLcode ccurl_set_body(CURL *handle, const void *bytes, long long count);

/// A buffer of CURL_ERROR_SIZE bytes that outlives the transfer, or NULL.
CURLcode ccurl_set_error_buffer(CURL *handle, char *buffer);

CURLcode ccurl_set_write_callback(CURL *handle, ccurl_data_callback callback, void *context);
CURLcode ccurl_set_header_callback(CURL *handle, ccurl_data_callback callback, void *context);

CURLcode ccurl_get_offset(CURL *handle, CURLINFO info, long long *value);
