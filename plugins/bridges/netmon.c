/* SPDX-License-Identifier: MIT */
/* Network Monitor experts: their calls are a client's calls, their runs a client's runs. */
#include <hostmalloc/bridges/netmon.h>

#include <string.h>

#define STANDARD_ERROR 2

enum { SITE_ALLOC, SITE_REALLOC, SITE_FREE };

/* Who asks, when no line of source came along. */
static hm_site sites[] = {{"netmon:ExpertAllocMemory", NULL, 0, 0},
                          {"netmon:ExpertReallocMemory", NULL, 0, 0},
                          {"netmon:ExpertFreeMemory", NULL, 0, 0}};

static hm_client_key key_of(HEXPERTKEY key)
{
    return (hm_client_key)key;
}

DWORD hm_netmon_error(hm_status status)
{
    static const struct {
        hm_status status;
        DWORD error;
    } codes[] = {{HM_OK, NMERR_SUCCESS},
                 {HM_E_CORRUPT, NMERR_SUCCESS}, /* it was the caller's, and is taken */
                 {HM_E_NOMEM, NMERR_OUT_OF_MEMORY},
                 {HM_E_CLOSED, NMERR_EXPERT_TERMINATE},
                 {HM_E_NOT_FOUND, NMERR_INVALID_EXPERT_HANDLE},
                 {HM_E_UNSUPPORTED, NMERR_NOT_SUPPORTED}};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i].status == status) {
            return codes[i].error;
        }
    }
    return NMERR_INVALID_PARAMETER;
}

void *hm_netmon_alloc_at(HEXPERTKEY key, SIZE_T bytes, DWORD *error, hm_site *site)
{
    hm_status status;
    void *block =
        hm_client_alloc(key_of(key), bytes, site ? site : &sites[SITE_ALLOC], &status);
    if (error) {
        *error = hm_netmon_error(status);
    }
    return block;
}

void *hm_netmon_realloc_at(
    HEXPERTKEY key, void *block, SIZE_T bytes, DWORD *error, hm_site *site)
{
    hm_status status;
    void *moved = hm_client_realloc(key_of(key), block, bytes,
                                    site ? site : &sites[SITE_REALLOC], &status);
    if (error) {
        *error = hm_netmon_error(status);
    }
    return moved;
}

DWORD hm_netmon_free_at(HEXPERTKEY key, void *block, hm_site *site)
{
    return hm_netmon_error(
        hm_client_free(key_of(key), block, site ? site : &sites[SITE_FREE]));
}

void *WINAPI hm_netmon_alloc(HEXPERTKEY key, SIZE_T bytes, DWORD *error)
{
    return hm_netmon_alloc_at(key, bytes, error, NULL);
}

void *WINAPI hm_netmon_realloc(HEXPERTKEY key, void *block, SIZE_T bytes, DWORD *error)
{
    return hm_netmon_realloc_at(key, block, bytes, error, NULL);
}

DWORD WINAPI hm_netmon_free(HEXPERTKEY key, void *block)
{
    return hm_netmon_free_at(key, block, NULL);
}

SIZE_T WINAPI hm_netmon_size(HEXPERTKEY key, void *block)
{
    size_t bytes = 0;
    (void)hm_client_size(key_of(key), block, &bytes);
    return bytes;
}

hm_status
hm_netmon_open(hm_runtime *rt, const hm_netmon_opts *opts, HEXPERTKEY *out, hm_error *err)
{
    hm_client_opts client = {.size = sizeof client, .name = "expert"};
    hm_client_key key;
    if (!out) {
        return hm_error_set(err, HM_E_INVALID, "bridge:netmon", "out is NULL");
    }
    *out = NULL;
    if (opts && !HM_HAS(opts, hm_netmon_opts, name)) {
        return hm_error_set(err, HM_E_INVALID, "bridge:netmon",
                            "hm_netmon_opts.size is %zu, expected %zu", opts->size,
                            sizeof *opts);
    }
    if (opts) {
        client.name = opts->name ? opts->name : client.name;
        client.budget = HM_HAS(opts, hm_netmon_opts, budget) ? opts->budget : 0;
    }
    const hm_status status = hm_client_open(rt, &client, &key, err);
    *out = (HEXPERTKEY)key;
    return status;
}

hm_status hm_netmon_close(HEXPERTKEY key, hm_leaks *leaks, hm_error *err)
{
    return hm_client_close(key_of(key), leaks, err);
}

hm_status hm_netmon_terminate(HEXPERTKEY key)
{
    return hm_client_stop(key_of(key));
}

hm_status hm_netmon_kill(HEXPERTKEY key)
{
    return hm_client_kill(key_of(key));
}

/* One call of an expert's entry, on its own thread. */
typedef struct call {
    HEXPERTKEY key;
    PEXPERTRUNPROC run; /* one of these two */
    PEXPERTCONFIGPROC configure;
    PEXPERTCONFIG config; /* of run, and what configure is shown and answers */
    PEXPERTSTARTUPINFO startup;
    DWORD flags;
    HWND window;
    BOOL answer;
} call;

static void enter(void *context)
{
    call *c = context;
    c->answer = c->run
                    ? c->run(c->key, c->config, c->startup, c->flags, c->window)
                    : c->configure(c->key, &c->config, c->startup, c->flags, c->window);
}

static void aborted(hm_netmon_result *told, uint32_t substatus)
{
    told->status = EXPERTSTATUS_ABORTED;
    told->substatus = substatus;
}

/* Runs c, says how it went, and reclaims nothing from an expert that returned. */
static hm_status run_call(call *c, hm_netmon_result *told, hm_error *err)
{
    hm_client_ending ending = {.size = sizeof ending};
    hm_status status = hm_client_state(key_of(c->key));
    if (status == HM_E_NOT_FOUND) {
        return hm_error_set(err, status, "bridge:netmon", "no expert has this key");
    }
    if (status == HM_E_CLOSED || (!c->run && !c->configure)) {
        aborted(told, status == HM_E_CLOSED ? EXPERTSUBSTATUS_ABORTED_USER
                                            : EXPERTSUBSTATUS_ABORTED_BAD_ENTRY);
        return HM_OK;
    }
    ending.leaks.size = sizeof ending.leaks;
    status = hm_client_run(key_of(c->key), enter, c, &ending, err);
    if (status == HM_E_OS || status == HM_E_NOMEM) {
        aborted(told, EXPERTSUBSTATUS_ABORTED_THREAD_FAIL);
        return HM_OK;
    }
    if (status != HM_OK) {
        return status;
    }
    told->how = ending.how;
    told->code = ending.code;
    told->leaks = ending.leaks;
    if (hm_client_state(key_of(c->key)) == HM_E_CLOSED) {
        /* What it answers when it was told to stop says nothing. */
        aborted(told, EXPERTSUBSTATUS_ABORTED_USER);
    } else if (ending.how != HM_CLIENT_RETURNED) {
        aborted(told, 0);
    } else {
        told->status = c->answer ? EXPERTSTATUS_DONE : EXPERTSTATUS_PROBLEM;
    }
    return HM_OK;
}

/* After a call that returned: free what is left. */
static void clean_up(HEXPERTKEY key, hm_netmon_result *told)
{
    if (told->how == HM_CLIENT_RETURNED) {
        told->leaks.size = sizeof told->leaks;
        hm_client_reclaim(key_of(key), &told->leaks);
    }
}

static void give_result(hm_netmon_result *out, const hm_netmon_result *told)
{
    if (out) {
        const size_t size = out->size;
        memcpy(out, told, size < sizeof *told ? size : sizeof *told);
        out->size = size;
    }
}

static hm_status check_result(const hm_netmon_result *result, hm_error *err)
{
    return !result || result->size >= sizeof result->size
               ? HM_OK
               : hm_error_set(err, HM_E_INVALID, "bridge:netmon",
                              "hm_netmon_result.size is not set");
}

hm_status hm_netmon_run(HEXPERTKEY key,
                        PEXPERTRUNPROC run,
                        PEXPERTCONFIG config,
                        PEXPERTSTARTUPINFO startup,
                        DWORD flags,
                        HWND window,
                        hm_netmon_result *result,
                        hm_error *err)
{
    hm_netmon_result told = {.size = sizeof told};
    call c = {.key = key,
              .run = run,
              .config = config,
              .startup = startup,
              .flags = flags,
              .window = window};
    hm_status status = check_result(result, err);
    if (status == HM_OK) {
        status = run_call(&c, &told, err);
    }
    if (status != HM_OK) {
        return status;
    }
    if (told.status == EXPERTSTATUS_DONE) {
        hm_client_report(key_of(key), "expert", "returned", STANDARD_ERROR);
    }
    clean_up(key, &told);
    give_result(result, &told);
    return HM_OK;
}

/* A copy of config under another key: its block, as long as it says it is. */
static hm_status copy_config(HEXPERTKEY from,
                             PEXPERTCONFIG config,
                             HEXPERTKEY to,
                             PEXPERTCONFIG *out,
                             hm_error *err)
{
    size_t bytes;
    hm_status status = hm_client_size(key_of(from), config, &bytes);
    if (status != HM_OK) {
        return hm_error_set(err, HM_E_INVALID, "bridge:netmon",
                            "the configuration is no block of its key");
    }
    if (bytes < sizeof config->RawConfigLength || config->RawConfigLength > bytes ||
        config->RawConfigLength < sizeof config->RawConfigLength) {
        return hm_error_set(
            err, HM_E_INVALID, "bridge:netmon",
            "a configuration of %llu bytes in a block of %zu",
            bytes < sizeof(DWORD) ? 0ull : (unsigned long long)config->RawConfigLength,
            bytes);
    }
    *out = hm_client_alloc(key_of(to), bytes, &sites[SITE_ALLOC], &status);
    if (!*out) {
        return hm_error_set(err, status, "bridge:netmon",
                            "no memory to keep a configuration of %zu bytes", bytes);
    }
    memcpy(*out, config, bytes);
    return HM_OK;
}

/* The expert said that there is one. */
static hm_status
keep_config(const call *c, HEXPERTKEY keeper, PEXPERTCONFIG *config, hm_error *err)
{
    PEXPERTCONFIG kept;
    if (!c->config) {
        return HM_OK; /* the user thought better of it */
    }
    const hm_status status = copy_config(c->key, c->config, keeper, &kept, err);
    if (status == HM_OK) {
        hm_client_free(key_of(keeper), *config, NULL);
        *config = kept;
    }
    return status;
}

hm_status hm_netmon_configure(HEXPERTKEY key,
                              HEXPERTKEY keeper,
                              PEXPERTCONFIGPROC configure,
                              PEXPERTCONFIG *config,
                              PEXPERTSTARTUPINFO startup,
                              DWORD flags,
                              HWND window,
                              hm_netmon_result *result,
                              hm_error *err)
{
    hm_netmon_result told = {.size = sizeof told};
    call c = {.key = key,
              .configure = configure,
              .startup = startup,
              .flags = flags,
              .window = window};
    hm_status status = check_result(result, err);
    if (status == HM_OK && (!config || key == keeper)) {
        status =
            hm_error_set(err, HM_E_INVALID, "bridge:netmon", "%s",
                         config ? "the expert's key keeps nothing" : "config is NULL");
    }
    if (status == HM_OK && hm_client_state(key_of(keeper)) == HM_E_NOT_FOUND) {
        status = hm_error_set(err, HM_E_NOT_FOUND, "bridge:netmon",
                              "the keeper's key is unknown");
    }
    if (status == HM_OK && *config && hm_client_state(key_of(key)) == HM_OK) {
        status = copy_config(keeper, *config, key, &c.config, err);
    }
    if (status == HM_OK) {
        status = run_call(&c, &told, err);
    }
    if (status != HM_OK) {
        return status;
    }
    if (told.status == EXPERTSTATUS_DONE) {
        status = keep_config(&c, keeper, config, err);
        /* Handed over, so nothing that was left. */
        hm_client_free(key_of(key), status == HM_OK ? c.config : NULL, NULL);
    }
    clean_up(key, &told);
    give_result(result, &told);
    return status;
}
