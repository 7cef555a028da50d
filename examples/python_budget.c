/* SPDX-License-Identifier: MIT */
/* Python with a budget for each of its domains: what is too much for one is a MemoryError, and the script goes on. */
#include <Python.h>

#include <hostmalloc/bridges/cpython.h>
#include <hostmalloc/hostmalloc.h>

#define MIB ((size_t)1 << 20)

static const char script[] = "try:\n"
                             "    text = 'x' * (40 << 20)\n"
                             "except MemoryError:\n"
                             "    print('objects: a text of 40 MiB is too much')\n"
                             "try:\n"
                             "    many = [0] * (4 << 20)\n"
                             "except MemoryError:\n"
                             "    print('buffers: a list of 4 million is too much')\n"
                             "print('and on:', sum(range(1000)))\n";

int main(void)
{
    static const struct {
        const char *name;
        size_t limit;
    } budgets[HM_CPYTHON_DOMAINS] = {
        {"raw", 8 * MIB}, {"buffers", 8 * MIB}, {"objects", 32 * MIB}};
    hm_malloc *m[HM_CPYTHON_DOMAINS];
    hm_host *host;
    hm_error err;
    if (hm_host_open(NULL, &host, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    for (unsigned i = 0; i < HM_CPYTHON_DOMAINS; i++) {
        const hm_malloc_opts opts = {.size = sizeof(opts),
                                     .name = budgets[i].name,
                                     .flags = HM_MALLOC_THREADSAFE,
                                     .limit = budgets[i].limit};
        if (hm_host_create_malloc_opts(host, &opts, &m[i], &err) != HM_OK) {
            hm_error_print(&err);
            return 1;
        }
    }
    if (hm_cpython_install(m[HM_CPYTHON_RAW], m[HM_CPYTHON_MEM], m[HM_CPYTHON_OBJ],
                           &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    Py_InitializeEx(0);
    PyRun_SimpleString(script);
    for (unsigned i = 0; i < HM_CPYTHON_DOMAINS; i++) {
        hm_stats stats;
        if (hm_malloc_stats(m[i], &stats) == HM_OK) {
            PySys_WriteStdout("%s: %s, %s\n", budgets[i].name,
                              stats.denied ? "denied" : "never denied",
                              stats.peak_bytes <= budgets[i].limit ? "kept" : "exceeded");
        }
    }
    return Py_FinalizeEx() < 0; /* Python keeps some blocks, and with them the mallocs */
}

/* $ python_budget
 * objects: a text of 40 MiB is too much
 * buffers: a list of 4 million is too much
 * and on: 499500
 * raw: never denied, kept
 * buffers: denied, kept
 * objects: denied, kept
 */
