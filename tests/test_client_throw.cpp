/* SPDX-License-Identifier: MIT */
/* C++ that throws where nobody catches: for a client that runs guarded, that is one more way to raise. What is caught in
 * time is its own affair. */
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include <hostmalloc/hostmalloc.h>

static hm_client_key key;
static int failures;

static void check(bool holds, const char *text)
{
    if (!holds) {
        std::fprintf(stderr, "not so: %s\n", text);
        failures++;
    }
}

static void throws(void *)
{
    (void)hm_client_alloc(key, 10, nullptr, nullptr);
    throw std::runtime_error("nobody is there");
}

static void catches(void *caught)
{
    try {
        throws(nullptr);
    } catch (const std::runtime_error &) {
        *static_cast<bool *>(caught) = true;
    }
}

int main()
{
    hm_runtime_opts opts = {sizeof opts, "thrower", nullptr, "default"};
    hm_client_ending ending = {};
    hm_runtime *rt;
    hm_error err;
    bool caught = false;
    ending.size = sizeof ending;
    if (hm_runtime_open(&opts, &rt, &err) != HM_OK ||
        hm_client_open(rt, nullptr, &key, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    /* What std::terminate would print is of no interest. */
    std::set_terminate(std::abort);
    for (int i = 0; i < 3; i++) {
        check(hm_client_run(key, throws, nullptr, &ending, &err) == HM_OK, "it ran");
        check(ending.how == HM_CLIENT_RAISED, "what it threw is told");
        check(ending.leaks.blocks == 1, "its block is back");
        check(hm_client_run(key, catches, &caught, &ending, &err) == HM_OK, "it ran");
        check(caught && ending.how == HM_CLIENT_RETURNED, "what it caught is not");
        check(hm_client_reclaim(key, nullptr) == HM_OK, "it goes on");
    }
    check(hm_runtime_close(rt, nullptr, &err) == HM_OK, "it closes");
    return failures ? 1 : 0;
}
