/* SPDX-License-Identifier: MIT */
/* The fault layer: refuses chosen allocations, so that what a program does without memory can be seen.
 *
 * A refusal comes before anything has happened. Nobody is notified of it: a subscriber that gave something back
 * would undo it. A realloc that shrinks is no allocation. */
#include "fault_internal.h"

#include <string.h>

typedef struct fault_host {
    hm_layer_host layer;
    fault_plan *plan; /* atomic */
    hm_lock lock;     /* guards changing the plan */
    int wants_sites;  /* a site pattern was given when it was opened */
    int is_copy;      /* of a fork made here: makes no further ones */
    hm_fault questions;
} fault_host;

typedef struct fault_malloc {
    hm_layer_malloc layer;
    uint64_t denied; /* atomic */
} fault_malloc;

static const hm_core *core;
static hm_malloc_vtbl malloc_vtbl;
static hm_host_vtbl host_vtbl;

/* How deep this thread is in benign brackets, kept in the key's pointer itself. */
static uint32_t benign_key;
static int benign_key_made;

static fault_host *host_from(void *self)
{
    return (fault_host *)self; /* layer is the first member, base is its first */
}

static hm_malloc *inner_of(hm_malloc *self)
{
    return ((hm_layer_malloc *)self)->inner;
}

static const hm_malloc_vtbl *table_of(const hm_malloc *m)
{
    return HM_LOAD(m->vtbl);
}

static int is_benign(void)
{
    return benign_key_made && core->thread_get(benign_key) != NULL;
}

/* The copy goes on with this allocation refused; the original waits, then goes on as if nothing had been. */
static int
explore(fault_host *host, fault_plan *plan, uint64_t number, const hm_site *site)
{
    char place[256], line[400];
    int outcome = 0;
    const int side = core->fork_run(&outcome);
    if (side == 1) {
        host->is_copy = 1;
        return 1;
    }
    if (side == 0) {
        __atomic_fetch_add(&plan->copies, 1, __ATOMIC_RELAXED);
        if (outcome >= 256) {
            hm_error err; /* for its formatter: nothing here may allocate */
            __atomic_fetch_add(&plan->copies_died, 1, __ATOMIC_RELAXED);
            core->site_text(site, 1, place, sizeof place);
            core->error_set(&err, HM_E_NOMEM, "fault",
                            "signal %d after allocation %llu at %.100s failed",
                            outcome - 256, (unsigned long long)number, place);
            size_t length = strlen(err.what);
            memcpy(line, "hostmalloc: fault: ", 19);
            memcpy(line + 19, err.what, length);
            line[19 + length] = '\n';
            core->write(2, line, 20 + length);
        }
    }
    return 0;
}

/* 1 when this allocation is to be refused. */
static int refuses(hm_malloc *self, size_t size, hm_level level, const hm_site *site)
{
    fault_host *host = host_from(((hm_layer_malloc *)self)->host);
    fault_plan *plan = __atomic_load_n(&host->plan, __ATOMIC_ACQUIRE);
    if (!plan || is_benign() || !hm__fault_applies(core, plan, size, level, site)) {
        return 0;
    }
    const uint64_t number = __atomic_add_fetch(&plan->counted, 1, __ATOMIC_RELAXED);
    int chosen = hm__fault_chosen(plan, number);
    if (plan->persistent && __atomic_load_n(&plan->failed, __ATOMIC_RELAXED) > 0) {
        chosen = 1;
    }
    if (!chosen && plan->fork && !host->is_copy) {
        chosen = explore(host, plan, number, site);
    }
    if (!chosen) {
        return 0;
    }
    __atomic_fetch_add(&plan->failed, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&plan->last_failed, number, __ATOMIC_RELAXED);
    __atomic_store_n(&plan->last_site, site, __ATOMIC_RELAXED);
    __atomic_fetch_add(&((fault_malloc *)self)->denied, 1, __ATOMIC_RELAXED);
    return 1;
}

static void *fault_alloc(hm_malloc *self, size_t size, hm_level level)
{
    hm_malloc *inner = inner_of(self);
    return refuses(self, size, level, NULL)
               ? NULL
               : (table_of(inner)->alloc)(inner, size, level);
}

/* An object shows HM_MALLOC_DEBUG for the sites' sake also over an unchecked host, which ignores them. */
static void *
fault_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    hm_malloc *inner = inner_of(self);
    return refuses(self, size, level, site)
               ? NULL
               : table_of(inner)->debug_alloc(inner, size, level, site);
}

/* 1: asks for more than the block has. A pointer that is no block of a checking malloc is for that to judge, and
   sizes are only asked of blocks. */
static int grows(hm_malloc *inner, void *block, size_t old_size, size_t size)
{
    if (block && inner->flags & HM_MALLOC_DEBUG && hm_owns(inner, block) != 1) {
        return 0;
    }
    return !block ||
           size > (old_size == HM_SIZE_UNKNOWN ? hm_size_of(inner, block) : old_size);
}

static void *fault_realloc(hm_malloc *self,
                           void *block,
                           size_t old_size,
                           size_t size,
                           hm_level level,
                           hm_site *site)
{
    hm_malloc *inner = inner_of(self);
    if (grows(inner, block, old_size, size) && refuses(self, size, level, site)) {
        return NULL;
    }
    return hm_realloc_at(inner, block, old_size, size, level, site);
}

static void *fault_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) ||
        refuses(self, bytes, level, site)) {
        return NULL;
    }
    return hm_alloc_zeroed_at(inner_of(self), count, size, level, site);
}

static void *fault_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    return refuses(self, size, level, site)
               ? NULL
               : hm_alloc_aligned_at(inner_of(self), size, alignment, level, site);
}

/* What is wrong with a request the object underneath says itself. */
static hm_status fault_request(hm_malloc *self, const hm_request *request, void **out)
{
    hm_malloc *inner = inner_of(self);
    if (request && out && HM_HAS(request, hm_request, site) &&
        grows(inner, request->block, request->old_bytes, request->bytes) &&
        refuses(self, request->bytes, request->level, request->site)) {
        *out = NULL;
        return HM_E_NOMEM;
    }
    return hm_malloc_request(inner, request, out);
}

static hm_status fault_stats(hm_malloc *self, hm_stats *out)
{
    hm_malloc *inner = inner_of(self);
    const hm_status status = table_of(inner)->stats(inner, out);
    if (status == HM_OK && HM_HAS(out, hm_stats, failed)) {
        const uint64_t denied =
            __atomic_load_n(&((fault_malloc *)self)->denied, __ATOMIC_RELAXED);
        out->denied += denied;
        out->failed += denied;
    }
    return status;
}

static hm_status fault_malloc_find(hm_malloc *self, const char *name, void **out)
{
    if (name && out && strcmp(name, "fault") == 0) {
        *out = &host_from(((hm_layer_malloc *)self)->host)->questions;
        return HM_OK;
    }
    return hm_malloc_find(inner_of(self), name, out);
}

static hm_status fault_host_find(hm_host *self, const char *name, void **out)
{
    if (name && out && strcmp(name, "fault") == 0) {
        *out = &host_from(self)->questions;
        return HM_OK;
    }
    return core->host_forward->find(self, name, out);
}

static hm_status set_rule(fault_host *host, const hm_fault_rule *rule, hm_error *err)
{
    if (!rule || !HM_HAS(rule, hm_fault_rule, fork)) {
        return core->error_set(err, HM_E_INVALID, "layer:fault",
                               "the rule is NULL or short");
    }
    fault_plan *plan = core->memory_alloc(sizeof *plan);
    if (!plan) {
        return core->error_set(err, HM_E_NOMEM, "layer:fault",
                               "no private memory for a rule");
    }
    const hm_status status = hm__fault_plan_read(core, rule, plan, err);
    if (status != HM_OK) {
        core->memory_free(plan, sizeof *plan);
        return status;
    }
    core->lock(&host->lock);
    plan->before = host->plan;
    __atomic_store_n(&host->plan, plan, __ATOMIC_RELEASE);
    core->unlock(&host->lock);
    return HM_OK;
}

static hm_status questions_set(void *self, const hm_fault_rule *rule)
{
    return set_rule(host_from(self), rule, NULL);
}

static hm_status questions_count(void *self, hm_fault_count *out)
{
    const fault_plan *plan = __atomic_load_n(&host_from(self)->plan, __ATOMIC_ACQUIRE);
    if (!out || !HM_HAS(out, hm_fault_count, copies_died)) {
        return HM_E_INVALID;
    }
    out->counted = __atomic_load_n(&plan->counted, __ATOMIC_RELAXED);
    out->failed = __atomic_load_n(&plan->failed, __ATOMIC_RELAXED);
    out->last_failed = __atomic_load_n(&plan->last_failed, __ATOMIC_RELAXED);
    out->last_site = __atomic_load_n(&plan->last_site, __ATOMIC_RELAXED);
    out->copies = __atomic_load_n(&plan->copies, __ATOMIC_RELAXED);
    out->copies_died = __atomic_load_n(&plan->copies_died, __ATOMIC_RELAXED);
    return HM_OK;
}

static void questions_benign(void *self, int begin)
{
    (void)self;
    if (benign_key_made) {
        const uintptr_t depth = (uintptr_t)core->thread_get(benign_key);
        const uintptr_t next = begin ? depth + 1 : depth - (depth > 0);
        core->thread_set(benign_key, (void *)next);
    }
}

static void fault_host_release(hm_host *self)
{
    fault_host *host = host_from(self);
    if (__atomic_sub_fetch(&host->layer.references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    for (fault_plan *plan = host->plan; plan;) {
        fault_plan *before = plan->before;
        core->memory_free(plan, sizeof *plan);
        plan = before;
    }
    host->layer.references = 1; /* alone: the ready-made release does the rest */
    core->host_forward->release(self);
}

static hm_status fault_create_malloc(hm_host *self,
                                     const hm_malloc_opts *opts,
                                     hm_malloc **out,
                                     hm_error *err)
{
    fault_host *host = host_from(self);
    hm_host *below = host->layer.inner;
    hm_malloc *inner = NULL;
    *out = NULL;
    fault_malloc *m = core->memory_alloc(sizeof *m);
    if (!m) {
        return core->error_set(err, HM_E_NOMEM, "layer:fault",
                               "no private memory for a malloc object");
    }
    hm_status status = below->vtbl->create_malloc(below, opts, &inner, err);
    if (status == HM_OK) {
        status = core->malloc_validate(inner, err);
    }
    if (status != HM_OK) {
        core->memory_free(m, sizeof *m);
        return status;
    }
    hm_layer_malloc_init(&m->layer, &malloc_vtbl, inner, self, sizeof *m);
    if (host->wants_sites) {
        m->layer.base.flags |= HM_MALLOC_DEBUG;
    }
    *out = &m->layer.base;
    return HM_OK;
}

/* "nth=17" is at=17 for whoever wants one. */
static const char *schedule_of(const hm_option_values *values, char *text, size_t size)
{
    uint64_t nth = core->option_number(values, "nth");
    if (nth == 0) {
        return core->option_text(values, "at");
    }
    char *at = text + size - 1;
    *at = '\0';
    for (; nth; nth /= 10) {
        *--at = (char)('0' + nth % 10);
    }
    return at;
}

static int32_t level_of(const char *text)
{
    return text[0] == 't'   ? HM_LEVEL_TASK
           : text[0] == 'd' ? HM_LEVEL_DOMAIN
                            : HM_LEVEL_PROCESS;
}

static hm_status
fault_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    char number[24];
    const char *level = core->option_text(values, "level");
    *out = NULL;
    fault_host *host = core->memory_alloc(sizeof *host);
    if (!host) {
        return core->error_set(err, HM_E_NOMEM, "layer:fault",
                               "no private memory for the layer");
    }
    const hm_fault_rule rule = {.size = sizeof rule,
                                .site = core->option_text(values, "site"),
                                .size_min = core->option_number(values, "min"),
                                .size_max = core->option_number(values, "max"),
                                .any_level = level[0] == 'a',
                                .level = level_of(level),
                                .at = schedule_of(values, number, sizeof number),
                                .every = core->option_number(values, "every"),
                                .probability = core->option_ratio(values, "p"),
                                .seed = core->option_number(values, "seed"),
                                .persistent =
                                    core->option_bool(values, "persistent") != 0,
                                .fork = core->option_bool(values, "fork") != 0};
    const hm_status status = set_rule(host, &rule, err);
    if (status != HM_OK) {
        core->memory_free(host, sizeof *host);
        return status;
    }
    hm_layer_host_init(&host->layer, &host_vtbl, inner, sizeof *host);
    host->wants_sites = rule.site != NULL;
    host->questions = (hm_fault){sizeof(hm_fault), host, questions_set, questions_count,
                                 questions_benign};
    *out = &host->layer.base;
    return HM_OK;
}

static const hm_option options[] = {
    {sizeof(hm_option), "nth", HM_OPTION_NUMBER, 0, "0",
     "fail this one of the counted allocations; 0: none", NULL},
    {sizeof(hm_option), "at", HM_OPTION_TEXT, 0, NULL,
     "fail these, rising: at=(3,7,20-25,100-)", NULL},
    {sizeof(hm_option), "every", HM_OPTION_NUMBER, 0, "0",
     "fail one in so many, by their count; 0: none", NULL},
    {sizeof(hm_option), "p", HM_OPTION_RATIO, 0, "0",
     "fail each with this chance: 0.01 or 1/100", NULL},
    {sizeof(hm_option), "seed", HM_OPTION_NUMBER, 0, "1", "another seed fails others",
     NULL},
    {sizeof(hm_option), "persistent", HM_OPTION_BOOL, 0, "no",
     "once one failed, fail all that follow", NULL},
    {sizeof(hm_option), "fork", HM_OPTION_BOOL, 0, "no",
     "at each, fork: it fails in the copy, which runs to its end first", NULL},
    {sizeof(hm_option), "site", HM_OPTION_TEXT, 0, NULL,
     "count only sites that match, with * and ?: site=*db.c:42", NULL},
    {sizeof(hm_option), "min", HM_OPTION_BYTES, 0, "0",
     "count only requests of at least so many bytes", NULL},
    {sizeof(hm_option), "max", HM_OPTION_BYTES, 0, "0",
     "and of at most so many; 0: no bound", NULL},
    {sizeof(hm_option), "level", HM_OPTION_CHOICE, 0, "any", "count only this level",
     "any|task|domain|process"},
};
static const hm_option *const option_list[] = {
    &options[0], &options[1], &options[2], &options[3], &options[4], &options[5],
    &options[6], &options[7], &options[8], &options[9], &options[10]};

static const hm_host_info info = {
    .size = sizeof(hm_host_info),
    .abi = HM_ABI,
    .kind = HM_KIND_LAYER,
    .name = "fault",
    .summary =
        "refuses chosen allocations: by number, period, chance, size, level and site",
    .version = HM_VERSION,
    .options = option_list,
    .option_count = sizeof option_list / sizeof option_list[0],
    .open = fault_open,
};
static const hm_host_info *const infos[] = {&info};

static void fill_tables(void)
{
    malloc_vtbl = *core->malloc_forward;
    malloc_vtbl.alloc = fault_alloc;
    malloc_vtbl.debug_alloc = fault_debug_alloc;
    malloc_vtbl.realloc = fault_realloc;
    malloc_vtbl.alloc_zeroed = fault_alloc_zeroed;
    malloc_vtbl.alloc_aligned = fault_alloc_aligned;
    malloc_vtbl.request = fault_request;
    malloc_vtbl.stats = fault_stats;
    malloc_vtbl.find = fault_malloc_find;
    host_vtbl = *core->host_forward;
    host_vtbl.release = fault_host_release;
    host_vtbl.create_malloc = fault_create_malloc;
    host_vtbl.find = fault_host_find;
}

HM_MODULE_EXPORT hm_status hm_module_describe(const hm_core *from,
                                              const hm_host_info *const **list,
                                              size_t *count)
{
    if (from->abi >> 16 != HM_ABI_MAJOR || !HM_HAS(from, hm_core, subscribers_tell)) {
        return HM_E_ABI;
    }
    if (!core) {
        core = from;
        fill_tables();
        benign_key_made = core->thread_key(&benign_key, NULL) == HM_OK;
    }
    *list = infos;
    *count = 1;
    return HM_OK;
}
