/* SPDX-License-Identifier: MIT */
/* The bridge under a real nghttp2, on every host: two sessions that talk, with each allocation failing once. */
#include <hostmalloc/bridges/nghttp2.h>

#include "over_hosts.h"

#define REQUESTS 10

static int on_header(nghttp2_session *session,
                     const nghttp2_frame *frame,
                     const uint8_t *name,
                     size_t name_size,
                     const uint8_t *value,
                     size_t value_size,
                     uint8_t flags,
                     void *context)
{
    uint64_t *const digest = context;
    (void)session;
    (void)frame;
    (void)flags;
    *digest = work_digest(*digest, name, name_size);
    *digest = work_digest(*digest, value, value_size);
    return 0;
}

/* Carries what @p from has to say. @return 0, or nghttp2's error */
static ssize_t carry(nghttp2_session *from, nghttp2_session *to)
{
    for (;;) {
        const uint8_t *bytes;
        ssize_t size = nghttp2_session_mem_send(from, &bytes);
        if (size <= 0) {
            return size;
        }
        size = nghttp2_session_mem_recv(to, bytes, (size_t)size);
        if (size < 0) {
            return size;
        }
    }
}

#define HEADER(name, value)                                                            \
    {                                                                                  \
        (uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1, \
            sizeof(value) - 1, NGHTTP2_NV_FLAG_NONE                                    \
    }

static ssize_t talk(nghttp2_session *client, nghttp2_session *server)
{
    static const nghttp2_nv request[] = {
        HEADER(":method", "GET"), HEADER(":scheme", "https"),
        HEADER(":authority", "hostmalloc.example"),
        HEADER(":path", "/a/path/of/some/length"), HEADER("user-agent", "a test")};
    ssize_t status = nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, NULL, 0);
    if (status == 0) {
        status = nghttp2_submit_settings(server, NGHTTP2_FLAG_NONE, NULL, 0);
    }
    for (int i = 0; status >= 0 && i < REQUESTS; i++) {
        status =
            nghttp2_submit_request(client, NULL, request, COUNT(request), NULL, NULL);
        if (status >= 0) {
            status = carry(client, server);
        }
        if (status >= 0) {
            status = carry(server, client);
        }
    }
    return status;
}

static uint64_t work(hm_malloc *m)
{
    uint64_t digest = WORK_DIGEST;
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *client = NULL, *server = NULL;
    nghttp2_mem mem;
    if (m) {
        mem = hm_nghttp2_mem(m);
    }
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    int status =
        nghttp2_session_client_new3(&client, callbacks, &digest, NULL, m ? &mem : NULL);
    if (status == 0) {
        status = nghttp2_session_server_new3(&server, callbacks, &digest, NULL,
                                             m ? &mem : NULL);
    }
    if (status == 0 && talk(client, server) < 0) {
        digest = 0;
    }
    nghttp2_session_del(client);
    nghttp2_session_del(server);
    nghttp2_session_callbacks_del(callbacks);
    return status == 0 ? digest : 0;
}

static void nghttp2__talks_as_ever(void **state)
{
    (void)state;
    work_everywhere("nghttp2", work, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(nghttp2__talks_as_ever)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
