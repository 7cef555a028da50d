/* SPDX-License-Identifier: MIT */
/* Hosts as objects: opening them, their references, and what stacks of layers keep. */
#include "kit.h"

static void whole_table(kit *k)
{
    hm_error err;
    const hm_status status = hm_host_validate(k->host, &err);
    KIT_EXPECT(k, status == HM_OK, "a table of all slots", "%s", err.what);
}

static void use(kit *k, hm_host *host)
{
    hm_malloc *m = NULL;
    hm_error err;
    const hm_status status = hm_host_create_malloc(host, "kit", 0, &m, &err);
    KIT_EXPECT(k, status == HM_OK, "a malloc of the host", "%s", err.what);
    void *block = kit_alloc(k, m, 100);
    kit_mark(block, 100, 1);
    kit_free(k, m, block);
    hm_malloc_release(m);
}

static void opens_twice(kit *k)
{
    for (int i = 0; i < 3; i++) {
        hm_host *other = NULL;
        hm_error err;
        const hm_status status = hm_host_open(k->subject->spec, &other, &err);
        KIT_EXPECT(k, status == HM_OK, "a second host of the same spec", "%s", err.what);
        use(k, other);
        use(k, k->host);
        hm_host_release(other);
    }
    use(k, k->host);
}

static void retain_keeps(kit *k)
{
    hm_host *other = NULL;
    KIT_EXPECT(k, hm_host_open(k->subject->spec, &other, NULL) == HM_OK, "a second host",
               "none");
    hm_host_retain(other);
    hm_host_retain(other);
    hm_host_release(other);
    hm_host_release(other);
    for (int i = 0; i < 20; i++) { /* whatever was given back is used again */
        hm_host *more = NULL;
        hm_host_open(k->subject->spec, &more, NULL);
        hm_host_release(more);
    }
    use(k, other);
    hm_host_release(other);
}

static void held_by_mallocs(kit *k)
{
    hm_host *other = NULL;
    hm_malloc *m = NULL;
    KIT_EXPECT(k, hm_host_open(k->subject->spec, &other, NULL) == HM_OK, "a second host",
               "none");
    KIT_EXPECT(k, hm_host_create_malloc(other, "kit", 0, &m, NULL) == HM_OK, "a malloc",
               "none");
    hm_host_release(other);
    for (int i = 0; i < 20; i++) {
        hm_host *more = NULL;
        hm_host_open(k->subject->spec, &more, NULL);
        hm_host_release(more);
    }
    for (size_t size = 1; size < 100000; size *= 3) {
        void *block = kit_alloc(k, m, size);
        kit_mark(block, size, 1);
        kit_free(k, m, block);
    }
    hm_malloc_trim(m);
    hm_malloc_release(m);
}

static void copies_the_name(kit *k)
{
    char name[] = "short lived";
    const hm_malloc_opts opts = {sizeof opts, name, 0, 0, 0};
    hm_malloc *m = NULL;
    KIT_EXPECT(k, hm_host_create_malloc_opts(k->host, &opts, &m, NULL) == HM_OK,
               "a malloc", "none");
    memset(name, '#', sizeof name);
    kit_free(k, m, kit_alloc(k, m, 10));
    hm_malloc_release(m);
}

static void finds_nothing_unknown(kit *k)
{
    void *out = k;
    const hm_status status = hm_host_find(k->host, "no such interface", &out);
    KIT_EXPECT(k, status == HM_E_NOT_FOUND, "HM_E_NOT_FOUND for an unknown interface",
               "%s", hm_status_name(status));
    KIT_EXPECT(k, !out, "*out NULL with HM_E_NOT_FOUND", "it was left alone");
}

static void address_space(kit *k)
{
    const hm_host_vtbl *table = k->host->vtbl;
    const hm_status status = table->needs_address_space(k->host, NULL, 1 << 20);
    KIT_EXPECT(k, status == HM_OK || status == HM_E_NOMEM,
               "HM_OK to try again, or HM_E_NOMEM to give up", "%s",
               hm_status_name(status));
    table->acquired_address_space(k->host, k, 4096);
    table->released_address_space(k->host, k);
    use(k, k->host);
}

#define NAMES_MAX 16

/* The elements of the spec, outermost first; how many. */
static size_t names_of(const char *spec, char names[NAMES_MAX][KIT_NAME_SIZE])
{
    size_t count = 0;
    while (*spec && count < NAMES_MAX) {
        const size_t length = strcspn(spec, ":+");
        int depth = 0;
        snprintf(names[count++], KIT_NAME_SIZE, "%.*s", (int)length, spec);
        for (spec += length; *spec && (depth > 0 || *spec != '+'); spec++) {
            depth += (*spec == '(') - (*spec == ')');
        }
        spec += *spec == '+';
    }
    return count;
}

static void defaults_open(kit *k)
{
    char names[NAMES_MAX][KIT_NAME_SIZE];
    const size_t count = names_of(k->subject->spec, names);
    for (size_t i = 0; i < count; i++) {
        hm_host *host = NULL;
        hm_error err;
        const hm_status status = hm_host_open(names[i], &host, &err);
        KIT_EXPECT(k, status == HM_OK, "every host and layer to open without options",
                   "%s: %s", names[i], err.what);
        use(k, host);
        hm_host_release(host);
    }
}

/* What a spec has debug in, under something else: 1. */
static int debug_is_inside(const kit *k)
{
    char names[NAMES_MAX][KIT_NAME_SIZE];
    const size_t count = names_of(k->subject->spec, names);
    int found = 0;
    for (size_t i = 1; i < count; i++) {
        found |= strcmp(names[i], "debug") == 0;
    }
    return found;
}

static void finds_what_is_inside(kit *k)
{
    void *out = NULL;
    hm_malloc *m = NULL;
    if (!debug_is_inside(k)) {
        kit_pass_over(k, "the debug host is not under a layer");
    }
    hm_status status = hm_host_find(k->host, "debug", &out);
    KIT_EXPECT(k, status == HM_OK && out, "find to reach what a host wraps", "%s",
               hm_status_name(status));
    KIT_EXPECT(k, hm_host_create_malloc(k->host, "kit", 0, &m, NULL) == HM_OK, "a malloc",
               "none");
    out = NULL;
    status = hm_malloc_find(m, "debug", &out);
    KIT_EXPECT(k, status == HM_OK && out, "find to reach what a malloc wraps", "%s",
               hm_status_name(status));
    hm_malloc_release(m);
}

static void passes_debug_on(kit *k)
{
    hm_malloc *m = NULL;
    if (!debug_is_inside(k)) {
        kit_pass_over(k, "the debug host is not under a layer");
    }
    KIT_EXPECT(k, hm_host_create_malloc(k->host, "kit", 0, &m, NULL) == HM_OK, "a malloc",
               "none");
    KIT_EXPECT(k, m->flags & HM_MALLOC_DEBUG,
               "HM_MALLOC_DEBUG of the inner object in the outer one", "flags 0x%x",
               (unsigned)m->flags);
    hm_malloc_release(m);
}

static const kit_clause clauses[] = {
    {"host.table.whole", "all slots of 1.0 are present in every table", KIT_MUST,
     KIT_HOST, whole_table},
    {"host.open.twice", "a spec may be opened again while it is open", KIT_MUST, KIT_HOST,
     opens_twice},
    {"host.open.defaults", "opens with no options at all", KIT_SHOULD, KIT_OPEN,
     defaults_open},
    {"host.retain.keeps", "a host lives until its last reference is released", KIT_MUST,
     KIT_HOST, retain_keeps},
    {"host.release.mallocs-hold", "a malloc holds a reference to its host", KIT_MUST,
     KIT_HOST, held_by_mallocs},
    {"host.create.name-copied", "the name in the options is copied", KIT_MUST, KIT_HOST,
     copies_the_name},
    {"host.find.unknown", "an unknown interface is HM_E_NOT_FOUND and NULL", KIT_MUST,
     KIT_HOST, finds_nothing_unknown},
    {"host.address-space.answers", "a failed mapping is answered HM_OK or HM_E_NOMEM",
     KIT_MUST, KIT_HOST, address_space},
    {"layer.find.inside", "find reaches what a layer wraps", KIT_MUST, KIT_HOST,
     finds_what_is_inside},
    {"layer.flags.debug", "a layer passes HM_MALLOC_DEBUG on", KIT_MUST, KIT_HOST,
     passes_debug_on},
};
const kit_group kit_objects = KIT_GROUP(clauses);
