/* SPDX-License-Identifier: MIT */
/* The recording spy's methods. */
#include "ole_recorder.h"

#include <string.h>

#include "contracts.h"

static recorder *from(IMallocSpy *self)
{
    return (recorder *)self;
}

static void
note(recorder *r, spy_call call, SIZE_T bytes, void *pointer, BOOL spied, int answer)
{
    const spy_entry entry = {call, bytes, pointer, spied, answer};
    if (r->calls < COUNT(r->log)) {
        r->log[r->calls] = entry;
    }
    r->calls++;
    if (r->during) {
        r->during(r, call);
    }
}

static void pre(recorder *r)
{
    r->depth++;
    if (r->depth > r->deepest) {
        r->deepest = r->depth;
    }
}

static void post(recorder *r)
{
    r->depth--;
}

static void *inside(const recorder *r, void *actual)
{
    return actual ? (char *)actual + r->header : NULL;
}

static void *outside(const recorder *r, void *block, BOOL spied)
{
    return spied ? (char *)block - r->header : block;
}

static HRESULT STDMETHODCALLTYPE query(IMallocSpy *self, REFIID riid, void **object)
{
    recorder *r = from(self);
    r->queries++;
    if (FAILED(r->refuse_query)) {
        *object = NULL;
        return r->refuse_query;
    }
    if (!hm_com_same_iid(riid, &IID_IUnknown) &&
        !hm_com_same_iid(riid, &IID_IMallocSpy)) {
        *object = NULL;
        return E_NOINTERFACE;
    }
    r->references++;
    *object = self;
    return S_OK;
}

static ULONG STDMETHODCALLTYPE add_ref(IMallocSpy *self)
{
    from(self)->add_refs++;
    return ++from(self)->references;
}

static ULONG STDMETHODCALLTYPE release(IMallocSpy *self)
{
    from(self)->releases++;
    return --from(self)->references;
}

static SIZE_T STDMETHODCALLTYPE pre_alloc(IMallocSpy *self, SIZE_T bytes)
{
    recorder *r = from(self);
    pre(r);
    note(r, PRE_ALLOC, bytes, NULL, FALSE, 0);
    const SIZE_T wanted = r->force ? r->forced : bytes + r->header;
    if (!wanted && bytes) {
        post(r); /* refused: no post will come */
    }
    return wanted;
}

static void *STDMETHODCALLTYPE post_alloc(IMallocSpy *self, void *actual)
{
    recorder *r = from(self);
    note(r, POST_ALLOC, 0, actual, FALSE, 0);
    post(r);
    return inside(r, actual);
}

static void *STDMETHODCALLTYPE pre_free(IMallocSpy *self, void *block, BOOL spied)
{
    recorder *r = from(self);
    pre(r);
    note(r, PRE_FREE, 0, block, spied, 0);
    return outside(r, block, spied);
}

static void STDMETHODCALLTYPE post_free(IMallocSpy *self, BOOL spied)
{
    recorder *r = from(self);
    note(r, POST_FREE, 0, NULL, spied, 0);
    post(r);
}

static SIZE_T STDMETHODCALLTYPE
pre_realloc(IMallocSpy *self, void *block, SIZE_T bytes, void **actual, BOOL spied)
{
    recorder *r = from(self);
    pre(r);
    note(r, PRE_REALLOC, bytes, block, spied, 0);
    if (!r->silent) {
        *actual = outside(r, block, spied);
    }
    const SIZE_T wanted = r->force ? r->forced : block && !bytes ? 0 : bytes + r->header;
    if (!wanted && bytes) {
        post(r);
    }
    return wanted;
}

static void *STDMETHODCALLTYPE post_realloc(IMallocSpy *self, void *actual, BOOL spied)
{
    recorder *r = from(self);
    note(r, POST_REALLOC, 0, actual, spied, 0);
    post(r);
    return inside(r, actual);
}

static void *STDMETHODCALLTYPE pre_get_size(IMallocSpy *self, void *block, BOOL spied)
{
    recorder *r = from(self);
    pre(r);
    note(r, PRE_GET_SIZE, 0, block, spied, 0);
    return outside(r, block, spied);
}

static SIZE_T STDMETHODCALLTYPE post_get_size(IMallocSpy *self, SIZE_T actual, BOOL spied)
{
    recorder *r = from(self);
    note(r, POST_GET_SIZE, actual, NULL, spied, 0);
    post(r);
    return spied ? actual - r->header : actual;
}

static void *STDMETHODCALLTYPE pre_did_alloc(IMallocSpy *self, void *block, BOOL spied)
{
    recorder *r = from(self);
    pre(r);
    note(r, PRE_DID_ALLOC, 0, block, spied, 0);
    return r->redirect ? r->redirect : outside(r, block, spied);
}

static int STDMETHODCALLTYPE post_did_alloc(IMallocSpy *self,
                                            void *block,
                                            BOOL spied,
                                            int actual)
{
    recorder *r = from(self);
    note(r, POST_DID_ALLOC, 0, block, spied, actual);
    post(r);
    return r->force ? (int)r->forced : actual;
}

static void STDMETHODCALLTYPE pre_heap_minimize(IMallocSpy *self)
{
    pre(from(self));
    note(from(self), PRE_HEAP_MINIMIZE, 0, NULL, FALSE, 0);
}

static void STDMETHODCALLTYPE post_heap_minimize(IMallocSpy *self)
{
    note(from(self), POST_HEAP_MINIMIZE, 0, NULL, FALSE, 0);
    post(from(self));
}

static const IMallocSpyVtbl vtbl = {
    .QueryInterface = query,
    .AddRef = add_ref,
    .Release = release,
    .PreAlloc = pre_alloc,
    .PostAlloc = post_alloc,
    .PreFree = pre_free,
    .PostFree = post_free,
    .PreRealloc = pre_realloc,
    .PostRealloc = post_realloc,
    .PreGetSize = pre_get_size,
    .PostGetSize = post_get_size,
    .PreDidAlloc = pre_did_alloc,
    .PostDidAlloc = post_did_alloc,
    .PreHeapMinimize = pre_heap_minimize,
    .PostHeapMinimize = post_heap_minimize,
};

void recorder_init(recorder *r)
{
    memset(r, 0, sizeof *r);
    r->base.lpVtbl = &vtbl;
    r->references = 1;
}

void recorder_forget(recorder *r)
{
    r->calls = 0;
}

void recorder_expect(const recorder *r,
                     unsigned i,
                     spy_call call,
                     SIZE_T bytes,
                     const void *pointer,
                     BOOL spied)
{
    const spy_entry *e = &r->log[i];
    REQUIRE(i < r->calls && i < COUNT(r->log));
    CHECK_EQ(e->call, call);
    CHECK_EQ(e->bytes, bytes);
    CHECK_PTR(e->pointer, pointer);
    CHECK_EQ(e->spied, spied);
}
