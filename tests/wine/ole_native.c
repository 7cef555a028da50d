/* SPDX-License-Identifier: MIT */
/* The world of the platform's own task memory, which nobody of ours has a hand in. */
#include "contracts/ole_world.h"

#include "native_heap.h"

/* Its table of spied blocks, made for the first of them and kept. */
#define TABLE_BYTES 32768

static const char *const worlds[] = {"native"};

static int enter(const char *world, const char **why)
{
    (void)world, (void)why;
    /* What is made at the first use of anything is not the case's. */
    CoTaskMemFree(CoTaskMemAlloc(8));
    native_heap_begin();
    return 1;
}

static void leave(void)
{
    CHECK_EQ(CoRevokeMallocSpy(), CO_E_OBJNOTREG);
}

IMalloc *ole_task(void)
{
    IMalloc *m = NULL;
    CHECK_EQ(CoGetMalloc(MEMCTX_TASK, &m), S_OK);
    REQUIRE(m != NULL);
    return m;
}

size_t ole_live(void)
{
    return native_heap_live(TABLE_BYTES);
}

void ole_spy_on(recorder *r)
{
    const HRESULT status = CoRegisterMallocSpy(&r->base);
    CHECK_EQ(status, S_OK);
    REQUIRE(status == S_OK);
}

void ole_spy_start(recorder *r, SIZE_T header)
{
    recorder_init(r);
    r->header = header;
    ole_spy_on(r);
}

void ole_spy_off(void)
{
    CHECK_EQ(CoRevokeMallocSpy(), S_OK);
}

int main(int argc, char **argv)
{
    return ole_cases_run(argc, argv, worlds, COUNT(worlds), enter, leave);
}
