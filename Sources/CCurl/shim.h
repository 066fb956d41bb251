#pragma once
#include <curl/curl.h>

// curl_easy_setopt and curl_easy_getinfo are variadic, which Swift does not import: one typed setter a kind.
static inline CURLcode imgbuild_curl_set_long(CURL *h, CURLoption o, long v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode imgbuild_curl_set_offset(CURL *h, CURLoption o, curl_off_t v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode imgbuild_curl_set_string(CURL *h, CURLoption o, const char *v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode imgbuild_curl_set_pointer(CURL *h, CURLoption o, void *v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode imgbuild_curl_set_copied_bytes(CURL *h, CURLoption o, void *v, size_t n) {
    struct curl_blob blob = {v, n, CURL_BLOB_COPY};
    return curl_easy_setopt(h, o, &blob);
}
static inline CURLcode imgbuild_curl_set_list(CURL *h, CURLoption o, struct curl_slist *v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode imgbuild_curl_set_data_callback(CURL *h, CURLoption o, size_t (*v)(char *, size_t, size_t, void *)) { return curl_easy_setopt(h, o, v); }
static inline CURLcode imgbuild_curl_set_seek_callback(CURL *h, CURLoption o, int (*v)(void *, curl_off_t, int)) { return curl_easy_setopt(h, o, v); }
static inline CURLcode imgbuild_curl_set_progress_callback(CURL *h, CURLoption o, int (*v)(void *, curl_off_t, curl_off_t, curl_off_t, curl_off_t)) { return curl_easy_setopt(h, o, v); }
static inline CURLcode imgbuild_curl_get_long(CURL *h, CURLINFO i, long *v) { return curl_easy_getinfo(h, i, v); }
static inline CURLcode imgbuild_curl_get_offset(CURL *h, CURLINFO i, curl_off_t *v) { return curl_easy_getinfo(h, i, v); }
static inline CURLcode imgbuild_curl_get_string(CURL *h, CURLINFO i, char **v) { return curl_easy_getinfo(h, i, v); }
static inline CURLSHcode imgbuild_curl_share_data(CURLSH *s, curl_lock_data d) { return curl_share_setopt(s, CURLSHOPT_SHARE, d); }
static inline CURLSHcode imgbuild_curl_share_locks(CURLSH *s, curl_lock_function lock, curl_unlock_function unlock, void *user) {
    CURLSHcode code = curl_share_setopt(s, CURLSHOPT_LOCKFUNC, lock);
    if (code == CURLSHE_OK) code = curl_share_setopt(s, CURLSHOPT_UNLOCKFUNC, unlock);
    if (code == CURLSHE_OK) code = curl_share_setopt(s, CURLSHOPT_USERDATA, user);
    return code;
}
// The bundle that curl was built to use; NULL if there is none.
static inline const char *imgbuild_curl_usual_authorities(void) { return curl_version_info(CURLVERSION_NOW)->cainfo; }
