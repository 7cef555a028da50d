/* SPDX-License-Identifier: MIT */
/* References of mallocs and hosts that are still open, and the code that took them. retain() and release() carry no site, so a
 * place is a few frames of the stack, which rare calls can afford to have unwound. Which reference a release gives back nobody says: it is taken for the last one of
 * the same thread, or else the last one there is. */
#include "references_internal.h"

#include "os_unwind.h"
#include "stacks_internal.h"

#include <string.h>

#define OPEN_MAX   4096u
#define FRAMES     4u
#define FRAMES_OWN 8u /* of this library */

typedef struct place {
    uint32_t count;
    uint32_t thread;
    uintptr_t frames[FRAMES];
} place;

typedef struct open_reference {
    const void *object; /* NULL: the place is free */
    place at;
    uint64_t order;
    uint64_t told;
} open_reference;

static hm_lock references_lock; /* guards all below; under it nobody is called */
static open_reference *open_references;
static uint64_t last_order;
static uint64_t dropped; /* references there was no room for */

static void lock(void)
{
    hm__debug.core->lock(&references_lock);
}

static void unlock(void)
{
    hm__debug.core->unlock(&references_lock);
}

void hm__debug_references_child(void)
{
    references_lock.word = 0;
}

static void place_take(place *out, uintptr_t caller)
{
    uintptr_t all[FRAMES + FRAMES_OWN];
    const size_t count = hm__os_unwind(all, FRAMES + FRAMES_OWN);
    size_t from = 0;
    while (from < count && all[from] != caller) {
        from++;
    }
    memset(out, 0, sizeof(*out));
    out->thread = hm__debug.core->thread_id();
    while (from < count && out->count < FRAMES) {
        out->frames[out->count++] = all[from++];
    }
    if (!out->count) {
        out->frames[out->count++] = caller;
    }
}

static void put_place(debug_text *t, const place *at)
{
    char text[1000];
    for (uint32_t i = 0; i < at->count; i++) {
        hm__debug_put(t, "      #");
        hm__debug_put_number(t, i);
        hm__debug_put(t, " ");
        hm__debug_put(t, hm__debug_frame_text(at->frames[i], text, sizeof(text)));
        hm__debug_put(t, "\n");
    }
}

void hm__debug_reference_open(const void *object, uintptr_t caller)
{
    place where;
    place_take(&where, caller);
    lock();
    if (!open_references) {
        open_references = hm__debug.core->pages_map(OPEN_MAX * sizeof(open_reference));
    }
    uint32_t at = 0;
    while (open_references && at < OPEN_MAX && open_references[at].object) {
        at++;
    }
    if (open_references && at < OPEN_MAX) {
        open_references[at] = (open_reference){object, where, ++last_order, 0};
    } else {
        dropped++;
    }
    unlock();
}

void hm__debug_reference_close(const void *object)
{
    const uint32_t thread = hm__debug.core->thread_id();
    open_reference *best = NULL;
    lock();
    for (uint32_t i = 0; open_references && i < OPEN_MAX; i++) {
        open_reference *r = &open_references[i];
        if (r->object == object &&
            (!best || (r->at.thread == thread) > (best->at.thread == thread) ||
             ((r->at.thread == thread) == (best->at.thread == thread) &&
              r->order > best->order))) {
            best = r;
        }
    }
    if (best) {
        best->object = NULL;
    }
    unlock();
}

void hm__debug_references_drop(const void *object)
{
    lock();
    for (uint32_t i = 0; open_references && i < OPEN_MAX; i++) {
        if (open_references[i].object == object) {
            open_references[i].object = NULL;
        }
    }
    unlock();
}

/* The next place not told yet, with all that it holds; 0: none. */
static uint64_t next_place(const void *object, open_reference *out)
{
    uint64_t count = 0;
    lock();
    for (uint32_t i = 0; open_references && i < OPEN_MAX; i++) {
        open_reference *r = &open_references[i];
        if (r->object == object && !r->told &&
            (!count || memcmp(&r->at, &out->at, sizeof(r->at)) == 0)) {
            *out = *r;
            r->told = 1;
            count++;
        }
    }
    unlock();
    return count;
}

static void tell_again(const void *object)
{
    lock();
    for (uint32_t i = 0; open_references && i < OPEN_MAX; i++) {
        open_references[i].told =
            open_references[i].object == object ? 0 : open_references[i].told;
    }
    unlock();
}

static void put_open(debug_text *t, int fd, const void *object)
{
    open_reference found;
    for (uint64_t count; (count = next_place(object, &found)) != 0;) {
        hm__debug_put(t, "  ");
        hm__debug_put_count(t, count, "reference", "references");
        hm__debug_put(t, " taken by thread ");
        hm__debug_put_number(t, found.at.thread);
        hm__debug_put(t, " at\n");
        hm__debug_text_send(t, fd);
        put_place(t, &found.at);
        hm__debug_text_send(t, fd);
    }
    tell_again(object);
}

static int put_object(const char *kind, const char *name, int fd, const void *object)
{
    debug_text t;
    hm__debug_text_start(&t);
    hm__debug_put(&t, "==hostmalloc== ");
    hm__debug_put(&t, kind);
    hm__debug_put(&t, name);
    hm__debug_put(&t, " was not released\n");
    put_open(&t, fd, object);
    if (t.length) {
        hm__debug_text_send(&t, fd);
    }
    return t.lost;
}

/* Mallocs first: each of them holds the host, which is told only where somebody else does too. */
int hm__debug_references_report(debug_host *host, int fd)
{
    uint32_t holders = 0;
    int lost = 0;
    debug_malloc *m;
    hm__debug.core->lock(&hm__debug.lock);
    m = host->mallocs;
    hm__debug.core->unlock(&hm__debug.lock);
    for (; m; m = m->next) {
        if (__atomic_load_n(&m->references, __ATOMIC_ACQUIRE)) {
            char name[48] = "\"";
            size_t length = 1;
            for (const char *c = m->name; *c; c++) {
                name[length++] = *c;
            }
            name[length] = '"';
            holders++;
            const int error = put_object("malloc ", name, fd, &m->base);
            lost = lost ? lost : error;
        }
    }
    if (__atomic_load_n(&host->layer.references, __ATOMIC_ACQUIRE) > holders) {
        const int error = put_object("host", "", fd, &host->layer.base);
        lost = lost ? lost : error;
    }
    if (dropped) {
        debug_text t;
        hm__debug_text_start(&t);
        hm__debug_put(&t, "==hostmalloc== ");
        hm__debug_put_count(&t, dropped, "reference", "references");
        hm__debug_put(&t, " had no room to be kept: some above may be others'\n");
        hm__debug_text_send(&t, fd);
        lost = lost ? lost : t.lost;
    }
    return lost;
}

hm_site *hm__debug_caller_site(uintptr_t caller)
{
    char text[1000];
    return hm__debug.core->site_intern(hm__debug_frame_text(caller, text, sizeof(text)),
                                       NULL, 0);
}

/* What is left of a host after its last reference: enough to say that somebody still uses it. */
static hm_host_vtbl gone_vtbl; /* written under lock once */

static void found_gone(const hm_host *self, const char *what, uintptr_t caller)
{
    place where;
    debug_text t;
    place_take(&where, caller);
    hm__debug_text_start(&t);
    hm__debug_put(&t, "==hostmalloc== ERROR ");
    hm__debug_put(&t, what);
    hm__debug_put(&t, " ");
    hm__debug_put_hex(&t, (uintptr_t)self);
    hm__debug_put(&t, "\n");
    put_place(&t, &where);
    hm__debug_text_send(&t, 2);
}

static void gone_retain(hm_host *self)
{
    found_gone(self, "retain of a released host", (uintptr_t)__builtin_return_address(0));
}

static void gone_release(hm_host *self)
{
    found_gone(self, "release of a released host",
               (uintptr_t)__builtin_return_address(0));
}

static hm_status
gone_create(hm_host *self, const hm_malloc_opts *opts, hm_malloc **out, hm_error *err)
{
    (void)opts;
    found_gone(self, "malloc asked of a released host",
               (uintptr_t)__builtin_return_address(0));
    if (out) {
        *out = NULL;
    }
    return hm__debug.core->error_set(err, HM_E_CLOSED, "host:debug",
                                     "the host was released");
}

void hm__debug_host_bury(debug_host *host)
{
    hm__debug.core->lock(&hm__debug.lock);
    if (!gone_vtbl.size) {
        hm_host_vtbl table = *hm__debug.core->host_basics;
        table.retain = gone_retain;
        table.release = gone_release;
        table.create_malloc = gone_create;
        table.size = sizeof(table);
        gone_vtbl = table;
    }
    hm__debug.core->unlock(&hm__debug.lock);
    __atomic_store_n(&host->layer.base.vtbl, &gone_vtbl, __ATOMIC_RELEASE);
}
