/* SPDX-License-Identifier: MIT */
/* The limit layer: a budget of requested bytes over any host, with the three levels of hm_level.
 *
 * Budgets nest: a malloc's own (malloc= or hm_malloc_opts.limit), the host's (soft, hard, reserve), and the
 * process's, which all limit layers with process= share. This file opens and asks; limit_malloc.c is the
 * way of a block, limit_budget.c the counting, limit_pressure.c what happens at the lines. */
#include "limit_internal.h"

static const hm_core *core;
static hm_host_vtbl host_vtbl;

/* Shared by the layers that were opened with process=; the lowest line given holds. */
static limit_budget process_budget;

static limit_host *host_from(void *self)
{
    return (limit_host *)self; /* layer is the first member, base is its first */
}

static hm_status questions_read(void *self, hm_limit_lines *lines, hm_limit_use *use)
{
    limit_host *host = host_from(self);
    if (lines && HM_HAS(lines, hm_limit_lines, reserve)) {
        lines->soft = hm__limit_load(&host->budget.soft);
        lines->hard = hm__limit_load(&host->budget.hard);
        lines->reserve = hm__limit_load(&host->budget.reserve);
    }
    if (use && HM_HAS(use, hm_limit_use, pressure)) {
        use->live = hm__limit_load(&host->budget.live);
        use->peak = hm__limit_load(&host->budget.peak);
        use->denied = hm__limit_load(&host->budget.denied);
        use->failed = hm__limit_load(&host->failed);
        use->reserve_ready =
            __atomic_load_n(&host->reserve_state, __ATOMIC_ACQUIRE) == RESERVE_READY;
        use->pressure = __atomic_load_n(&host->pressure, __ATOMIC_RELAXED);
    }
    return HM_OK;
}

static int lines_are_good(uint64_t soft, uint64_t hard, uint64_t reserve)
{
    return !(hard && soft > hard) && !(reserve && !hard);
}

static hm_status questions_move(void *self, const hm_limit_lines *lines)
{
    limit_host *host = host_from(self);
    if (!lines || !HM_HAS(lines, hm_limit_lines, reserve) ||
        !lines_are_good(lines->soft, lines->hard, lines->reserve)) {
        return HM_E_INVALID;
    }
    hm__limit_reserve_give(core, host);
    __atomic_store_n(&host->budget.soft, lines->soft, __ATOMIC_RELAXED);
    __atomic_store_n(&host->budget.hard, lines->hard, __ATOMIC_RELAXED);
    __atomic_store_n(&host->budget.reserve, lines->reserve, __ATOMIC_RELAXED);
    hm__limit_reserve_take(core, host);
    return HM_OK;
}

static hm_status limit_find(hm_host *self, const char *name, void **out)
{
    static const char own[] = "limit";
    size_t i = 0;
    while (name && out && i < sizeof own && name[i] == own[i]) {
        if (own[i++] == '\0') {
            *out = &host_from(self)->questions;
            return HM_OK;
        }
    }
    return core->host_forward->find(self, name, out);
}

static hm_status limit_subscribe(hm_host *self, hm_notify *notify, void *context)
{
    return core->subscribers_add(&host_from(self)->subscribers, notify, context);
}

static hm_status limit_unsubscribe(hm_host *self, hm_notify *notify, void *context)
{
    return core->subscribers_remove(&host_from(self)->subscribers, notify, context);
}

/* Of what this budget leaves; without a hard line, of what is underneath. */
static hm_status limit_memory_load(hm_host *self, uint32_t *percent, size_t *available)
{
    limit_host *host = host_from(self);
    const uint64_t hard = hm__limit_load(&host->budget.hard);
    const uint64_t live = hm__limit_load(&host->budget.live);
    const hm_status status = hm_host_memory_load(host->layer.inner, percent, available);
    if (status != HM_OK || !hard) {
        return status;
    }
    const uint64_t left = live < hard ? hard - live : 0;
    const uint64_t used = live < hard ? live : hard;
    *percent = (uint32_t)(hard >= 100 ? used / (hard / 100) : used * 100 / hard);
    *percent = *percent > 100 ? 100 : *percent;
    *available = left < *available ? (size_t)left : *available;
    return HM_OK;
}

static void limit_release(hm_host *self)
{
    limit_host *host = host_from(self);
    if (__atomic_sub_fetch(&host->layer.references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    hm__limit_reserve_give(core, host);
    host->layer.references = 1; /* alone: the ready-made release does the rest */
    core->host_forward->release(self);
}

static void lower_line(uint64_t *line, uint64_t wanted)
{
    uint64_t now = hm__limit_load(line);
    while ((now == 0 || wanted < now) &&
           !__atomic_compare_exchange_n(line, &now, wanted, 0, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
}

static hm_status
limit_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    const uint64_t soft = core->option_number(values, "soft");
    const uint64_t hard = core->option_number(values, "hard");
    const uint64_t reserve = core->option_number(values, "reserve");
    const uint64_t process = core->option_number(values, "process");
    *out = NULL;
    if (!lines_are_good(soft, hard, reserve)) {
        return core->error_set(
            err, HM_E_INVALID, "layer:limit", "soft=%llu hard=%llu reserve=%llu, %s",
            (unsigned long long)soft, (unsigned long long)hard,
            (unsigned long long)reserve,
            hard ? "expected soft not above hard" : "a reserve needs a hard line");
    }
    limit_host *host = core->memory_alloc(sizeof *host);
    if (!host) {
        return core->error_set(err, HM_E_NOMEM, "layer:limit",
                               "no private memory for the layer");
    }
    hm_layer_host_init(&host->layer, &host_vtbl, inner, sizeof *host);
    host->budget.soft = soft;
    host->budget.hard = hard;
    host->budget.reserve = reserve;
    host->per_malloc = core->option_number(values, "malloc");
    host->pressure = HM_PRESSURE_HIGH;
    host->questions = (hm_limit){sizeof(hm_limit), host, questions_read, questions_move};
    if (process) {
        lower_line(&process_budget.hard, process);
        __atomic_store_n(&process_budget.nested, 1, __ATOMIC_RELEASE);
        host->budget.parent = &process_budget;
    }
    hm__limit_reserve_take(core, host);
    *out = &host->layer.base;
    return HM_OK;
}

#define BYTES_OPTION(option_name, text)                                          \
    {                                                                            \
        .size = sizeof(hm_option), .name = option_name, .type = HM_OPTION_BYTES, \
        .fallback = "0", .help = text                                            \
    }
static const hm_option options[] = {
    BYTES_OPTION("soft", "a task's allocations stop here; 0: at the hard line"),
    BYTES_OPTION("hard", "a domain's allocations stop here; 0: nowhere"),
    BYTES_OPTION("reserve", "beyond hard, for the process only; touched in advance"),
    BYTES_OPTION("malloc", "hard line of each malloc of this host; 0: none"),
    BYTES_OPTION("process",
                 "shared by all limit layers that give it, lowest holds; 0: none"),
};
static const hm_option *const option_list[] = {&options[0], &options[1], &options[2],
                                               &options[3], &options[4]};

static const hm_host_info info = {
    .size = sizeof(hm_host_info),
    .abi = HM_ABI,
    .kind = HM_KIND_LAYER,
    .name = "limit",
    .summary =
        "budgets of requested bytes: soft, hard and reserve, for malloc, host, process",
    .version = HM_VERSION,
    .options = option_list,
    .option_count = sizeof option_list / sizeof option_list[0],
    .open = limit_open,
};
static const hm_host_info *const infos[] = {&info};

HM_MODULE_EXPORT hm_status hm_module_describe(const hm_core *from,
                                              const hm_host_info *const **list,
                                              size_t *count)
{
    if (from->abi >> 16 != HM_ABI_MAJOR) {
        return HM_E_ABI;
    }
    if (!core) {
        core = from;
        hm__limit_tables(core);
        hm__limit_budgets_begin(core);
        host_vtbl = *core->host_forward;
        host_vtbl.release = limit_release;
        host_vtbl.create_malloc = hm__limit_create_malloc;
        host_vtbl.memory_load = limit_memory_load;
        host_vtbl.subscribe = limit_subscribe;
        host_vtbl.unsubscribe = limit_unsubscribe;
        host_vtbl.find = limit_find;
    }
    *list = infos;
    *count = 1;
    return HM_OK;
}
