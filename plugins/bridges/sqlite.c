/* SPDX-License-Identifier: MIT */
/* The SQLite bridge: the seven functions of sqlite3_mem_methods over one malloc. */
#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/sqlite.h>

#include <limits.h>

#include "hook_internal.h"

/* SQLite's own, which never change. */
#define SQLITE_OK        0
#define CONFIG_MALLOC    4
#define CONFIG_GETMALLOC 5

typedef struct methods {
    void *(*xMalloc)(int bytes);
    void (*xFree)(void *block);
    void *(*xRealloc)(void *block, int bytes);
    int (*xSize)(void *block);
    int (*xRoundup)(int bytes);
    int (*xInit)(void *data);
    void (*xShutdown)(void *data);
    void *pAppData;
} methods;

typedef int config_function(int option, ...);

static hm__hook hook = {.name = "sqlite", .where = "bridge:sqlite"};
static hm_site block_site = {"sqlite:block", NULL, 0, 0};
static config_function *config;
static uint32_t
    running; /* atomic: between xInit and xShutdown, when the methods cannot be changed */

static void *take(int bytes)
{
    if (bytes <= 0) {
        return NULL;
    }
    return hm_alloc_at(hook.m, (size_t)bytes, HM_LEVEL_CURRENT,
                       hm__hook_site(&hook, &block_site, HM__CALLER()));
}

static void give_back(void *block)
{
    hm__hook_free(&hook, block, &block_site);
}

static void *resize(void *block, int bytes)
{
    if (bytes <= 0) {
        return NULL;
    }
    return hm_realloc_at(hook.m, block, HM_SIZE_UNKNOWN, (size_t)bytes, HM_LEVEL_CURRENT,
                         NULL);
}

static int size_of(void *block)
{
    const size_t bytes = hm_size_of(hook.m, block);
    return bytes < INT_MAX ? (int)bytes : INT_MAX;
}

/* A multiple of 8, as the file format's authors ask for; the malloc's own steps are no finer above tiny sizes. */
static int round_up(int bytes)
{
    const size_t good = hm_good_size(hook.m, bytes > 0 ? (size_t)bytes : 1);
    return good < INT_MAX - 7 ? (int)((good + 7) & ~(size_t)7) : bytes;
}

static int start(void *data)
{
    (void)data;
    __atomic_store_n(&running, 1, __ATOMIC_RELEASE);
    return SQLITE_OK;
}

static void stop(void *data)
{
    (void)data;
    __atomic_store_n(&running, 0, __ATOMIC_RELEASE);
}

static const methods ours = {take,     give_back, resize, size_of,
                             round_up, start,     stop,   NULL};

/* The methods in use are not SQLite's own. It answers its own when it has none, and is left with what it had. */
static int is_taken(void)
{
    methods now = {0};
    methods own = {0};
    config(CONFIG_GETMALLOC, &now);
    config(CONFIG_MALLOC, &own);
    config(CONFIG_GETMALLOC, &own);
    if (now.xMalloc == own.xMalloc) {
        return 0;
    }
    config(CONFIG_MALLOC, &now);
    return 1;
}

static hm_status install(const hm_bridge_opts *opts, hm_error *err)
{
    methods now;
    const hm_status status = hm__hook_begin(&hook, opts, err);
    if (status != HM_OK) {
        return status;
    }
    void *const found = hm__hook_need(&hook, opts, "sqlite3_config", err);
    if (!found) {
        return HM_E_NOT_FOUND;
    }
    config = HM__FUNCTION(config_function *, found);
    if (config(CONFIG_GETMALLOC, &now) != SQLITE_OK) {
        return hm__hook_refuse(&hook, HM_E_STARTED, err,
                               "SQLite is initialised already; install before the first "
                               "sqlite3_open, or after sqlite3_shutdown");
    }
    if (!(opts->flags & HM_BRIDGE_REPLACE) && is_taken()) {
        return hm__hook_refuse(&hook, HM_E_NOT_OWNED, err,
                               "the program has set its own sqlite3_mem_methods");
    }
    config(CONFIG_MALLOC, &ours);
    return HM_OK;
}

hm_status hm_sqlite_verify(const hm_site **first, hm_error *err)
{
    methods now = {0};
    const hm_status status = hm__hook_verify(&hook, first, err);
    if (status != HM_OK || __atomic_load_n(&running, __ATOMIC_ACQUIRE)) {
        return status;
    }
    if (config(CONFIG_GETMALLOC, &now) == SQLITE_OK && now.xMalloc == take) {
        return HM_OK;
    }
    return hm_error_set(err, HM_E_NOT_OWNED, hook.where,
                        "somebody set other sqlite3_mem_methods since");
}

const hm_bridge hm_sqlite_bridge = {sizeof(hm_bridge), "sqlite", "sqlite3_config",
                                    install, hm_sqlite_verify};
