/* SPDX-License-Identifier: MIT */
/**
 * @file ole.h
 * @brief The bridge to OLE task memory: CoTaskMemAlloc, IMalloc and IMallocSpy over any host.
 *
 *     hm_ole_set_host(host, &err);                 or nothing: $HOSTMALLOC, else "default"
 *     void *p = CoTaskMemAlloc(16);
 *     CoTaskMemFree(p);
 *
 * Scope of the hook: the process. Window: before its first block; hm_ole_verify() tells who was first.
 * What task memory does not tell: how critical a request is, and its size when it is freed. A line of source comes
 * along where HM_OLE_SITES was defined before the include.
 *
 * The names of the platform are declared, and exist in libhostmalloc_bridge_ole, only where the platform has none.
 * Link hostmalloc::bridge_ole, then hostmalloc::hostmalloc.
 * Every function has a name of ours as well, which exists everywhere; HM_OLE_OURS, defined before the include,
 * makes the platform's names stand for ours even where the platform has its own.
 *
 * What the documentation leaves open: sizes are exact; pointers that are not live blocks are answered, never
 * followed: Free and Realloc do nothing to them (a debugging host reports them), GetSize says (SIZE_T)-1,
 * DidAlloc 0. A NULL place for a result is E_INVALIDARG. AddRef and Release of the one task allocator
 * answer constants. A spy's own calls to the task allocator are not spied (spy.h).
 * Stable since 1.0: names, values and layouts are the platform's and never change.
 */
#ifndef HM_BRIDGES_OLE_H
#define HM_BRIDGES_OLE_H

#include <hostmalloc/bridges/com.h>
#include <hostmalloc/bridges/spy.h>
#include <hostmalloc/runtime.h>

#ifndef HM_COM_NATIVE

/** Whose memory; only the first is task memory, every other value is refused. */
typedef enum tagMEMCTX {
    MEMCTX_TASK = 1,
    MEMCTX_SHARED = 2,
    MEMCTX_MACSYSTEM = 3,
    MEMCTX_UNKNOWN = -1,
    MEMCTX_SAME = -2
} MEMCTX;

typedef struct IMallocSpy IMallocSpy;
typedef IMallocSpy *LPMALLOCSPY;

#ifdef HM_COM_CLASSES

/** Called around every call of the task allocator; the rules are in spy.h. */
struct IMallocSpy : public IUnknown {
    virtual SIZE_T STDMETHODCALLTYPE PreAlloc(SIZE_T bytes) = 0;
    virtual void *STDMETHODCALLTYPE PostAlloc(void *actual) = 0;
    virtual void *STDMETHODCALLTYPE PreFree(void *block, BOOL spied) = 0;
    virtual void STDMETHODCALLTYPE PostFree(BOOL spied) = 0;
    virtual SIZE_T STDMETHODCALLTYPE PreRealloc(void *block,
                                                SIZE_T bytes,
                                                void **actual,
                                                BOOL spied) = 0;
    virtual void *STDMETHODCALLTYPE PostRealloc(void *actual, BOOL spied) = 0;
    virtual void *STDMETHODCALLTYPE PreGetSize(void *block, BOOL spied) = 0;
    virtual SIZE_T STDMETHODCALLTYPE PostGetSize(SIZE_T actual, BOOL spied) = 0;
    virtual void *STDMETHODCALLTYPE PreDidAlloc(void *block, BOOL spied) = 0;
    virtual int STDMETHODCALLTYPE PostDidAlloc(void *block, BOOL spied, int actual) = 0;
    virtual void STDMETHODCALLTYPE PreHeapMinimize() = 0;
    virtual void STDMETHODCALLTYPE PostHeapMinimize() = 0;
};

#else

/** Called around every call of the task allocator; the rules are in spy.h. */
typedef struct IMallocSpyVtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)
    (IMallocSpy *self, REFIID riid, void **object);
    ULONG(STDMETHODCALLTYPE *AddRef)(IMallocSpy *self);
    ULONG(STDMETHODCALLTYPE *Release)(IMallocSpy *self);
    SIZE_T(STDMETHODCALLTYPE *PreAlloc)(IMallocSpy *self, SIZE_T bytes);
    void *(STDMETHODCALLTYPE *PostAlloc)(IMallocSpy *self, void *actual);
    void *(STDMETHODCALLTYPE *PreFree)(IMallocSpy *self, void *block, BOOL spied);
    void(STDMETHODCALLTYPE *PostFree)(IMallocSpy *self, BOOL spied);
    SIZE_T(STDMETHODCALLTYPE *PreRealloc)
    (IMallocSpy *self, void *block, SIZE_T bytes, void **actual, BOOL spied);
    void *(STDMETHODCALLTYPE *PostRealloc)(IMallocSpy *self, void *actual, BOOL spied);
    void *(STDMETHODCALLTYPE *PreGetSize)(IMallocSpy *self, void *block, BOOL spied);
    SIZE_T(STDMETHODCALLTYPE *PostGetSize)(IMallocSpy *self, SIZE_T actual, BOOL spied);
    void *(STDMETHODCALLTYPE *PreDidAlloc)(IMallocSpy *self, void *block, BOOL spied);
    int(STDMETHODCALLTYPE *PostDidAlloc)(IMallocSpy *self,
                                         void *block,
                                         BOOL spied,
                                         int actual);
    void(STDMETHODCALLTYPE *PreHeapMinimize)(IMallocSpy *self);
    void(STDMETHODCALLTYPE *PostHeapMinimize)(IMallocSpy *self);
} IMallocSpyVtbl;
struct IMallocSpy {
    const IMallocSpyVtbl *lpVtbl;
};
HM_STATIC_ASSERT(sizeof(IMallocSpyVtbl) == 15 * sizeof(void (*)(void)), "15 slots");

#ifdef COBJMACROS
#define IMallocSpy_QueryInterface(self, riid, object) \
    (self)->lpVtbl->QueryInterface(self, riid, object)
#define IMallocSpy_AddRef(self)                (self)->lpVtbl->AddRef(self)
#define IMallocSpy_Release(self)               (self)->lpVtbl->Release(self)
#define IMallocSpy_PreAlloc(self, bytes)       (self)->lpVtbl->PreAlloc(self, bytes)
#define IMallocSpy_PostAlloc(self, actual)     (self)->lpVtbl->PostAlloc(self, actual)
#define IMallocSpy_PreFree(self, block, spied) (self)->lpVtbl->PreFree(self, block, spied)
#define IMallocSpy_PostFree(self, spied)       (self)->lpVtbl->PostFree(self, spied)
#define IMallocSpy_PreRealloc(self, block, bytes, actual, spied) \
    (self)->lpVtbl->PreRealloc(self, block, bytes, actual, spied)
#define IMallocSpy_PostRealloc(self, actual, spied) \
    (self)->lpVtbl->PostRealloc(self, actual, spied)
#define IMallocSpy_PreGetSize(self, block, spied) \
    (self)->lpVtbl->PreGetSize(self, block, spied)
#define IMallocSpy_PostGetSize(self, actual, spied) \
    (self)->lpVtbl->PostGetSize(self, actual, spied)
#define IMallocSpy_PreDidAlloc(self, block, spied) \
    (self)->lpVtbl->PreDidAlloc(self, block, spied)
#define IMallocSpy_PostDidAlloc(self, block, spied, actual) \
    (self)->lpVtbl->PostDidAlloc(self, block, spied, actual)
#define IMallocSpy_PreHeapMinimize(self)  (self)->lpVtbl->PreHeapMinimize(self)
#define IMallocSpy_PostHeapMinimize(self) (self)->lpVtbl->PostHeapMinimize(self)
#endif

#endif

#endif

HM_BEGIN_DECLS

/**
 * Task memory comes from @p host from now on. A host that grants no exact malloc gets the sizes and owners
 * kept for it.
 * @return HM_E_STARTED after the first call of the task allocator, naming it; what @p host says to a malloc
 * @threads any
 */
hm_status hm_ole_set_host(hm_host *host, hm_error *err);

/** The same with a malloc, which is referenced; HM_E_INVALID for one made for one thread. @threads any */
hm_status hm_ole_set_malloc(hm_malloc *m, hm_error *err);

/** The malloc that serves task memory, without a reference; while somebody spies, the spied one. NULL before the first
    call. @threads any */
hm_malloc *hm_ole_malloc(void);

/**
 * Does task memory come from the host that was chosen?
 * @param[out] first who called first, NULL if nobody did yet; NULL allowed
 * @return HM_OK it does; HM_E_STARTED somebody called before a host was chosen; HM_E_NOT_FOUND none was
 *         chosen and nobody called; HM_E_NOT_OWNED the platform's names are the platform's own
 * @threads any
 */
hm_status hm_ole_verify(const hm_site **first, hm_error *err);

/**
 * Give the malloc and its host back; a host can be chosen again.
 * @param[out] leaks what is live, size set by the caller; NULL allowed
 * @return HM_E_STARTED while blocks are live or a spy is registered, and then nothing happened
 * @threads startup: no other thread is in any function of this header
 */
hm_status hm_ole_close(hm_leaks *leaks, hm_error *err);

/* The platform's functions, under names of ours. @threads any */
HRESULT STDAPICALLTYPE hm_ole_get_malloc(DWORD context, IMalloc **out);
void *STDAPICALLTYPE hm_ole_alloc(SIZE_T bytes);
void *STDAPICALLTYPE hm_ole_realloc(void *block, SIZE_T bytes);
void STDAPICALLTYPE hm_ole_free(void *block);
HRESULT STDAPICALLTYPE hm_ole_register_spy(IMallocSpy *spy);
HRESULT STDAPICALLTYPE hm_ole_revoke_spy(void);

/* With the caller's site, which a debugging host remembers. NULL is none. @threads any */
void *hm_ole_alloc_at(SIZE_T bytes, hm_site *site);
void *hm_ole_realloc_at(void *block, SIZE_T bytes, hm_site *site);
void hm_ole_free_at(void *block, hm_site *site);

/** @p spy as an object to register, here or with the platform's own task allocator; *out gets one reference, or NULL.
    It references @p spy. E_INVALIDARG, E_OUTOFMEMORY. @threads any */
HRESULT STDAPICALLTYPE hm_ole_spy_object(hm_spy *spy, IMallocSpy **out);

#ifndef HM_COM_NATIVE
extern const IID IID_IMallocSpy;
HRESULT CoGetMalloc(DWORD context, IMalloc **out);
void *CoTaskMemAlloc(SIZE_T bytes);
void *CoTaskMemRealloc(void *block, SIZE_T bytes);
void CoTaskMemFree(void *block);
HRESULT CoRegisterMallocSpy(IMallocSpy *spy);
HRESULT CoRevokeMallocSpy(void);
#endif

HM_END_DECLS

#ifdef HM_OLE_OURS
#define CoGetMalloc         hm_ole_get_malloc
#define CoRegisterMallocSpy hm_ole_register_spy
#define CoRevokeMallocSpy   hm_ole_revoke_spy
#ifndef HM_OLE_SITES
#define CoTaskMemAlloc   hm_ole_alloc
#define CoTaskMemRealloc hm_ole_realloc
#define CoTaskMemFree    hm_ole_free
#endif
#endif

#ifdef HM_OLE_SITES
#define CoTaskMemAlloc(bytes)          hm_ole_alloc_at((bytes), HM_SITE)
#define CoTaskMemRealloc(block, bytes) hm_ole_realloc_at((block), (bytes), HM_SITE)
#define CoTaskMemFree(block)           hm_ole_free_at((block), HM_SITE)
#endif

#endif
