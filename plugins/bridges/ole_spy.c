/* SPDX-License-Identifier: MIT */
/* Two translations: an IMallocSpy as a spy of ours, to be registered, and a spy of ours as an IMallocSpy, so that
 * the ready-made ones can be registered anywhere. */
#include "ole_internal.h"

#include <hostmalloc/module.h>

typedef struct translated {
    hm_spy base;
    IMallocSpy *object;  /* one reference, the only one there is to give back */
    uint32_t references; /* atomic; of this translation */
} translated;

static IMallocSpy *object_of(hm_spy *self)
{
    return ((translated *)self)->object; /* base is the first member */
}

static void spy_retain(hm_spy *self)
{
    __atomic_fetch_add(&((translated *)self)->references, 1, __ATOMIC_RELAXED);
}

static void spy_release(hm_spy *self)
{
    translated *t = (translated *)self;
    if (__atomic_sub_fetch(&t->references, 1, __ATOMIC_ACQ_REL) == 0) {
        IMallocSpy *object = t->object;
        hm_core_table()->memory_free(t, sizeof *t);
        object->lpVtbl->Release(object);
    }
}

static size_t spy_pre_alloc(hm_spy *self, size_t bytes)
{
    IMallocSpy *o = object_of(self);
    return o->lpVtbl->PreAlloc(o, bytes);
}

static void *spy_post_alloc(hm_spy *self, void *actual)
{
    IMallocSpy *o = object_of(self);
    return o->lpVtbl->PostAlloc(o, actual);
}

static void *spy_pre_free(hm_spy *self, void *block, int spied)
{
    IMallocSpy *o = object_of(self);
    return o->lpVtbl->PreFree(o, block, spied);
}

static void spy_post_free(hm_spy *self, int spied)
{
    IMallocSpy *o = object_of(self);
    o->lpVtbl->PostFree(o, spied);
}

static size_t
spy_pre_realloc(hm_spy *self, void *block, size_t bytes, void **actual, int spied)
{
    IMallocSpy *o = object_of(self);
    return o->lpVtbl->PreRealloc(o, block, bytes, actual, spied);
}

static void *spy_post_realloc(hm_spy *self, void *actual, int spied)
{
    IMallocSpy *o = object_of(self);
    return o->lpVtbl->PostRealloc(o, actual, spied);
}

/* The platform's methods that ask about a block take it without const, and change nothing. */
static const void *spy_pre_size(hm_spy *self, const void *block, int spied)
{
    IMallocSpy *o = object_of(self);
    return o->lpVtbl->PreGetSize(o, (void *)(uintptr_t)block, spied);
}

static size_t spy_post_size(hm_spy *self, size_t actual, int spied)
{
    IMallocSpy *o = object_of(self);
    return o->lpVtbl->PostGetSize(o, actual, spied);
}

static const void *spy_pre_owns(hm_spy *self, const void *block, int spied)
{
    IMallocSpy *o = object_of(self);
    return o->lpVtbl->PreDidAlloc(o, (void *)(uintptr_t)block, spied);
}

static int spy_post_owns(hm_spy *self, const void *block, int spied, int answer)
{
    IMallocSpy *o = object_of(self);
    return o->lpVtbl->PostDidAlloc(o, (void *)(uintptr_t)block, spied, answer);
}

static void spy_pre_trim(hm_spy *self)
{
    IMallocSpy *o = object_of(self);
    o->lpVtbl->PreHeapMinimize(o);
}

static void spy_post_trim(hm_spy *self)
{
    IMallocSpy *o = object_of(self);
    o->lpVtbl->PostHeapMinimize(o);
}

static const hm_spy_vtbl translated_vtbl = {
    .size = sizeof(hm_spy_vtbl),
    .retain = spy_retain,
    .release = spy_release,
    .pre_alloc = spy_pre_alloc,
    .post_alloc = spy_post_alloc,
    .pre_free = spy_pre_free,
    .post_free = spy_post_free,
    .pre_realloc = spy_pre_realloc,
    .post_realloc = spy_post_realloc,
    .pre_size = spy_pre_size,
    .post_size = spy_post_size,
    .pre_owns = spy_pre_owns,
    .post_owns = spy_post_owns,
    .pre_trim = spy_pre_trim,
    .post_trim = spy_post_trim,
};

hm_spy *hm__ole_spy_of(IMallocSpy *object)
{
    translated *t = hm_core_table()->memory_alloc(sizeof *t);
    if (!t) {
        return NULL;
    }
    t->base.vtbl = &translated_vtbl;
    t->object = object;
    t->references = 1;
    return &t->base;
}

typedef struct spy_object {
    IMallocSpy base;
    hm_spy *spy;      /* one reference */
    ULONG references; /* atomic */
} spy_object;

static hm_spy *spy_of(IMallocSpy *self)
{
    return ((spy_object *)self)->spy; /* base is the first member */
}

static ULONG STDMETHODCALLTYPE object_add_ref(IMallocSpy *self)
{
    return __atomic_add_fetch(&((spy_object *)self)->references, 1, __ATOMIC_RELAXED);
}

static ULONG STDMETHODCALLTYPE object_release(IMallocSpy *self)
{
    spy_object *o = (spy_object *)self;
    const ULONG left = __atomic_sub_fetch(&o->references, 1, __ATOMIC_ACQ_REL);
    if (left == 0) {
        hm_spy *spy = o->spy;
        hm_core_table()->memory_free(o, sizeof *o);
        hm_spy_release(spy);
    }
    return left;
}

static HRESULT STDMETHODCALLTYPE object_query(IMallocSpy *self,
                                              REFIID riid,
                                              void **object)
{
    if (!object) {
        return E_POINTER;
    }
    *object = NULL;
    if (!hm_com_same_iid(riid, &IID_IUnknown) &&
        !hm_com_same_iid(riid, &IID_IMallocSpy)) {
        return E_NOINTERFACE;
    }
    object_add_ref(self);
    *object = self;
    return S_OK;
}

static SIZE_T STDMETHODCALLTYPE object_pre_alloc(IMallocSpy *self, SIZE_T bytes)
{
    hm_spy *s = spy_of(self);
    return s->vtbl->pre_alloc(s, bytes);
}

static void *STDMETHODCALLTYPE object_post_alloc(IMallocSpy *self, void *actual)
{
    hm_spy *s = spy_of(self);
    return s->vtbl->post_alloc(s, actual);
}

static void *STDMETHODCALLTYPE object_pre_free(IMallocSpy *self, void *block, BOOL spied)
{
    hm_spy *s = spy_of(self);
    return s->vtbl->pre_free(s, block, spied);
}

static void STDMETHODCALLTYPE object_post_free(IMallocSpy *self, BOOL spied)
{
    hm_spy *s = spy_of(self);
    s->vtbl->post_free(s, spied);
}

static SIZE_T STDMETHODCALLTYPE
object_pre_realloc(IMallocSpy *self, void *block, SIZE_T bytes, void **actual, BOOL spied)
{
    hm_spy *s = spy_of(self);
    return s->vtbl->pre_realloc(s, block, bytes, actual, spied);
}

static void *STDMETHODCALLTYPE object_post_realloc(IMallocSpy *self,
                                                   void *actual,
                                                   BOOL spied)
{
    hm_spy *s = spy_of(self);
    return s->vtbl->post_realloc(s, actual, spied);
}

static void *STDMETHODCALLTYPE object_pre_size(IMallocSpy *self, void *block, BOOL spied)
{
    hm_spy *s = spy_of(self);
    return (void *)(uintptr_t)s->vtbl->pre_size(s, block, spied);
}

static SIZE_T STDMETHODCALLTYPE object_post_size(IMallocSpy *self,
                                                 SIZE_T actual,
                                                 BOOL spied)
{
    hm_spy *s = spy_of(self);
    return s->vtbl->post_size(s, actual, spied);
}

static void *STDMETHODCALLTYPE object_pre_owns(IMallocSpy *self, void *block, BOOL spied)
{
    hm_spy *s = spy_of(self);
    return (void *)(uintptr_t)s->vtbl->pre_owns(s, block, spied);
}

static int STDMETHODCALLTYPE object_post_owns(IMallocSpy *self,
                                              void *block,
                                              BOOL spied,
                                              int actual)
{
    hm_spy *s = spy_of(self);
    return s->vtbl->post_owns(s, block, spied, actual);
}

static void STDMETHODCALLTYPE object_pre_trim(IMallocSpy *self)
{
    hm_spy *s = spy_of(self);
    s->vtbl->pre_trim(s);
}

static void STDMETHODCALLTYPE object_post_trim(IMallocSpy *self)
{
    hm_spy *s = spy_of(self);
    s->vtbl->post_trim(s);
}

static const IMallocSpyVtbl object_vtbl = {
    .QueryInterface = object_query,
    .AddRef = object_add_ref,
    .Release = object_release,
    .PreAlloc = object_pre_alloc,
    .PostAlloc = object_post_alloc,
    .PreFree = object_pre_free,
    .PostFree = object_post_free,
    .PreRealloc = object_pre_realloc,
    .PostRealloc = object_post_realloc,
    .PreGetSize = object_pre_size,
    .PostGetSize = object_post_size,
    .PreDidAlloc = object_pre_owns,
    .PostDidAlloc = object_post_owns,
    .PreHeapMinimize = object_pre_trim,
    .PostHeapMinimize = object_post_trim,
};

HRESULT STDAPICALLTYPE hm_ole_spy_object(hm_spy *spy, IMallocSpy **out)
{
    if (!out) {
        return E_INVALIDARG;
    }
    *out = NULL;
    if (!spy) {
        return E_INVALIDARG;
    }
    spy_object *o = hm_core_table()->memory_alloc(sizeof *o);
    if (!o) {
        return E_OUTOFMEMORY;
    }
    o->base.lpVtbl = &object_vtbl;
    o->spy = spy;
    o->references = 1;
    hm_spy_retain(spy);
    *out = &o->base;
    return S_OK;
}
