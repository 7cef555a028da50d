/* SPDX-License-Identifier: MIT */
/* Two parties of COM that pass memory: what a component allocates for an out parameter, its caller frees. Both use
 * the task allocator and neither knows the other's lines; the debug host underneath knows both. */
#include <stdio.h>
#include <string.h>

#define COBJMACROS
#define HM_OLE_SITES
#include <hostmalloc/bridges/ole.h>
#include <hostmalloc/hostmalloc.h>

/* The component. */

typedef struct greeter greeter;
typedef struct greeter_vtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)(greeter *self, REFIID riid, void **object);
    ULONG(STDMETHODCALLTYPE *AddRef)(greeter *self);
    ULONG(STDMETHODCALLTYPE *Release)(greeter *self);
    HRESULT(STDMETHODCALLTYPE *Greet)(greeter *self, const char *name, char **out);
    HRESULT(STDMETHODCALLTYPE *Louder)(greeter *self, char **in_out);
} greeter_vtbl;
struct greeter {
    const greeter_vtbl *lpVtbl;
    ULONG references;
};

static HRESULT STDMETHODCALLTYPE query(greeter *self, REFIID riid, void **object)
{
    const int known = hm_com_same_iid(riid, &IID_IUnknown);
    *object = known ? self : NULL;
    self->references += known ? 1 : 0;
    return known ? S_OK : E_NOINTERFACE;
}

static ULONG STDMETHODCALLTYPE add_ref(greeter *self)
{
    return ++self->references;
}

static ULONG STDMETHODCALLTYPE release(greeter *self)
{
    const ULONG left = --self->references;
    if (left == 0) {
        CoTaskMemFree(self);
    }
    return left;
}

/* An out parameter: the callee allocates, and says NULL when it could not. */
static HRESULT STDMETHODCALLTYPE greet(greeter *self, const char *name, char **out)
{
    const size_t bytes = sizeof("hello, ") + strlen(name);
    (void)self;
    *out = CoTaskMemAlloc(bytes);
    if (!*out) {
        return E_OUTOFMEMORY;
    }
    snprintf(*out, bytes, "hello, %s", name);
    return S_OK;
}

/* An in/out parameter: the callee may move it, and on failure leaves it as it was. */
static HRESULT STDMETHODCALLTYPE louder(greeter *self, char **in_out)
{
    char *moved = CoTaskMemRealloc(*in_out, strlen(*in_out) + 2);
    (void)self;
    if (!moved) {
        return E_OUTOFMEMORY;
    }
    *in_out = strcat(moved, "!");
    return S_OK;
}

static const greeter_vtbl vtbl = {query, add_ref, release, greet, louder};

static greeter *greeter_create(void)
{
    greeter *made = CoTaskMemAlloc(sizeof *made);
    if (made) {
        made->lpVtbl = &vtbl;
        made->references = 1;
    }
    return made;
}

/* Its caller. */

static void use(greeter *g, const char *name)
{
    char *text;
    if (SUCCEEDED(g->lpVtbl->Greet(g, name, &text)) &&
        SUCCEEDED(g->lpVtbl->Louder(g, &text))) {
        printf("%s\n", text);
        if (strcmp(name, "Grace") != 0) { /* the mistake: one greeting stays */
            CoTaskMemFree(text);
        }
    }
}

static int show(void *context, const hm_block *block)
{
    char place[256];
    (void)context;
    printf("live: %zu bytes from %s\n", block->requested,
           hm_site_text(block->site, 1, place, sizeof place));
    return 0;
}

int main(void)
{
    hm_spy *spy;
    hm_host *host;
    hm_error err;
    IMallocSpy *object;
    hm_spy_counts seen = {.size = sizeof seen};
    if (hm_host_open("debug", &host, &err) != HM_OK ||
        hm_ole_set_host(host, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    hm_host_release(host);
    if (hm_spy_count_create(&spy) != HM_OK || FAILED(hm_ole_spy_object(spy, &object)) ||
        FAILED(CoRegisterMallocSpy(object))) {
        return 1;
    }
    IMallocSpy_Release(object);

    greeter *g = greeter_create();
    if (!g) {
        return 1;
    }
    use(g, "Ada");
    use(g, "Grace");
    g->lpVtbl->Release(g);

    /* The platform's way to find a leak says that there is one, the host says where it is from. */
    hm_spy_count_read(spy, &seen);
    printf("%s: live blocks %d of %d\n",
           CoRevokeMallocSpy() == E_ACCESSDENIED ? "the spy has to stay" : "the spy left",
           (int)seen.live, (int)seen.allocs);
    hm_walk(hm_ole_malloc(), show, NULL);
    hm_spy_release(spy);
    return 0;
}

/* $ com_pair
 * hello, Ada!
 * hello, Grace!
 * the spy has to stay: live blocks 1 of 3
 * live: 14 bytes from com_pair.c:65 (louder)
 * ==hostmalloc== LEAK: blocks never freed
 *     blocks         bytes    share  site
 *          1            14   100.0%  com_pair.c:65 (louder)
 *          1            14           total of 1 site
 * ==hostmalloc== SUMMARY: 0 errors, 1 block and 14 bytes leaked at 1 site
 */
