/* SPDX-License-Identifier: MIT */
/* Task memory as a C++ program sees it: interfaces are classes, and a class of its own can be registered. */
#include <cstdio>
#include <cstring>

#include <hostmalloc/bridges/ole.h>

static int failures;

#define CHECK(condition)                                                 \
    do {                                                                 \
        if (!(condition)) {                                              \
            failures++;                                                  \
            std::fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
        }                                                                \
    } while (0)

/* Notes the name of each method, in the order of the table. */
class Recorder : public IMallocSpy
{
  public:
    char calls[256] = "";
    ULONG references = 1;

    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID riid, void **object) override
    {
        if (!IsEqualIID(riid, IID_IMallocSpy)) {
            *object = nullptr;
            return E_NOINTERFACE;
        }
        AddRef();
        *object = static_cast<IMallocSpy *>(this);
        return S_OK;
    }
    ULONG STDMETHODCALLTYPE AddRef() override
    {
        return ++references;
    }
    ULONG STDMETHODCALLTYPE Release() override
    {
        return --references;
    }
    SIZE_T STDMETHODCALLTYPE PreAlloc(SIZE_T bytes) override
    {
        note("PreAlloc");
        return bytes + 16;
    }
    void *STDMETHODCALLTYPE PostAlloc(void *actual) override
    {
        note("PostAlloc");
        return static_cast<char *>(actual) + 16;
    }
    void *STDMETHODCALLTYPE PreFree(void *block, BOOL) override
    {
        note("PreFree");
        return outside(block);
    }
    void STDMETHODCALLTYPE PostFree(BOOL) override
    {
        note("PostFree");
    }
    SIZE_T STDMETHODCALLTYPE PreRealloc(void *block,
                                        SIZE_T bytes,
                                        void **actual,
                                        BOOL) override
    {
        note("PreRealloc");
        *actual = outside(block);
        return bytes + 16;
    }
    void *STDMETHODCALLTYPE PostRealloc(void *actual, BOOL) override
    {
        note("PostRealloc");
        return static_cast<char *>(actual) + 16;
    }
    void *STDMETHODCALLTYPE PreGetSize(void *block, BOOL) override
    {
        note("PreGetSize");
        return outside(block);
    }
    SIZE_T STDMETHODCALLTYPE PostGetSize(SIZE_T actual, BOOL) override
    {
        note("PostGetSize");
        return actual - 16;
    }
    void *STDMETHODCALLTYPE PreDidAlloc(void *block, BOOL) override
    {
        note("PreDidAlloc");
        return outside(block);
    }
    int STDMETHODCALLTYPE PostDidAlloc(void *, BOOL, int actual) override
    {
        note("PostDidAlloc");
        return actual;
    }
    void STDMETHODCALLTYPE PreHeapMinimize() override
    {
        note("PreHeapMinimize");
    }
    void STDMETHODCALLTYPE PostHeapMinimize() override
    {
        note("PostHeapMinimize");
    }

  private:
    void note(const char *name)
    {
        std::strcat(std::strcat(calls, name), " ");
    }
    static void *outside(void *block)
    {
        return static_cast<char *>(block) - 16;
    }
};

int main()
{
    Recorder spy;
    IMalloc *task = nullptr;
    void *object = nullptr;
    CHECK(CoGetMalloc(MEMCTX_TASK, &task) == S_OK);
    CHECK(task->QueryInterface(IID_IMalloc, &object) == S_OK && object == task);
    CHECK(task->AddRef() > 0 && task->Release() > 0);

    CHECK(CoRegisterMallocSpy(&spy) == S_OK);
    void *block = task->Alloc(8);
    block = task->Realloc(block, 24);
    CHECK(task->GetSize(block) == 24);
    CHECK(task->DidAlloc(block) == 1);
    task->HeapMinimize();
    task->Free(block);
    CHECK(CoRevokeMallocSpy() == S_OK);
    CHECK(spy.references == 1);
    CHECK(std::strcmp(spy.calls,
                      "PreAlloc PostAlloc PreRealloc PostRealloc PreGetSize PostGetSize "
                      "PreDidAlloc PostDidAlloc PreHeapMinimize PostHeapMinimize "
                      "PreFree PostFree ") == 0);
    CHECK(SUCCEEDED(S_OK) && FAILED(E_FAIL) && HRESULT_FACILITY(E_ACCESSDENIED) == 7);
    CHECK(hm_ole_close(nullptr, nullptr) == HM_OK);
    return failures != 0;
}
